"""CSV and TSV files."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from firstsight.errors import CatalogError
from firstsight.indexer.formats.source import BadRow, Row
from firstsight.indexer.formats.text_lines import open_file, text_lines


@dataclass(frozen=True)
class CsvSource:
    """CSV or TSV with a header line, quoted as in RFC 4180."""

    name: str
    path: Path
    encoding: str
    delimiter: str | None  # None: comma, semicolon or tab, whichever the header has most
    place: str = "line"
    format: str = "CSV"
    notes: Sequence[str] = ()

    @property
    def root(self) -> Path:
        return self.path.parent

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        with open_file(self.path, self.name) as file:
            lines = text_lines(file, self.encoding, self.name)
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
