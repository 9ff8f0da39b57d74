"""Choose the reader of a catalogue."""

from __future__ import annotations

import sys
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from firstsight.errors import CatalogError
from firstsight.indexer.formats.csv_file import CsvSource
from firstsight.indexer.formats.folder import FolderSource
from firstsight.indexer.formats.json_document import JsonSource
from firstsight.indexer.formats.json_lines import JsonLinesSource
from firstsight.indexer.formats.parquet_file import ParquetSource
from firstsight.indexer.formats.parsing.recognition import recognise
from firstsight.indexer.formats.part_files import find_parts
from firstsight.indexer.formats.shopify_csv import ShopifyCsvSource
from firstsight.indexer.formats.shopify_json import ShopifyJsonSource
from firstsight.indexer.formats.source import STDIN, BadRow, Row, Source
from firstsight.indexer.formats.standard_input import spool
from firstsight.indexer.formats.woocommerce import WooCommerceSource
from firstsight.indexer.formats.xlsx_file import XlsxSource
from firstsight.indexer.formats.xml_feed import XmlFeedSource

FORMATS = (
    ".csv, .tsv, .xlsx, .json, .jsonl, .ndjson, .parquet, .arrow, a product feed in .xml, a folder of pictures and "
    "videos, or - for one of these files on stdin"
)

_ROWS_TO_RECOGNISE: Final = 20  # the first row without a mistake among these shows whether a shop wrote the table


def open_source(source: str, *, encoding: str = "utf-8", stdin: BinaryIO | None = None) -> Source:
    """Choose the reader for a catalogue by its contents.

    Args:
        source: a file, a folder, or `-` for a file on standard input.
        encoding: of text formats; by default UTF-8. UTF-16 and byte-order marks are recognised.
        stdin: a stream to read instead of the process's standard input.

    Raises:
        CatalogError: there is no such file, the format is not supported, or the encoding is unknown.
        OptionalDependencyError: the file is an XLSX workbook, and openpyxl is not installed.
    """
    try:
        "".encode(encoding)
    except (LookupError, UnicodeError):
        raise CatalogError(f"encoding {encoding!r} is unknown; try utf-8, latin-1, cp1252 or utf-16") from None
    if source == STDIN:
        return spool(
            stdin or sys.stdin.buffer, lambda copy: _open_shop_file("standard input", copy, Path.cwd(), encoding)
        )
    path = Path(source)
    if path.is_dir():
        if parts := find_parts(source, path):
            return parts
        return FolderSource(source, path)
    if not path.exists():
        raise CatalogError(f"there is no file or folder {source!r}; give {FORMATS}")
    if not path.is_file():
        raise CatalogError(f"{source} is a pipe or a device, but a catalogue is read twice; pipe it into -")
    return _open_shop_file(source, path, path.parent, encoding)


def _open_shop_file(name: str, path: Path, root: Path, encoding: str) -> Source:
    """Open a file; exports of shops get the reader that knows their rows."""
    source = _open_file(name, path, root, encoding)
    if not isinstance(source, CsvSource | XlsxSource | JsonSource | JsonLinesSource):
        return source
    with closing(source.rows()) as rows:  # type: ignore[type-var]  # every reader's rows are a generator
        first = next((row for _, row in islice(rows, _ROWS_TO_RECOGNISE) if not isinstance(row, BadRow)), {})
    return _shop_source(source, first)


def _shop_source(source: CsvSource | XlsxSource | JsonSource | JsonLinesSource, first: Row) -> Source:
    if isinstance(source, JsonSource | JsonLinesSource):
        return ShopifyJsonSource(source) if ShopifyJsonSource.recognises(first) else source
    for shop in (ShopifyCsvSource, WooCommerceSource):
        if shop.recognises(first):
            return shop(source)
    return source


def _open_file(name: str, path: Path, root: Path, encoding: str) -> Source:
    found = recognise(path, name, encoding, FORMATS)
    match found.kind:
        case "parquet":
            return ParquetSource(name, path, root)
        case "arrow_file" | "arrow_stream":
            from firstsight.indexer.formats.arrow_file import ArrowSource

            return ArrowSource(name, path, root)
        case "xlsx":
            return XlsxSource(name, path, root)
        case "xml":
            return XmlFeedSource(name, path, root)
        case "json":
            return JsonSource(name, path, found.encoding, root)
        case "json_lines":
            return JsonLinesSource(name, path, found.encoding, root)
        case "csv":
            tabs = path.suffix.lower() in {".tsv", ".tab"}
            return CsvSource(name, path, found.encoding, "\t" if tabs else None, root)
