"""Times of events: units of numbers, forms of dates, and positions in place of times."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Literal, get_args

from firstsight.errors import CatalogError
from firstsight.indexer.columns.column_values import as_utc

TimeUnit = Literal["s", "ms", "us", "iso", "dmy", "mdy"]
TIME_UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)

UNIT_WORDS: Mapping[str, str] = {
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "iso": "dates and times",
    "dmy": "dates as day/month/year",
    "mdy": "dates as month/day/year",
    "order": "positions, stored as seconds from 2000-01-01 on",
}

DOMINANT = 0.9
"""The share of times in the first batch that must agree on a unit; rows with other times are refused."""

MAX_POSITION = 500_000_000
"""Largest position in a log without times; its time is in 2015, before any real one of a new log."""

_PER_SECOND: Mapping[str, int] = {"s": 1, "ms": 1_000, "us": 1_000_000}
_EARLIEST = datetime(1995, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ORDER_START_S = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
_MAX_CLOCK_AHEAD = timedelta(days=1)  # clocks differ, and so do time zones that a file leaves out

_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?"
)
_ZONE = r"(?P<zone>Z|(?:(?:UTC|GMT)\s*)?(?P<offset>[+-]\d{2}(?::?\d{2})?)(?:\s*(?:UTC|GMT))?|UTC|GMT)"
_AFTER_DATE = rf"(?:(?:T|,?\s+)\s*{_CLOCK})?\s*(?:{_ZONE})?"
_YEAR = r"(?P<year>\d{4})"
_FORMS = tuple(
    re.compile(rf"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?{form}{_AFTER_DATE}", re.IGNORECASE)
    for form in (
        rf"{_YEAR}[-/.](?P<month>\d{{1,2}})[-/.](?P<day>\d{{1,2}})",
        rf"{_YEAR}(?P<month>\d{{2}})(?P<day>\d{{2}})",
        rf"(?P<day>\d{{1,2}})\.\s?(?P<month>\d{{1,2}})\.\s?{_YEAR}",
        rf"(?P<first>\d{{1,2}})[/-](?P<then>\d{{1,2}})[/-]{_YEAR}",
        rf"(?P<day>\d{{1,2}})[\s-](?P<word>[a-z]{{3,9}})\.?,?[\s-]{_YEAR}",
        rf"(?P<word>[a-z]{{3,9}})\.?\s+(?P<day>\d{{1,2}}),?\s+{_YEAR}",
    )
)
_CLOCK_ONLY = re.compile(rf"{_CLOCK}\s*(?:{_ZONE})?", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class RefusedRow(Exception):  # noqa: N818 - carried as a value, one per unusable row
    """One unusable row and the reason; the other rows are not affected."""


def detect_unit(values: Iterable[object], place: str) -> TimeUnit:
    """Detect the unit of a file's times from its first rows: nine in ten times must fit one unit.

    A number fits a unit if it lies between 1995 and 2100 in it. The ranges of two units do not overlap. The order of
    day and month in dates such as 13/05/2026 is known if a number above 12 shows it, and no other date denies it.

    Args:
        values: the times of the first rows; None for a row without one.
        place: name of the file, for messages.

    Raises:
        CatalogError: there are no times, most have no known unit, or their units differ.
    """
    found: Counter[str | None] = Counter(_form_of(value) for value in values if value is not None)
    if not found:
        raise CatalogError(f"{place}: no row has a timestamp; name its column with --map timestamp=NAME")
    orders = [order for order in ("dmy", "mdy") if found[order]]
    if len(orders) == 1:
        found[orders[0]] += found.pop("day or month", 0)
    found = +found
    form, times = found.most_common(1)[0]
    if form == "day or month" or len(orders) == 2:
        raise CatalogError(
            f"{place}: dates such as 05/01/2026 can be 5 January or 1 May; say which with --time-unit dmy (day first) "
            "or --time-unit mdy (month first)"
        )
    if form is None:
        raise CatalogError(
            f"{place}: its timestamps are neither dates nor, between 1995 and 2100, seconds, milliseconds or "
            "microseconds since 1970; name their unit with --time-unit s, ms, us or iso"
        )
    if times < DOMINANT * found.total():
        counts = ", ".join(f"{count} {UNIT_WORDS.get(u or '', 'of no unit')}" for u, count in found.most_common())
        raise CatalogError(f"{place} mixes timestamps ({counts}); write them in one unit, or name it with --time-unit")
    return _as_unit(form)


def unit_of(value: object) -> TimeUnit | None:
    """Detect the only unit that fits one time; None if no unit fits, or if day and month could be exchanged."""
    form = _form_of(value)
    return None if form in {None, "day or month"} else _as_unit(str(form))


def is_time(value: object) -> bool:
    """Whether a value is a time in any form, also a date whose day and month could be exchanged."""
    return _form_of(value) is not None


def is_clock(value: object) -> bool:
    """Whether a text is a time of day without a date."""
    return isinstance(value, str) and _CLOCK_ONLY.fullmatch(value.strip()) is not None


def is_day(value: object) -> bool:
    """Whether a value is a date without a time of day."""
    if isinstance(value, date):
        return not isinstance(value, datetime)
    return ":" not in str(value) and _form_of(value) in {"iso", "dmy", "mdy", "day or month"}


def time_us(value: object, unit: str, now: datetime, *, unit_is_given: bool = False) -> int:
    """Convert a time to microseconds since 1970.

    Args:
        value: a cell of the file; None if it is empty.
        unit: of the file's times. Times without a zone are UTC.
        now: with a zone; times more than a day later are refused.
        unit_is_given: the user named the unit: accept any time since 1970.

    Raises:
        RefusedRow: the value is no time of this unit, before 1970, or in the future.
    """
    if value is None:
        raise RefusedRow("the event has no timestamp; an event needs user_id, timestamp, and item_id or query")
    shown = repr(value.isoformat() if isinstance(value, date) else str(value)[:60])
    if isinstance(value, date) or unit not in _PER_SECOND:
        typed = _date_to_utc(value) if isinstance(value, date) else parse_time(value, unit)
        if typed is None:
            raise RefusedRow(
                f"timestamp {shown} is not one of {UNIT_WORDS[unit]} like the others of the file; correct it"
            )
        moment = (typed - _EPOCH) // timedelta(microseconds=1)
        if moment < 0:
            raise RefusedRow(f"timestamp {shown} is before 1970; correct it")
    else:
        number = number_of(value)
        if number is None:
            raise RefusedRow(f"timestamp {shown} is not in {UNIT_WORDS[unit]} like the other times of the file")
        earliest = 0.0 if unit_is_given else _EARLIEST.timestamp()
        if not earliest <= number / _PER_SECOND[unit] < _LATEST.timestamp():
            raise RefusedRow(f"timestamp {shown} is not between 1995 and 2100 in {UNIT_WORDS[unit]}; correct it")
        moment = round(number * (1_000_000 // _PER_SECOND[unit]))
    if moment > (now + _MAX_CLOCK_AHEAD - _EPOCH) // timedelta(microseconds=1):
        raise RefusedRow(f"timestamp {shown} is in the future; check the clock or the time zone of its source")
    return moment


def position_us(value: object) -> int:
    """The time that stands for a position in a log without times: 2000-01-01, and one second more for each position.

    It depends on the position alone, so adding the same row again gives the same event.

    Raises:
        RefusedRow: the value is not a whole number from 0 to `MAX_POSITION`.
    """
    number = None if value is None else number_of(value)
    if number is None or not number.is_integer() or not 0 <= number <= MAX_POSITION:
        raise RefusedRow(
            f"position {str(value)[:60]!r} is not a whole number from 0 to {MAX_POSITION:,}; correct it, or use the "
            "order of the rows with --order rows"
        )
    return (_ORDER_START_S + int(number)) * 1_000_000


def number_of(value: object) -> float | None:
    """A finite number, also from text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def parse_time(value: object, unit: str = "iso") -> datetime | None:
    """Parse a date or time in text, or a number such as 20260501, to UTC; None if it is no time.

    Args:
        value: for example 2026-05-01T12:00:00Z, 2026-05-01 12:00:00 -0400, 20260501, 1.5.2026 or May 1, 2026 12:00 PM.
        unit: "dmy" or "mdy" gives the order of day and month in dates with slashes; otherwise they are no times.
    """
    if number_of(value) is not None:
        text = str(int(number_of(value) or 0))
        return _parse_form(text, unit) if len(text) == 8 and "1995" <= text[:4] < "2100" else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        return as_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return _parse_form(text, unit)


