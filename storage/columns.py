"""Kinds of the catalogue's own columns, and their Arrow types.

| kind | stored as | read from |
|---|---|---|
| number | float64 | numbers, and text columns with only numbers ("12", "-3.5", not "007") |
| flag | bool | booleans, and text columns with only true and false |
| time | timestamp (UTC) | Parquet dates and timestamps |
| text | string | everything else; lists and objects as JSON |

All numbers are float64, so 52 today and 52.5 tomorrow fit one column. Whole numbers above 2**53, typically ids, do not
fit a float64 exactly. They are stored as text and keep all digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

ColumnKind = Literal["number", "flag", "time", "text"]


def arrow_type(kind: ColumnKind) -> pa.DataType:
    """The Arrow type of a kind."""
    import pyarrow as pa

    types: dict[ColumnKind, pa.DataType] = {
        "number": pa.float64(),
        "flag": pa.bool_(),
        "time": pa.timestamp("us", "UTC"),
        "text": pa.string(),
    }
    return types[kind]


def kind_of_arrow(stored: pa.DataType) -> ColumnKind:
    """The kind of a stored column."""
    import pyarrow as pa

    if pa.types.is_floating(stored):
        return "number"
    if pa.types.is_boolean(stored):
        return "flag"
    return "time" if pa.types.is_timestamp(stored) else "text"
