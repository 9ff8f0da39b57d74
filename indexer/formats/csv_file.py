"""CSV and TSV files, as spreadsheets and shops write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from firstsight.errors import CatalogError
from firstsight.indexer.formats.parsing.csv_records import DELIMITERS, CsvRecords, Malformed, Record
from firstsight.indexer.formats.parsing.text_lines import open_file, text_lines
from firstsight.indexer.formats.source import MAX_COLUMNS, BadRow, Row

REPEATABLE: Final = frozenset({"additionalimagelink"})
"""Columns that a table may have several times, as Google's feeds do: their values become a list. Written without
prefix, blanks and underscores."""


@dataclass(frozen=True)
class CsvSource:
    """CSV with a header line, quoted as in RFC 4180; separated by commas, semicolons, tabs or pipes.

    Columns without a name are left out if they have no values, and are called `column_3` and so on if they have some.
    Rows without any value are skipped, and so are a title and comments (#) above the header.
    """

    name: str
    path: Path
    encoding: str
    delimiter: str | None = None  # used if the header contains it; None: the one that the header has most
    folder: Path | None = None  # base folder of relative paths; None: the file's
    place: str = "line"
    notes: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder or self.path.parent

    @property
    def format(self) -> str:
        return "TSV" if self.delimiter == "\t" else "CSV"

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        self.notes.clear()
        with open_file(self.path, self.name) as file:
            records = CsvRecords(text_lines(file, self.encoding, self.name), self.delimiter)
            header: TableHeader | None = None
            for record in self._from_header(records):
                if isinstance(record.cells, Malformed):
                    if header is None:
                        raise CatalogError(
                            f"{self.name}, line {record.line}: the header is not well-formed CSV "
                            f"({record.cells.reason})"
                        )
                    yield record.line, BadRow(f"not well-formed CSV ({record.cells.reason})")
                elif not any(record.cells):
                    continue
                elif header is None:
                    place = f"{self.name}, line {record.line}"
                    if len(record.cells) == 1 and any(delimiter in record.cells[0] for delimiter in DELIMITERS):
                        raise CatalogError(
                            f"{place}: the whole line {record.cells[0]!r:.60} is one quoted cell; "
                            "remove the quotes around the lines, or export the table again"
                        )
                    header = TableHeader(place, record.cells)
                    records.width = header.width
                else:
                    yield record.line, self._row(header, record, record.cells)
            if header is None:
                raise CatalogError(f"{self.name} is empty; its first line must name the columns")

    def _from_header(self, records: Iterable[Record]) -> Iterator[Record]:
        """Leave out a title and comments above the header."""
        above = 0
        title: Record | None = None
        rest = iter(records)
        for record in rest:
            filled = [cell for cell in record.cells if cell.strip()] if isinstance(record.cells, list) else []
            if filled and title is None and all(cell.lstrip().startswith("#") for cell in filled) and filled != ["#"]:
                above = record.line
                continue
            if title is None and len(filled) == 1 and len(record.cells) != 2:  # type: ignore[arg-type]  # a list
                title = record
                continue
            if title is not None and not filled and isinstance(record.cells, list):
                continue
            if title is not None and len(filled) < 2:  # a table with one column
                yield title
            above = title.line if title is not None and len(filled) > 1 else above
            if above:
                self.notes.append(f"the header is line {record.line}; the lines above it are left out")
            yield record
            yield from rest
            return
        if title is not None:
            yield title

    def _row(self, header: TableHeader, record: Record, cells: list[str]) -> Row | BadRow:
        if not header.fits(cells):
            more = ""
            if record.last_line > record.line:
                more = f" (the row ends in line {record.last_line}; perhaps a quote in it is not closed)"
            return BadRow(f"{len(cells)} cells, but the header has {header.named} columns{more}")
        return header.row([cell or None for cell in cells])


class TableHeader:
    """The column names of a table, and how its rows become mappings.

    Args:
        place: name and line of the header, for messages.
        cells: its cells; empty ones are columns without a name.

    Attributes:
        width: number of cells, with those that have no name.
        named: number of cells up to the last one that has a name.

    Raises:
        CatalogError: two columns have one name, or there are more than `MAX_COLUMNS`.
    """

    def __init__(self, place: str, cells: Sequence[str]) -> None:
        self._names = [cell.strip() for cell in cells]
        self.width = len(cells)
        self.named = max((number for number, name in enumerate(self._names, 1) if name), default=0)
        if self.named > MAX_COLUMNS:
            raise CatalogError(
                f"{place}: {self.named:,} columns, but the maximum is {MAX_COLUMNS:,}; is this the header of a table?"
            )
        times = Counter(self._names)
        self._repeated = {name for name, count in times.items() if count > 1 and _plain(name) in REPEATABLE}
        for name, count in times.items():
            if count > 1 and name and name not in self._repeated:
                raise CatalogError(f"{place}: two columns are called {name!r}; rename one")
        self._simple = self.named == self.width and not self._repeated and "" not in times
        self._fill_names(times)

    def _fill_names(self, times: Counter[str]) -> None:
        for place, name in enumerate(self._names):
            if not name:
                given = f"column_{place + 1}"
                while given in times:
                    given += "_"
                self._names[place] = given
        self._unnamed = {given for given in self._names if given not in times}

    def fits(self, cells: Sequence[object]) -> bool:
        """Whether a row has the right number of cells; empty ones at the end may be missing or too many."""
        if len(cells) == self.width:
            return True
        return len(cells) >= self.named and not any(cells[self.width :])

    def row(self, cells: Sequence[object]) -> Row:
        """Make the row of cells that fit; None is a missing value."""
        if self._simple and len(cells) == self.width:
            return dict(zip(self._names, cells, strict=True))
        row: dict[str, object] = {}
        for name, cell in zip(self._names, cells, strict=False):
            if name in self._repeated:
                values = row.setdefault(name, [])
                if cell is not None and isinstance(values, list):
                    values.append(cell)
            elif cell is not None or name not in self._unnamed:
                row[name] = cell
        return row


def _plain(name: str) -> str:
    return name.lower().removeprefix("g:").replace(" ", "").replace("_", "")
