"""Results of the API: frozen dataclasses that convert to plain values, and lists of them that convert to tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar, overload

from firstsight.extras import requires

if TYPE_CHECKING:
    import pandas as pd

RecordT = TypeVar("RecordT", bound="Record")


@dataclass(frozen=True)
class Record:
    """A result."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that `json.dumps` accepts: times in ISO 8601, vectors as lists."""
        return {field.name: plain_value(getattr(self, field.name)) for field in fields(self)}

    def to_row(self) -> dict[str, Any]:
        """Return the fields as a row of a table, with their own types."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class RecordList(Record, Sequence[RecordT]):
    """A sequence of records with facts about the whole; its first field is the tuple of the records."""

    @property
    def _records(self) -> tuple[RecordT, ...]:
        records: tuple[RecordT, ...] = getattr(self, fields(self)[0].name)
        return records

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each record.

        Raises:
            OptionalDependencyError: pandas is not installed.
        """
        with requires("pandas", "a data frame"):
            import pandas as pd
        return pd.DataFrame([record.to_row() for record in self._records])

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[RecordT]:
        return iter(self._records)

    @overload
    def __getitem__(self, place: int) -> RecordT: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[RecordT, ...]: ...

    def __getitem__(self, place: int | slice) -> RecordT | tuple[RecordT, ...]:
        return self._records[place]


def plain_value(value: object) -> Any:
    """Convert a value of a result to one that `json.dumps` accepts."""
    if isinstance(value, Record):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_value(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain_value(entry) for key, entry in value.items()}
    if isinstance(value, date):  # also a datetime
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # an array or a number of numpy, which is slow to import
        return value.tolist()
    if isinstance(value, Sequence | Set) and not isinstance(value, str):
        return [plain_value(entry) for entry in value]
    return value
