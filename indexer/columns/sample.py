"""The first rows of a catalogue, from which the use of its columns is decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from firstsight.indexer.formats.source import BadRow, EmbeddedMedium, Row

SAMPLE_ROWS: Final = 1_000
"""Maximum number of rows in a sample."""

SAMPLE_BYTES: Final = 32 * 2**20
"""Maximum size of the values in a sample; a catalogue may have whole pictures in its rows."""

NumberedRow = tuple[int, "Row | BadRow"]


@dataclass
class ColumnSample:
    """Values of a column in the sample."""

    name: str
    values: list[object] = field(default_factory=list)  # without empty ones, in order
    rows: list[int] = field(default_factory=list)  # number of the sample's row of each value

    @property
    def texts(self) -> list[str]:
        """Values that are texts or numbers, as text."""
        plain = (value for value in self.values if isinstance(value, str | int | float) and not isinstance(value, bool))
        return [str(value).strip() for value in plain]


@dataclass
class Sample:
    """The first rows of a catalogue, by column."""

    rows: int  # usable rows
    columns: Mapping[str, ColumnSample]  # in the order in which they appear

    def filled(self, name: str) -> float:
        """Share of rows in which a column has a value, 0 to 1."""
        return len(self.columns[name].values) / max(self.rows, 1)


def take_rows(rows: Iterator[NumberedRow]) -> list[NumberedRow]:
    """Take the rows of a sample from the beginning of `rows`; the iterator then goes on after them."""
    taken: list[NumberedRow] = []
    size = 0
    for number, row in rows:
        taken.append((number, row))
        size += 0 if isinstance(row, BadRow) else sum(_size(value) for value in row.values())
        if len(taken) >= SAMPLE_ROWS or size >= SAMPLE_BYTES:
            break
    return taken


def sample_of(rows: Sequence[NumberedRow]) -> Sample:
    """Arrange rows by column."""
    columns: dict[str, ColumnSample] = {}
    usable = [row for _, row in rows if not isinstance(row, BadRow)]
    for number, row in enumerate(usable):
        for name, value in row.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = ColumnSample(name)
            if not is_empty(value):
                column.values.append(value)
                column.rows.append(number)
    return Sample(len(usable), columns)


def is_empty(value: object) -> bool:
    """Whether a cell has no value: None, NaN, an empty text, list or object."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or value != value or value in ([], {}, ())


def _size(value: object) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, EmbeddedMedium):
        return len(value.data)
    if isinstance(value, Mapping):
        return sum(_size(nested) for nested in value.values())
    return sum(_size(nested) for nested in value) if isinstance(value, list | tuple) else 8
