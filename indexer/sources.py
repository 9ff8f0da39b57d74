"""Readers that turn a catalogue file, a folder or standard input into plain rows.

A reader yields `(place, row)`: `place` is the line or row number a person would look for, `row` maps
column names to what the file holds. Readers stream; none holds the catalogue in memory. They know the
formats and nothing of what the columns mean: `firstsight.indexer.catalog` does.
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
"""The source that stands for standard input."""

PARQUET_ROWS = 1_000
"""Rows decoded at once from Parquet: small enough that wide rows stay cheap, large enough to be fast."""

PARQUET_BUFFER = 1 << 20
"""Bytes of each column read at once: without a buffer size, Arrow reads a row group's columns whole."""


class BadRow(Exception):  # noqa: N818 - carried as a value, one per unusable row
    """One row that cannot be read; the rows around it can."""


class Source(Protocol):
    """A catalogue that can be read from its start as often as wanted."""

    @property
    def name(self) -> str: ...  # what the user called it
    @property
    def place(self) -> str: ...  # "line", "row" or "file": the word for a row's number
    @property
    def root(self) -> Path: ...  # the folder its relative media paths start from

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        """Yield every row with its number.

        Raises:
            CatalogError: the file as a whole cannot be read.
        """
        ...


def open_source(source: str, *, encoding: str = "utf-8", stdin: BinaryIO | None = None) -> Source:
    """Choose the reader for a catalogue by what it is.

    Args:
        source: a file, a folder, or `-` for JSON Lines on standard input.
        encoding: of text formats; UTF-8 with or without a byte-order mark by default.
        stdin: read instead of the process's standard input.

    Raises:
        CatalogError: no such file, or not a format that is read.
    """
    try:
        "".encode(encoding)
    except (LookupError, UnicodeError):
        raise CatalogError(f"no encoding is called {encoding!r}; try utf-8, latin-1, cp1252 or utf-16") from None
    if source == STDIN:
        return _spool(stdin or sys.stdin.buffer, encoding)
    path = Path(source)
    if path.is_dir():
        return FolderSource(source, path)
    if not path.exists():
        raise CatalogError(f"there is no file or folder {source!r}; give {FORMATS}")
    if not path.is_file():
        raise CatalogError(f"{source} is a pipe or a device, and a catalogue is read twice; pipe JSON Lines into -")
    suffix = path.suffix.lower()
    if suffix in {".csv", ".tsv"}:
        return CsvSource(source, path, encoding, "\t" if suffix == ".tsv" else None)
    if suffix in {".jsonl", ".ndjson"}:
        return JsonLinesSource(source, path, encoding, path.parent)
    if suffix == ".parquet":
        return ParquetSource(source, path)
    raise CatalogError(f"{source}: a catalogue called *{suffix or path.name} is not read; give {FORMATS}")


@dataclass(frozen=True)
class CsvSource:
    """Rows under one header line, as RFC 4180 quotes them."""

    name: str
    path: Path
    encoding: str
    delimiter: str | None  # None: the comma, or what the header has in its place
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
                    yield start, BadRow(f"{len(cells)} cells where the header names {len(header)} columns")
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
    """One JSON object a line."""

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
    """A Parquet file, read in batches of rows."""

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
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # the last two: times no date can hold
            raise CatalogError(f"{self.name}: not a readable Parquet file ({first_line(error)})") from None


@dataclass(frozen=True)
class FolderSource:
    """Every picture and video below a folder is an item: its id is the path, its title the file's name."""

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
    """Files below a folder in a stable order, one folder's names in memory at a time; hidden ones left out."""
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
    """Copy standard input to a temporary file: a catalogue is read twice, first to check all of it."""
    spooled = tempfile.NamedTemporaryFile(prefix="firstsight-stdin-", suffix=".jsonl")  # noqa: SIM115
    shutil.copyfileobj(stream, spooled)
    spooled.flush()
    source = JsonLinesSource("standard input", Path(spooled.name), encoding, Path.cwd())
    weakref.finalize(source, spooled.close)  # which removes the file
    return source


def _open(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise CatalogError(f"{name} cannot be read ({error.strerror}); check that it is there and readable") from None


def _parse(line: str) -> object:
    """One line of JSON; half a surrogate pair, as cutting a text within an emoji leaves it, becomes U+FFFD."""
    value: object = json.loads(line)
    if "\\ud" in line.lower():
        wide = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
        value = json.loads(wide.decode("utf-16", "replace"))
    return value


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _lines(file: BinaryIO, encoding: str, name: str) -> Iterator[str]:
    """Decode line by line, so that a wrong byte is answered with the line it stands in."""
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
    """UTF-16 and UTF-32 cannot be split at newline bytes: decode as a stream."""
    import io

    try:
        with io.TextIOWrapper(file, encoding=encoding, newline="") as text:
            for number, line in enumerate(text, 1):
                yield line.removeprefix("\ufeff") if number == 1 else line  # utf-16-le and its like keep the mark
    except UnicodeError as error:
        raise CatalogError(f"{name} is not {encoding} ({error}); name its encoding with --encoding") from None
