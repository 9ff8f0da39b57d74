"""Readers of catalogue files, folders and standard input.

A reader yields `(place, row)`: `place` is the number of the line, row or file, and `row` maps column names to values.
Readers stream; they do not hold the catalogue in memory. They know file formats, and `firstsight.indexer.catalog` knows
the columns.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from firstsight.errors import CatalogError, first_line
from firstsight.media.file_formats import media_kind

Row = Mapping[str, object]

FORMATS = ".csv, .tsv, .jsonl, .ndjson, .parquet, a folder of pictures and videos, or - for JSON Lines on stdin"

STDIN = "-"
"""Name of the source for standard input."""

PARQUET_ROWS = 1_000
"""Rows per batch from Parquet: small enough for wide rows, large enough to be fast."""

PARQUET_BUFFER = 1 << 20
"""Bytes of each column per read; without it Arrow reads the columns of a row group at once."""


class BadRow(Exception):  # noqa: N818 - a value that readers yield, not raised
    """A row that cannot be read, while other rows can."""


class Source(Protocol):
    """A catalogue that can be read several times."""

    @property
    def name(self) -> str: ...  # as the user gave it
    @property
    def place(self) -> str: ...  # "line", "row" or "file": the unit of row numbers
    @property
    def root(self) -> Path: ...  # base folder of relative media paths

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        """Yield each row with its number.

        Raises:
            CatalogError: the file cannot be read, apart from single rows.
        """
        ...


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
        return _spool(stdin or sys.stdin.buffer, encoding)
    path = Path(source)
    if path.is_dir():
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
    raise CatalogError(f"{source}: file type {suffix or path.name!r} is not supported; give {FORMATS}")


@dataclass(frozen=True)
class CsvSource:
    """CSV or TSV with a header line, quoted as in RFC 4180."""

    name: str
    path: Path
    encoding: str
    delimiter: str | None  # None: comma, semicolon or tab, whichever the header has most
    place: str = "line"

    @property
    def root(self) -> Path:
        return self.path.parent

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        with _open(self.path, self.name) as file:
            lines = _lines(file, self.encoding, self.name)
            first = next(lines, "")
            delimiter = self.delimiter or max(",;\t", key=re.sub(r'"[^"]*"', "", first).count)
            reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
            header = self._header(reader)
            while True:
                start = reader.line_num + 1
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    yield start, BadRow(f"not well-formed CSV ({error})")
                    continue
                if cells is None:
                    return
                if not cells:
                    continue
                if len(cells) != len(header):
                    yield start, BadRow(f"{len(cells)} cells, but the header has {len(header)} columns")
                    continue
                yield start, {name: cell or None for name, cell in zip(header, cells, strict=True)}

    def _header(self, reader: Iterator[list[str]]) -> list[str]:
        try:
            header = next(reader, [])
        except csv.Error as error:
            raise CatalogError(f"{self.name}, line 1: the header is not well-formed CSV ({error})") from None
        if not header:
            raise CatalogError(f"{self.name} is empty; its first line must name the columns")
        names = [name.strip() for name in header]
        if "" in names:
            raise CatalogError(f"{self.name}, line 1: column {names.index('') + 1} has no name; name every column")
        for name in names:
            if names.count(name) > 1:
                raise CatalogError(f"{self.name}, line 1: two columns are called {name!r}; rename one")
        return names


@dataclass(frozen=True)
class JsonLinesSource:
    """JSON Lines: one JSON object per line."""

    name: str
    path: Path
    encoding: str
    root: Path
    place: str = "line"

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        with _open(self.path, self.name) as file:
            for number, line in enumerate(_lines(file, self.encoding, self.name), 1):
                if not line.strip():
                    continue
                try:
                    row = _parse(line)
                except (ValueError, RecursionError) as error:
                    yield number, BadRow(f"not JSON ({error})")
                    continue
                if isinstance(row, dict):
                    yield number, row
                else:
                    yield number, BadRow('not a JSON object; every line must look like {"item_id": …}')


@dataclass(frozen=True)
class ParquetSource:
    """A Parquet file, read in batches."""

    name: str
    path: Path
    place: str = "row"

    @property
    def root(self) -> Path:
        return self.path.parent

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = 0
        try:
            with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=PARQUET_BUFFER) as file:
                for name, times in Counter(file.schema_arrow.names).items():
                    if times > 1:
                        raise CatalogError(f"{self.name}: {times} columns are called {name!r}; rename all but one")
                for batch in file.iter_batches(batch_size=PARQUET_ROWS, use_threads=False):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
        except (
            pa.ArrowException,
            OSError,
            ValueError,
            OverflowError,
        ) as error:  # the last two: times out of range
            raise CatalogError(f"{self.name}: not a readable Parquet file ({first_line(error)})") from None


@dataclass(frozen=True)
class FolderSource:
    """A folder of pictures and videos; each file is an item, with its path as id and its name as title."""

    name: str
    root: Path
    place: str = "file"

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        number = 0
        for path in _walk(self.root):
            medium = media_kind(path)
            if medium is None:
                continue
            number += 1
            relative = path.relative_to(self.root).as_posix()
            if not _is_unicode(relative):
                yield number, BadRow(f"the name of {os.fsencode(relative)!r} is not UTF-8; rename it")
                continue
            title = path.stem.replace("_", " ").replace("-", " ").strip()
            yield (
                number,
                {
                    "item_id": relative,
                    "kind": "product" if medium == "picture" else "video",
                    "title": title or None,
                    "images" if medium == "picture" else "videos": [relative],
                },
            )


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, without hidden ones, in a stable order; memory holds the names of one folder."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise CatalogError(f"the folder {folder} cannot be read ({error.strerror}); check its permissions") from None
    for path in paths:
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        elif path.is_file() or path.is_symlink():
            yield path


def _spool(stream: BinaryIO, encoding: str) -> JsonLinesSource:
    """Copy standard input to a temporary file, because a catalogue is read twice."""
    spooled = tempfile.NamedTemporaryFile(prefix="firstsight-stdin-", suffix=".jsonl")  # noqa: SIM115
    shutil.copyfileobj(stream, spooled)
    spooled.flush()
    source = JsonLinesSource("standard input", Path(spooled.name), encoding, Path.cwd())
    weakref.finalize(source, spooled.close)  # closing removes the file
    return source


def _open(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise CatalogError(f"{name} cannot be read ({error.strerror}); check that it exists and is readable") from None


def _parse(line: str) -> object:
    """Parse a line of JSON; half a surrogate pair, as in a text cut within an emoji, becomes U+FFFD."""
    value: object = json.loads(line)
    if "\\ud" in line.lower():
        wide = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
        value = json.loads(wide.decode("utf-16", "replace"))
    return value


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _lines(file: BinaryIO, encoding: str, name: str) -> Iterator[str]:
    """Decode line by line, so that the error for a wrong byte has its line number."""
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        yield from _wide_lines(file, encoding, name)
        return
    for number, line in enumerate(file, 1):
        if number == 1:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise CatalogError(f"{name} starts like UTF-16; pass --encoding utf-16, or save it as UTF-8")
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            yield line.decode(encoding)
        except UnicodeDecodeError as error:
            raise CatalogError(
                f"{name}, line {number}: byte 0x{error.object[error.start]:02x} is not {encoding}; "
                "save the file as UTF-8 or name its encoding (--encoding latin-1, cp1252, …)"
            ) from None


def _wide_lines(file: BinaryIO, encoding: str, name: str) -> Iterator[str]:
    """Decode UTF-16 or UTF-32 as a stream; they cannot be split at newline bytes."""
    import io

    try:
        with io.TextIOWrapper(file, encoding=encoding, newline="") as text:
            for number, line in enumerate(text, 1):
                yield (line.removeprefix("\ufeff") if number == 1 else line)  # utf-16-le and similar keep the mark
    except UnicodeError as error:
        raise CatalogError(f"{name} is not {encoding} ({error}); name its encoding with --encoding") from None
