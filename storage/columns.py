"""Kinds of the catalogue's own columns, and their Arrow types.

| kind | stored as | read from |
|---|---|---|
| number | float64 | numbers, and text columns with only numbers ("12", "-3.5", not "007") |
| flag | bool | booleans, and text columns with only true and false |
| time | timestamp (UTC) | Parquet dates and timestamps; texts in ISO 8601 if the column is already a time |
| text | string | everything else; lists and objects as JSON |

All numbers are float64, so 52 today and 52.5 tomorrow fit one column. Whole numbers above 2**53, typically ids, do not
fit a float64 exactly. They are stored as text and keep all digits.

A value of another kind fits a column in some cases (`reinterpret`): "007" is the number 7, "yes" and 1 are flags.
`column_conversion.py` does the same to stored columns in SQL, so both must accept the same values.
"""

from __future__ import annotations

import math
import re
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, get_args

from firstsight.storage.quoted_names import quote_name

if TYPE_CHECKING:
    import pyarrow as pa

ColumnKind = Literal["number", "flag", "time", "text"]
COLUMN_KINDS: Final[tuple[ColumnKind, ...]] = get_args(ColumnKind)

FIXED_KINDS: Final[dict[str, ColumnKind]] = {"group_id": "text", "variant_ids": "text", "currency": "text"}
"""Kinds of columns that firstsight gives a meaning; ids of products are texts, even if all of them have only digits."""

OWN_KINDS: Final[dict[str, ColumnKind]] = {
    **dict.fromkeys(("item_id", "kind", "title", "text"), "text"),
    **dict.fromkeys(("created_at", "starts_at", "expires_at", "indexed_at"), "time"),
    **dict.fromkeys(("safety_decision", "safety_scores", "safety_policy_version"), "text"),
    "safety_min_age": "number",
}
"""Kinds of firstsight's own columns that filters can use."""

NUMBER_TEXT: Final = r"^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,3})?$"
EXACT_NUMBER: Final = 2**53  # whole numbers below it fit a float64 exactly
TRUE_TEXTS: Final = ("true", "yes", "1")
FALSE_TEXTS: Final = ("false", "no", "0")
TIME_TEXT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
TIME_YEARS: Final = range(1678, 2262)  # of stored times: LanceDB casts by nanoseconds, which have these years


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

    if pa.types.is_floating(stored) or pa.types.is_integer(stored):
        return "number"
    if pa.types.is_boolean(stored):
        return "flag"
    return "time" if pa.types.is_timestamp(stored) else "text"


def types_option(name: str, kind: ColumnKind) -> str:
    """The option that gives a column a type, for messages: a shell reads it as it is."""
    listed = f"{quote_name(name)}={kind}"
    return f"--types {shlex.quote(listed)}"


def reinterpret(value: object, kind: ColumnKind) -> float | bool | datetime | None:
    """Read a text, number or flag as a value of another kind than its own; None if it does not fit.

    Args:
        value: "007", " 12 ", ".5" are numbers; "yes", "No", "1", 0 are flags; "2026-05-01" and "2026-05-01 12:00" are
            times, in UTC without a zone.
        kind: number, flag or time.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return bool(value) if kind == "flag" and value in {0, 1} else None
    if not isinstance(value, str):
        return None
    text = value.strip(" ")
    if kind == "number":
        return _number(text)
    if kind == "flag":
        lower = text.lower()
        return True if lower in TRUE_TEXTS else (False if lower in FALSE_TEXTS else None)
    return _time(text)


def _number(text: str) -> float | None:
    if not re.fullmatch(NUMBER_TEXT, text):
        return None
    number = float(text)
    return number if math.isfinite(number) and abs(number) < EXACT_NUMBER else None


def _time(text: str) -> datetime | None:
    if not TIME_TEXT.fullmatch(text):
        return None
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: before year 1 in UTC
        return None
    return time if time.year in TIME_YEARS else None
