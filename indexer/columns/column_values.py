"""Values of the catalogue's own columns: find their kind, and convert them."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TypeAlias

from firstsight.indexer.formats.source import EmbeddedMedium
from firstsight.storage.columns import ColumnKind, reinterpret

ColumnValue: TypeAlias = "float | bool | datetime | str | None"

NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?")
MAX_EXACT_INTEGER = 2**53
_FIRST_OF_NUMBERS = frozenset("+-0123456789")


class WrongKindError(ValueError):
    """A value does not fit the kind of its column; the message is a clause such as "is not a number"."""


def kind_of(value: object) -> ColumnKind | None:
    """The narrowest kind of a value; None for a missing value, and for pictures, which no column holds.

    Raises:
        WrongKindError: the value is bytes or an infinite number, which no kind holds.
    """
    if isinstance(value, str):
        return _kind_of_text(value)
    if value is None or (isinstance(value, float) and math.isnan(value)) or holds_only_media(value):
        return None
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | Decimal):
        return "number" if -MAX_EXACT_INTEGER <= value <= MAX_EXACT_INTEGER else "text"
    if isinstance(value, float):
        if math.isinf(value):
            raise WrongKindError("is not a finite number")
        return "number"
    if isinstance(value, date):  # includes datetime
        return "time"
    if isinstance(value, bytes):
        raise WrongKindError("binary data, which cannot be stored; leave the column out with --drop")
    return "text"


def _kind_of_text(value: str) -> ColumnKind | None:
    if not value:
        return None
    if value[0] in _FIRST_OF_NUMBERS and NUMBER.fullmatch(value) and abs(Decimal(value)) <= MAX_EXACT_INTEGER:
        return "number"
    return "flag" if len(value) <= len("false") and value.lower() in {"true", "false"} else "text"


def join(first: ColumnKind | None, second: ColumnKind | None) -> ColumnKind | None:
    """The kind for values of both kinds: text if they differ; None means no value."""
    if first is None or second is None:
        return first or second
    return first if first == second else "text"


def convert(value: object, kind: ColumnKind, *, chosen: bool = False) -> ColumnValue:
    """Convert a catalogue's value to the kind of its column.

    Args:
        chosen: whether a user has chosen the kind; "007" is then the number 7, and 1 and "yes" are flags.

    Raises:
        WrongKindError: the value does not fit the kind.
    """
    own_kind = kind_of(value)
    if own_kind is None:
        return None
    if kind == "text":
        return as_text(value)
    if own_kind != kind:
        fitting = reinterpret(value, kind) if chosen or kind == "time" else None
        if fitting is None:
            raise WrongKindError(f"is not a {kind}")
        return fitting
    if kind == "number":
        return float(value)  # type: ignore[arg-type]  # kind_of admits int, float, Decimal, numeric text
    if kind == "flag":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    return as_utc(value)  # type: ignore[arg-type]  # kind_of admits date and datetime


def as_text(value: object) -> str:
    """Convert a value to text: lists and objects become JSON without their pictures, whole floats lose their `.0`."""
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
        return json.dumps(_without_media(value), ensure_ascii=False, default=str, sort_keys=True)
    return str(value)


def holds_only_media(value: object) -> bool:
    """Whether a value is an embedded medium, or lists and objects of nothing else."""
    if isinstance(value, list | tuple | dict):
        entries = [entry for entry in (value.values() if isinstance(value, dict) else value) if entry is not None]
        return bool(entries) and all(map(holds_only_media, entries))
    return isinstance(value, EmbeddedMedium)


def _without_media(value: object) -> object:
    binary = EmbeddedMedium | bytes
    if isinstance(value, list | tuple):
        return [_without_media(entry) for entry in value if not isinstance(entry, binary)]
    if isinstance(value, dict):
        return {key: _without_media(entry) for key, entry in value.items() if not isinstance(entry, binary)}
    return value


def as_utc(value: date | datetime) -> datetime:
    """Convert a date or time to UTC; a time without a zone counts as UTC."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
