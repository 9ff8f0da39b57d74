"""XLSX workbooks, read with openpyxl."""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import time, timedelta
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Final

from firstsight.errors import CatalogError, first_line
from firstsight.extras import requires
from firstsight.indexer.formats.csv_file import TableHeader
from firstsight.indexer.formats.parsing.text_lines import open_file
from firstsight.indexer.formats.source import BadRow, Row

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook

MAX_UNPACKED: Final = 4 << 30
"""Bytes of a whole workbook after decompression; its sheets are streamed."""

MAX_IN_MEMORY: Final = 256 << 20
"""Bytes of the parts that are held in memory: the texts that cells share, styles, and the list of sheets."""

MAX_ROW: Final = 64 << 20
"""Bytes of one row of a sheet, as XML."""

MAX_EMPTY_ROWS: Final = 10_000
"""Empty rows in succession after which a sheet ends."""

_ROW_END: Final = re.compile(rb"row>|<row[^>]*/>")
_HEADER_ROWS: Final = 20  # rows from the first one with values in which the header is searched
# Errors of openpyxl, zipfile and the XML parser (its ParseError is a SyntaxError) on damaged workbooks.
_FAILURES: Final = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError),
    *(NotImplementedError, zipfile.BadZipFile, zlib.error),
)
_ERRORS: Final = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "#GETTING_DATA"})

Cells = Sequence[object]


@dataclass(frozen=True)
class XlsxSource:
    """The first sheet of a workbook that has values; its first row with values in most columns is the header.

    Formulas give the values that were saved with them.
    """

    name: str
    path: Path
    root: Path
    place: str = "row"
    format: str = "Excel workbook (XLSX)"
    notes: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        self.notes.clear()
        check_size(self.path, self.name)
        try:
            with open_file(self.path, self.name) as file, closing(_open(file)) as workbook:
                yield from self._table(workbook)
        except _FAILURES as error:
            raise CatalogError(
                f"{self.name}: not a readable XLSX workbook ({first_line(error) or type(error).__name__}); "
                "open it and save it again as XLSX or CSV"
            ) from None

    def _table(self, workbook: Workbook) -> Iterator[tuple[int, Row | BadRow]]:
        for sheet in sorted(workbook.worksheets, key=lambda sheet: sheet.sheet_state != "visible"):
            sheet.reset_dimensions()  # programs write wrong ones
            rows = _filled_rows(_quietly(iter(sheet.iter_rows(values_only=True))))
            first = [row for row, _ in zip(rows, range(_HEADER_ROWS), strict=False)]
            if first:
                self._note_others([other.title for other in workbook.worksheets if other is not sheet], sheet.title)
                yield from self._rows(sheet.title, first, rows)
                return
        raise CatalogError(f"{self.name} has no sheet with values; its first row must name the columns")

    def _rows(
        self, sheet: str, first: list[tuple[int, Cells]], rest: Iterator[tuple[int, Cells]]
    ) -> Iterator[tuple[int, Row | BadRow]]:
        above = _header_position(first)
        number, cells = first[above]
        if above:
            self.notes.append(f"the header is row {number} of sheet {sheet!r}; the rows above it are left out")
        header = TableHeader(
            f"{self.name}, sheet {sheet!r}, row {number}",
            _trimmed(["" if cell is None else str(_value(cell)) for cell in cells]),
        )
        errors = 0
        for number, cells in chain(first[above + 1 :], rest):
            errors += sum(isinstance(cell, str) and cell in _ERRORS for cell in cells)
            values = [_value(cell) for cell in cells]
            while len(values) > header.width and values[-1] is None:
                values.pop()
            values.extend([None] * (header.width - len(values)))
            if header.fits(values):
                yield number, header.row(values)
            else:
                yield number, BadRow(f"a value in column {len(values)}, but the header has {header.named} columns")
        if errors:
            self.notes.append(f"{errors:,} cells of sheet {sheet!r} have errors such as #N/A; they count as empty")

    def _note_others(self, others: list[str], used: str) -> None:
        if others:
            names = ", ".join(repr(name) for name in others[:5]) + (", …" if len(others) > 5 else "")
            self.notes.append(f"sheet {used!r} is read; other sheets are left out: {names}")


