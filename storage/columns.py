"""The catalogue's own columns: four kinds of value, inferred once and kept to.

| kind | stored as | read from |
|---|---|---|
| number | float64 | numbers, and text in which every value is one ("12", "-3.5", not "007") |
| flag | bool | booleans, and text in which every value is true or false |
| time | timestamp (UTC) | Parquet dates and timestamps |
| text | string | everything else; lists and objects as JSON |

One float64 kind for every number means that 52 today and 52.5 tomorrow are the same column. Whole numbers
too large for a float64 to hold (above 2**53, typically ids) stay text, so that no digit is lost.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

ColumnKind = Literal["number", "flag", "time", "text"]
Value: TypeAlias = "float | bool | datetime | str | None"

NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?")
MAX_EXACT_INTEGER = 2**53


class WrongKindError(ValueError):
    """A value that does not fit its column's kind."""


def kind_of(value: object) -> ColumnKind | None:
    """The narrowest kind that holds this value; None for a missing one.

    Raises:
        WrongKindError: bytes, which no kind holds.
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | Decimal):
        return "number" if -MAX_EXACT_INTEGER <= value <= MAX_EXACT_INTEGER else "text"
    if isinstance(value, float):
        if math.isinf(value):
            raise WrongKindError("is not a finite number")
        return "number"
    if isinstance(value, date):  # datetime is one, too
        return "time"
    if isinstance(value, bytes):
        raise WrongKindError("binary data, which is not kept; leave the column out with --drop")
    if isinstance(value, str):
        if NUMBER.fullmatch(value) and abs(Decimal(value)) <= MAX_EXACT_INTEGER:
            return "number"
        return "flag" if value.lower() in {"true", "false"} else "text"
    return "text"


def join(first: ColumnKind | None, second: ColumnKind | None) -> ColumnKind | None:
    """The kind that holds values of both: the same one, else text."""
    if first is None or second is None:
        return first or second
    return first if first == second else "text"


def convert(value: object, kind: ColumnKind) -> Value:
    """A catalogue's value as its column's kind.

    Raises:
        WrongKindError: it does not fit; the message is a clause such as "is not a number".
    """
    found = kind_of(value)
    if found is None:
        return None
    if kind == "text":
        return as_text(value)
    if found != kind:
        raise WrongKindError(f"is not a {kind}")
    if kind == "number":
        return float(value)  # type: ignore[arg-type]  # kind_of admits int, float, Decimal, numeric text
    if kind == "flag":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    return as_utc(value)  # type: ignore[arg-type]  # kind_of admits date and datetime


def as_text(value: object) -> str:
    """Text as it is, lists and objects as JSON, whole floats without their `.0`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_EXACT_INTEGER:
        return str(int(value))
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str, sort_keys=True)
    return str(value)


def as_utc(value: date | datetime) -> datetime:
    """A date or time as UTC; one without a zone is taken as UTC already."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def arrow_type(kind: ColumnKind) -> pa.DataType:
    """The Arrow type a kind is stored as."""
    import pyarrow as pa

    types: dict[ColumnKind, pa.DataType] = {
        "number": pa.float64(),
        "flag": pa.bool_(),
        "time": pa.timestamp("us", "UTC"),
        "text": pa.string(),
    }
    return types[kind]


def kind_of_arrow(stored: pa.DataType) -> ColumnKind:
    """The kind a stored column has."""
    import pyarrow as pa

    if pa.types.is_floating(stored):
        return "number"
    if pa.types.is_boolean(stored):
        return "flag"
    return "time" if pa.types.is_timestamp(stored) else "text"
