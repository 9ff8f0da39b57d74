"""Choose the reader of a catalogue."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from firstsight.errors import CatalogError
from firstsight.indexer.formats.csv_file import CsvSource
from firstsight.indexer.formats.folder import FolderSource
from firstsight.indexer.formats.json_lines import JsonLinesSource
from firstsight.indexer.formats.parquet_file import ParquetSource
from firstsight.indexer.formats.part_files import ARROW_EXTENSIONS, find_parts
from firstsight.indexer.formats.source import STDIN, Source
from firstsight.indexer.formats.standard_input import spool

FORMATS = (
    ".csv, .tsv, .jsonl, .ndjson, .parquet, .arrow, .feather, a folder of pictures and videos, or - for JSON Lines on "
    "stdin"
)


def open_source(source: str, *, encoding: str = "utf-8", stdin: BinaryIO | None = None) -> Source:
    """Choose the reader for a catalogue by its file type.

    Args:
        source: a file, a folder, or `-` for JSON Lines on standard input.
        encoding: of text formats; by default UTF-8, with or without a byte-order mark.
        stdin: a stream to read instead of the process's standard input.

    Raises:
        CatalogError: there is no such file, the format is not supported, or the encoding is unknown.
    """
    try:
        "".encode(encoding)
    except (LookupError, UnicodeError):
        raise CatalogError(f"encoding {encoding!r} is unknown; try utf-8, latin-1, cp1252 or utf-16") from None
    if source == STDIN:
        return spool(stdin or sys.stdin.buffer, encoding)
    path = Path(source)
    if path.is_dir():
        if parts := find_parts(source, path):
            return parts
        return FolderSource(source, path)
    if not path.exists():
        raise CatalogError(f"there is no file or folder {source!r}; give {FORMATS}")
    if not path.is_file():
        raise CatalogError(f"{source} is a pipe or a device, but a catalogue is read twice; pipe JSON Lines into -")
    suffix = path.suffix.lower()
    if suffix in {".csv", ".tsv"}:
        return CsvSource(source, path, encoding, "\t" if suffix == ".tsv" else None)
    if suffix in {".jsonl", ".ndjson"}:
        return JsonLinesSource(source, path, encoding, path.parent)
    if suffix == ".parquet":
        return ParquetSource(source, path)
    if suffix in ARROW_EXTENSIONS:
        from firstsight.indexer.formats.arrow.arrow_file import ArrowSource

        return ArrowSource(source, path)
    raise CatalogError(f"{source}: file type {suffix or path.name!r} is not supported; give {FORMATS}")