def check_size(path: Path, name: str) -> None:
    """Refuse workbooks that grow too large when they are decompressed.

    Raises:
        CatalogError: the file is no archive, or its contents are larger than `MAX_UNPACKED`, `MAX_IN_MEMORY` or, for
            one row, `MAX_ROW`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # zipfile never reads more than these sizes, even if they are wrong
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            sheets = {member for member in sizes if member.startswith(("xl/worksheets/", "xl/media/"))}
            _check(sum(sizes.values()), MAX_UNPACKED, name, "it")
            _check(
                sum(size for member, size in sizes.items() if member not in sheets), MAX_IN_MEMORY, name, "its texts"
            )
            for member in sheets:
                if sizes[member] > MAX_ROW and not member.startswith("xl/media/"):
                    with archive.open(member) as sheet:
                        _check(_longest_row(sheet), MAX_ROW, name, "a row")
    except _FAILURES as error:
        raise CatalogError(f"{name} is a damaged XLSX workbook ({first_line(error)}); save it again") from None


def _check(size: int, limit: int, name: str, what: str) -> None:
    if size > limit:
        raise CatalogError(
            f"{name} is too large: after decompression {what} would take more than {limit >> 20:,} MiB of memory or "
            "temporary data; save the sheet as CSV"
        )


def _longest_row(sheet: IO[bytes]) -> int:
    """Bytes of the longest row of a sheet, or of the part before its first row; stops after `MAX_ROW`."""
    longest = since = 0
    tail = b""
    while block := sheet.read(1 << 20):
        text = tail + block
        ends = [found.end() for found in _ROW_END.finditer(text)]
        longest = max(longest, since + (ends[0] if ends else len(block)))
        since = len(text) - ends[-1] if ends else since + len(block)
        if since > MAX_ROW:
            return since
        tail = text[-16:] if not ends or len(text) - ends[-1] > 16 else b""
    return max(longest, since)


def _open(file: BinaryIO) -> Workbook:
    with requires("xlsx", "an XLSX workbook", "save the sheet as CSV"):
        from openpyxl import load_workbook
    with _quiet():
        return load_workbook(file, read_only=True, data_only=True, keep_links=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide openpyxl's warnings about styles, validation rules and other parts that are not read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _quietly(rows: Iterator[Cells]) -> Iterator[Cells]:
    while True:
        with _quiet():
            row = next(rows, None)
        if row is None:
            return
        yield row


def _filled_rows(rows: Iterator[Cells]) -> Iterator[tuple[int, Cells]]:
    """Number the rows from 1 and leave out empty ones; stop after `MAX_EMPTY_ROWS` empty rows."""
    empty = 0
    for number, row in enumerate(rows, 1):
        if any(_value(cell) is not None for cell in row):
            empty = 0
            yield number, row
        else:
            empty += 1
            if empty > MAX_EMPTY_ROWS:
                return


def _header_position(rows: list[tuple[int, Cells]]) -> int:
    """The first row with at least half as many values as the fullest one; a single value is a title above a table."""
    counts = [sum(cell is not None and cell != "" for cell in cells) for _, cells in rows]
    most = max(counts)
    return next(place for place, count in enumerate(counts) if count * 2 >= most and (count > 1 or most == 1))


def _trimmed(cells: list[str]) -> list[str]:
    while cells and not cells[-1].strip():
        cells.pop()
    return cells


def _value(cell: object) -> object:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    if isinstance(cell, str):
        text = cell.strip()
        return None if not text or text in _ERRORS else cell
    if isinstance(cell, time | timedelta):
        return str(cell)
    return cell