def _parse_form(text: str, unit: str) -> datetime | None:
    for form in _FORMS:
        if match := form.fullmatch(text):
            try:
                return _to_datetime(match.groupdict(), unit)
            except (ValueError, OverflowError):
                return None
    return None


def _to_datetime(parts: Mapping[str, str | None], unit: str) -> datetime | None:
    day, month = parts.get("day"), parts.get("month")
    if parts.get("first"):
        if unit not in {"dmy", "mdy"}:
            return None
        day, month = (parts["first"], parts["then"]) if unit == "dmy" else (parts["then"], parts["first"])
    if word := parts.get("word"):
        month = str(_MONTHS.index(word.lower()[:3]) + 1)
    hour, half = int(parts["hour"] or 0), parts["half"]
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half.lower() == "p" else 0)
    fraction = int((parts["fraction"] or "").ljust(6, "0")[:6])
    zone = UTC
    if offset := parts["offset"]:
        digits = offset[1:].replace(":", "").ljust(4, "0")
        shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        zone = timezone(-shift if offset[0] == "-" else shift)
    year, minute, second = int(parts["year"] or 0), int(parts["minute"] or 0), int(parts["second"] or 0)
    return as_utc(datetime(year, int(month or 0), int(day or 0), hour, minute, second, fraction, zone))


def _form_of(value: object) -> str | None:
    """The unit of a time, "day or month" for a date with slashes that can be read in two ways, or None."""
    if isinstance(value, date):  # datetime is a subclass
        return "iso"
    number = number_of(value)
    if number is not None:
        for unit, per_second in _PER_SECOND.items():
            if _EARLIEST.timestamp() <= number / per_second < _LATEST.timestamp():
                return unit
        return "iso" if parse_time(value) is not None else None
    if parse_time(value) is not None:
        return "iso"
    fitting = [order for order in ("dmy", "mdy") if parse_time(value, order) is not None]
    return "day or month" if len(fitting) == 2 else next(iter(fitting), None)


def _as_unit(form: str) -> TimeUnit:
    return next(unit for unit in TIME_UNITS if unit == form)


def _date_to_utc(value: date) -> datetime:
    try:
        return as_utc(value)
    except OverflowError:  # the first day of the calendar, east of Greenwich
        raise RefusedRow(f"timestamp {value.isoformat()!r} is before 1970; correct it") from None
