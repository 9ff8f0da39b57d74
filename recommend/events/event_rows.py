"""Rows of an event file, checked: who, what, when, and how much it says."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal, get_args

from firstsight.errors import CatalogError
from firstsight.indexer.catalog import CONTROL_CHARACTERS, MAX_ID
from firstsight.indexer.column_values import as_text, as_utc
from firstsight.indexer.sources import Row

TimeUnit = Literal["s", "ms", "us", "iso"]
TIME_UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)

UNIT_WORDS: Mapping[TimeUnit, str] = {
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "iso": "dates and times as ISO 8601",
}

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "user_id": ("user_id", "user"),
    "item_id": ("item_id", "item", "product_id"),
    "timestamp": ("timestamp", "time", "ts"),
    "event": ("event", "event_type"),
    "weight": ("weight", "event_weight"),
}
"""Ours to the names a file may use; the first that it has counts."""

MAX_WEIGHT = 1e6
"""Above any scale in use; a larger weight is a price or an id in the wrong column."""

DOMINANT = 0.9
"""The share of a first batch's times that must agree on a unit; the others are refused by row."""

_PER_SECOND: Mapping[TimeUnit, int] = {"s": 1, "ms": 1_000, "us": 1_000_000}
_EARLIEST = datetime(1995, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_CLOCK_AHEAD = timedelta(days=1)  # clocks differ, and so do time zones that a file does not name


class RefusedRow(Exception):  # noqa: N818 - carried as a value, one per unusable row
    """One row that cannot be taken, and why; the rows around it can."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as it is stored."""

    user_id: str
    item_id: str
    time_us: int  # microseconds since 1970
    event: str | None
    weight: float

    @property
    def event_id(self) -> str:
        """The same for the same user, item, time and type: an event that comes again is written over itself."""
        # ids hold no control characters, so that the line ends keep them apart
        said = f"{self.user_id}\n{self.item_id}\n{self.time_us}\n{self.event or ''}"
        return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def detect_unit(rows: Iterable[Row], place: str) -> TimeUnit:
    """The unit of a file's times, from its first rows: what nine in ten of them can be, and can only be.

    Numbers count when they lie between 1995 and 2100 in one unit; the ranges of two units do not meet.

    Args:
        place: the file, for the message.

    Raises:
        CatalogError: most times are of no unit, or of different ones.
    """
    found = Counter(unit_of(value) for row in rows if (value := cell(row, "timestamp")) is not None)
    if not found:
        raise CatalogError(f"{place}: no row has a timestamp; name the column timestamp, time or ts")
    unit, times = found.most_common(1)[0]
    if unit is None:
        raise CatalogError(
            f"{place}: its timestamps are no ISO 8601 and, between 1995 and 2100, neither seconds nor milliseconds "
            "since 1970; say what they are with --time-unit s, ms, us or iso"
        )
    if times < DOMINANT * found.total():
        listed = ", ".join(f"{count} {UNIT_WORDS[one] if one else 'of no unit'}" for one, count in found.most_common())
        raise CatalogError(f"{place} mixes timestamps ({listed}); write them in one unit, or name it with --time-unit")
    return unit


def unit_of(value: object) -> TimeUnit | None:
    """The one unit that a time can be in; None where there is none."""
    if isinstance(value, date):  # a datetime is one too
        return "iso"
    number = _number(value)
    if number is None:
        return "iso" if isinstance(value, str) and _parse_iso(value) is not None else None
    for unit, per_second in _PER_SECOND.items():
        if _EARLIEST.timestamp() <= number / per_second < _LATEST.timestamp():
            return unit
    return None


def read_event(row: Row, unit: TimeUnit, now: datetime, *, unit_is_given: bool = False) -> Event:
    """Check one row.

    Args:
        unit: of the file's times.
        unit_is_given: the unit was named by a person, so that any time since 1970 is believed.

    Raises:
        RefusedRow: with what is wrong, its value, and what to do.
    """
    user_id, item_id = _id(row, "user_id"), _id(row, "item_id")
    event = cell(row, "event")
    name = None if event is None else _check_text(as_text(event).strip(), "event")
    return Event(user_id, item_id, _time_us(cell(row, "timestamp"), unit, now, unit_is_given), name, _weight(row))


def missing_columns(names: Sequence[str]) -> list[str]:
    """Which of the columns that an event must have are not among a file's."""
    return [ours for ours in ("user_id", "item_id", "timestamp") if not set(COLUMNS[ours]) & set(names)]


def cell(row: Row, ours: str) -> object | None:
    """The value of one of our columns under any of its names; None where it is empty."""
    for name in COLUMNS[ours]:
        if name in row:
            value = row[name]
            return None if isinstance(value, str) and not value.strip() else value
    return None


def _id(row: Row, ours: str) -> str:
    value = cell(row, ours)
    if value is None:
        raise RefusedRow(f"it has no {ours}; an event needs user_id, item_id and timestamp")
    if isinstance(value, bool | list | dict | bytes) or (isinstance(value, float) and not value.is_integer()):
        raise RefusedRow(f"{ours} {str(value)[:60]!r} is not an id; give a text or a whole number")
    return _check_text(as_text(value).strip(), ours)  # as the catalogue takes ids


def _check_text(text: str, ours: str) -> str:
    if len(text) > MAX_ID:
        raise RefusedRow(f"{ours} {text[:20]!r}… has {len(text)} characters, {MAX_ID} are allowed; check the columns")
    if CONTROL_CHARACTERS.search(text):
        raise RefusedRow(f"{ours} {text[:60]!r} holds control characters; clean it where the file is made")
    return text


def _weight(row: Row) -> float:
    value = cell(row, "weight")
    if value is None:
        return 1.0
    number = _number(value)
    if number is None or not 0 < number <= MAX_WEIGHT:
        raise RefusedRow(f"weight {str(value)[:60]!r} is not a number above 0 and up to {MAX_WEIGHT:.0f}; mend it")
    return number


def _time_us(value: object, unit: TimeUnit, now: datetime, unit_is_given: bool) -> int:
    if value is None:
        raise RefusedRow("it has no timestamp; an event needs user_id, item_id and timestamp")
    shown = repr(value.isoformat() if isinstance(value, date) else str(value)[:60])
    typed = _date_to_utc(value) if isinstance(value, date) else None
    number = _number(value)
    if typed is None and unit == "iso":
        typed = _parse_iso(value) if isinstance(value, str) and number is None else None
        if typed is None:
            raise RefusedRow(f"timestamp {shown} is not ISO 8601 as the file's others are; write it like them")
    if typed is None:
        if number is None:
            raise RefusedRow(f"timestamp {shown} is not in {UNIT_WORDS[unit]} as the file's others are")
        seconds = number / _PER_SECOND[unit]
        earliest = 0.0 if unit_is_given else _EARLIEST.timestamp()
        if not earliest <= seconds < _LATEST.timestamp():
            raise RefusedRow(f"timestamp {shown} is no time between 1995 and 2100 in {UNIT_WORDS[unit]}; mend it")
        time_us = round(number * (1_000_000 // _PER_SECOND[unit]))
    else:
        time_us = (typed - _EPOCH) // timedelta(microseconds=1)
        if time_us < 0:
            raise RefusedRow(f"timestamp {shown} lies before 1970; mend it")
    if time_us > (now + _MAX_CLOCK_AHEAD - _EPOCH) // timedelta(microseconds=1):
        raise RefusedRow(f"timestamp {shown} lies in the future; check the clock or the time zone of its source")
    return time_us


def _number(value: object) -> float | None:
    """A finite number, also where a text holds it."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _date_to_utc(value: date) -> datetime:
    try:
        return as_utc(value)
    except OverflowError:  # the first day there is, east of Greenwich
        raise RefusedRow(f"timestamp {value.isoformat()!r} lies before 1970; mend it") from None


def _parse_iso(text: str) -> datetime | None:
    try:
        return as_utc(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        return None
