"""The protocol of catalogue readers.

A reader yields `(place, row)`: `place` is the number of the line, row or file, and `row` maps column names to values.
Readers stream; they do not hold the catalogue in memory. They know file formats, and `firstsight.indexer.catalog` knows
the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from firstsight.media.embedded_medium import EmbeddedMedium as EmbeddedMedium

Row = Mapping[str, object]

STDIN = "-"
"""Name of the source for standard input."""

MEMORY = "rows in memory"
"""Name of the source for rows that a Python program passes."""


MAX_COLUMNS = 10_000
"""Columns of a table; more are refused, because the file is probably read the wrong way."""


class BadRow(Exception):  # noqa: N818 - a value that readers yield, not raised
    """A row that cannot be read, while other rows can."""


@runtime_checkable
class Source(Protocol):
    """A catalogue that can be read several times."""

    @property
    def name(self) -> str: ...  # as the user gave it
    @property
    def format(self) -> str: ...  # for messages, such as "Shopify product export (CSV)"
    @property
    def place(self) -> str: ...  # "line", "row", "item", "variant" or "file": the unit of row numbers
    @property
    def root(self) -> Path: ...  # base folder of relative media paths
    @property
    def notes(self) -> Sequence[str]: ...  # sentences about the last full pass, such as files left out

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        """Yield each row with its number.

        Raises:
            CatalogError: the file cannot be read, apart from single rows.
        """
        ...


@dataclass(frozen=True)
class ShopExport:
    """Base of readers that make items out of the rows of a shop's export.

    Args:
        table: reader of the file.
    """

    kind: ClassVar[str]  # name of the export, for messages

    table: Source
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def format(self) -> str:
        return f"{self.kind} ({self.table.format})"

    @property
    def place(self) -> str:
        return self.table.place

    @property
    def root(self) -> Path:
        return self.table.root
