"""Results of the API: frozen dataclasses that convert to plain values, and lists of them that convert to tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_args, overload

from firstsight.extras import requires

if TYPE_CHECKING:
    import pandas as pd

RecordT = TypeVar("RecordT", bound="Record")


@dataclass(frozen=True, eq=False)  # a subclass compares its own fields, or with eq=False is equal to itself alone
class Record:
    """A result: a frozen dataclass."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, which `json.dumps` accepts with `allow_nan=False`.

        Times are texts in ISO 8601, arrays and tuples are lists, bytes are hexadecimal digits, and NaN and infinity are
        None.
        """
        return {field.name: plain_value(getattr(self, field.name)) for field in fields(self)}

    def to_row(self) -> dict[str, Any]:
        """Return the fields as a row of a table, with their own types."""
        return {name: getattr(self, name) for name in self.row_names()}

    @classmethod
    def row_names(cls) -> tuple[str, ...]:
        """Names of the columns that every row has."""
        return tuple(field.name for field in fields(cls))


@dataclass(frozen=True, eq=False)
class RecordList(Record, Sequence[RecordT]):
    """A sequence of records with facts about the whole.

    Its first field is the tuple of the records. A slice is a tuple of records, without the facts.
    """

    __slots__ = ()

    _record_type: ClassVar[type[Record]] = Record

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._record_type = get_args(cls.__orig_bases__[0])[0]  # type: ignore[attr-defined]  # of RecordList[...]

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each record; see `to_row` of the records for its columns.

        Raises:
            OptionalDependencyError: pandas is not installed.
        """
        with requires("pandas", "a data frame"):
            import pandas as pd
        rows = [record.to_row() for record in self]
        return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(self._record_type.row_names()))

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

    @property
    def _records(self) -> tuple[RecordT, ...]:
        records: tuple[RecordT, ...] = getattr(self, fields(self)[0].name)
        return records


def plain_value(value: object) -> Any:
    """Convert a value of a result as `Record.to_dict` does."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
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
    if hasattr(value, "dtype"):  # an array or a number of numpy
        import numpy as np  # slow to import, but such a value has done so already

        array = np.asarray(value)
        finite = np.issubdtype(array.dtype, np.number) and np.isfinite(array).all()
        return array.tolist() if finite else plain_value(array.tolist())
    if isinstance(value, Set):
        return sorted((plain_value(entry) for entry in value), key=str)
    if isinstance(value, Sequence):
        return [plain_value(entry) for entry in value]
    return value
