"""Rows of an event file, checked: user, item, time, type and weight."""

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
from firstsight.indexer.formats.source import Row

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
"""Our columns and the names that a file may use for them; the first name present in the file counts."""

MAX_WEIGHT = 1e6
"""Higher than any scale in use: a larger weight is a price or an id in the wrong column."""

DOMINANT = 0.9
"""The share of times in the first batch that must agree on a unit; rows with other times are refused."""

_PER_SECOND: Mapping[TimeUnit, int] = {"s": 1, "ms": 1_000, "us": 1_000_000}
_EARLIEST = datetime(1995, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_CLOCK_AHEAD = timedelta(days=1)  # clocks differ, and so do time zones that a file leaves out


class RefusedRow(Exception):  # noqa: N818 - carried as a value, one per unusable row
    """One unusable row and the reason; the other rows are not affected."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it is stored."""

    user_id: str
    item_id: str
    time_us: int  # microseconds since 1970
    event: str | None
    weight: float

    @property
    def event_id(self) -> str:
        """A hash of user, item, time and type: an event that is added again overwrites itself."""
        # ids hold no control characters, so line ends separate them safely
        key = f"{self.user_id}\n{self.item_id}\n{self.time_us}\n{self.event or ''}"
        return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def detect_unit(rows: Iterable[Row], place: str) -> TimeUnit:
    """Detect the unit of a file's times from its first rows: nine in ten times must fit one unit.

    A number fits a unit if it lies between 1995 and 2100 in it. The ranges of two units do not overlap.

    Args:
        rows: the first rows of the file.
        place: name of the file, for messages.

    Raises:
        CatalogError: there are no times, most have no known unit, or their units differ.
    """
    found = Counter(unit_of(value) for row in rows if (value := cell(row, "timestamp")) is not None)
    if not found:
        raise CatalogError(f"{place}: no row has a timestamp; name the column timestamp, time or ts")
    unit, times = found.most_common(1)[0]
    if unit is None:
        raise CatalogError(
            f"{place}: its timestamps are neither ISO 8601 nor, between 1995 and 2100, seconds, milliseconds or "
            "microseconds since 1970; name their unit with --time-unit s, ms, us or iso"
        )
    if times < DOMINANT * found.total():
        counts = ", ".join(f"{count} {UNIT_WORDS[u] if u else 'of no unit'}" for u, count in found.most_common())
        raise CatalogError(f"{place} mixes timestamps ({counts}); write them in one unit, or name it with --time-unit")
    return unit


def unit_of(value: object) -> TimeUnit | None:
    """Detect the only unit that fits one time; None if no unit fits."""
    if isinstance(value, date):  # datetime is a subclass
        return "iso"
    number = _number(value)
    if number is None:
        return "iso" if isinstance(value, str) and _parse_iso(value) is not None else None
    for unit, per_second in _PER_SECOND.items():
        if _EARLIEST.timestamp() <= number / per_second < _LATEST.timestamp():
            return unit
    return None


def read_event(row: Row, unit: TimeUnit, now: datetime, *, unit_is_given: bool = False) -> Event:
    """Check one row and make an event of it.

    Args:
        row: cells by column name.
        unit: of the file's times.
        now: with a zone; times more than a day later are refused.
        unit_is_given: the user named the unit: accept any time since 1970.

    Raises:
        RefusedRow: the row is unusable; the message has the value and the remedy.
    """
    user_id, item_id = _id(row, "user_id"), _id(row, "item_id")
    event = cell(row, "event")
    name = None if event is None else _check_text(as_text(event).strip(), "event")
    return Event(user_id, item_id, _time_us(cell(row, "timestamp"), unit, now, unit_is_given), name, _weight(row))


def missing_columns(names: Sequence[str]) -> list[str]:
    """List the required columns that a file lacks."""
    return [column for column in ("user_id", "item_id", "timestamp") if not set(COLUMNS[column]) & set(names)]


def cell(row: Row, column: str) -> object | None:
    """The value of one of our columns under any of its names; None if it is empty."""
    for name in COLUMNS[column]:
        if name in row:
            value = row[name]
            return None if isinstance(value, str) and not value.strip() else value
    return None


def _id(row: Row, column: str) -> str:
    value = cell(row, column)
    if value is None:
        raise RefusedRow(f"the event has no {column}; an event needs user_id, item_id and timestamp")
    if isinstance(value, bool | list | dict | bytes) or (isinstance(value, float) and not value.is_integer()):
        raise RefusedRow(f"{column} {str(value)[:60]!r} is not an id; give a text or a whole number")
    return _check_text(as_text(value).strip(), column)  # the same rules as for ids of the catalogue


def _check_text(text: str, column: str) -> str:
    if len(text) > MAX_ID:
        raise RefusedRow(f"{column} {text[:20]!r}… has {len(text)} characters, more than {MAX_ID}; check the columns")
    if CONTROL_CHARACTERS.search(text):
        raise RefusedRow(f"{column} {text[:60]!r} has control characters; remove them where the file is made")
    return text


def _weight(row: Row) -> float:
    value = cell(row, "weight")
    if value is None:
        return 1.0
    number = _number(value)
    if number is None or not 0 < number <= MAX_WEIGHT:
        raise RefusedRow(f"weight {str(value)[:60]!r} is not a number above 0 and up to {MAX_WEIGHT:.0f}; correct it")
    return number


def _time_us(value: object, unit: TimeUnit, now: datetime, unit_is_given: bool) -> int:
    if value is None:
        raise RefusedRow("the event has no timestamp; an event needs user_id, item_id and timestamp")
    shown = repr(value.isoformat() if isinstance(value, date) else str(value)[:60])
    typed = _date_to_utc(value) if isinstance(value, date) else None
    number = _number(value)
    if typed is None and unit == "iso":
        typed = _parse_iso(value) if isinstance(value, str) and number is None else None
        if typed is None:
            raise RefusedRow(f"timestamp {shown} is not ISO 8601 like the other times of the file; write it like them")
    if typed is None:
        if number is None:
            raise RefusedRow(f"timestamp {shown} is not in {UNIT_WORDS[unit]} like the other times of the file")
        seconds = number / _PER_SECOND[unit]
        earliest = 0.0 if unit_is_given else _EARLIEST.timestamp()
        if not earliest <= seconds < _LATEST.timestamp():
            raise RefusedRow(f"timestamp {shown} is not between 1995 and 2100 in {UNIT_WORDS[unit]}; correct it")
        time_us = round(number * (1_000_000 // _PER_SECOND[unit]))
    else:
        time_us = (typed - _EPOCH) // timedelta(microseconds=1)
        if time_us < 0:
            raise RefusedRow(f"timestamp {shown} is before 1970; correct it")
    if time_us > (now + _MAX_CLOCK_AHEAD - _EPOCH) // timedelta(microseconds=1):
        raise RefusedRow(f"timestamp {shown} is in the future; check the clock or the time zone of its source")
    return time_us


def _number(value: object) -> float | None:
    """A finite number, also from text; None for anything else."""
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
    except OverflowError:  # the first day of the calendar, east of Greenwich
        raise RefusedRow(f"timestamp {value.isoformat()!r} is before 1970; correct it") from None


def _parse_iso(text: str) -> datetime | None:
    try:
        return as_utc(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        return None
