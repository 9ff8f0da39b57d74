"""Values that a reader leaves out, counted for its notes."""

from __future__ import annotations

from collections import Counter
from typing import Final

from firstsight.media.embedded_medium import EmbeddedMedium
from firstsight.media.stored_files import is_medium

MAX_NUMBERS: Final = 32
"""Longest list of numbers that is read; a longer one is an embedding or a picture, and useless as text."""

LONG_LISTS: Final = f"lists of more than {MAX_NUMBERS} numbers are left out"
FAR_TIMES: Final = "times outside the years 1 to 9999 are read as empty"
TIMES_OF_DAY: Final = "times of day outside 0:00 to 24:00 are read as empty"
BINARY: Final = "binary data other than pictures and videos is left out"
WRONG_TEXT: Final = "texts that are not UTF-8 have a � for each wrong byte"
UNREADABLE: Final = "values that cannot be read are left out"


class LeftOut:
    """Values that one pass over a source has left out, by column and reason."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._media_columns: set[str] = set()

    def add(self, column: str, reason: str, count: int = 1) -> None:
        """Count values of a column."""
        if count:
            self._counts[column, reason] += count

    def media(self, column: str, values: list[tuple[bytes | None, str | None]]) -> list[EmbeddedMedium | None]:
        """Make media of the bytes and names in a column.

        Bytes that are no known picture or video count as broken media where the column has others that are, and are
        left out where it has none.
        """
        if column not in self._media_columns and any(data and is_medium(data) for data, _ in values):
            self._media_columns.add(column)
        if column in self._media_columns:
            return [EmbeddedMedium(data, name) if data else None for data, name in values]
        self.add(column, BINARY, sum(bool(data) for data, _ in values))
        return [None] * len(values)

    def notes(self) -> tuple[str, ...]:
        """One sentence per column and reason."""
        return tuple(
            f"column {column!r}: {reason} ({count:,} {'value' if count == 1 else 'values'})"
            for (column, reason), count in self._counts.items()
        )
