"""Forms of times in event logs, and positions in place of times."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.errors import CatalogError
from firstsight.recommend.events.event_times import (
    MAX_POSITION,
    RefusedRow,
    detect_unit,
    is_clock,
    is_day,
    parse_time,
    position_us,
    time_us,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-01T12:00:00Z",
        "2026-05-01 12:00:00 UTC",
        "2026-05-01 12:00:00.000000 UTC",
        "2026-05-01 08:00:00 -0400",
        "2026-05-01 14:00:00 +02:00",
        "2026-05-01 12:00:00 +0000 UTC",
        "2026/05/01 12:00",
        "2026-5-1 12:00:00",
        "01.05.2026 12:00",
        "1 May 2026, 12:00 GMT",
        "Fri, 01 May 2026 12:00:00 GMT",
        "May 1, 2026, 12:00:00 PM",
        "1-May-2026 12:00",
    ],
)
def test_a_moment_is_read_in_every_form_without_doubt(text: str) -> None:
    assert parse_time(text) == NOON
    assert detect_unit([text], "log") == "iso"


@pytest.mark.parametrize("value", [20260501, "20260501", "2026-05-01", "01.05.2026", date(2026, 5, 1)])
def test_a_day_is_its_first_moment_in_utc(value: object) -> None:
    assert is_day(value)
    assert time_us(value, "iso", NOW) == int(datetime(2026, 5, 1, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    "text", ["20261301", "99999999", "2026-02-30", "13:00 PM", "1 Mei 2026", "2026-05-01 25:00", "5/1/26"]
)
def test_a_text_that_is_no_time_is_none(text: str) -> None:
    assert parse_time(text) is None
    assert parse_time(text, "dmy") is None


@pytest.mark.parametrize(
    ("values", "unit", "days"),
    [
        (["05/01/2026", "13/01/2026"], "dmy", [5, 13]),
        (["5/1/2026 8:26", "5/13/2026 8:26 PM"], "mdy", [1, 13]),
        (["05-01-2026", "31-01-2026"], "dmy", [5, 31]),
    ],
)
def test_a_number_above_twelve_shows_the_order_of_day_and_month(values: list[str], unit: str, days: list[int]) -> None:
    assert detect_unit(values, "log") == unit
    assert [moment.day for value in values if (moment := parse_time(value, unit))] == days


@pytest.mark.parametrize("values", [["05/01/2026", "06/01/2026"], ["13/01/2026", "01/13/2026"]])
def test_dates_that_can_be_read_in_two_ways_are_refused_with_the_remedy(values: list[str]) -> None:
    with pytest.raises(CatalogError, match=r"log: .*--time-unit dmy .*--time-unit mdy"):
        detect_unit(values, "log")


@given(st.datetimes(datetime(1995, 1, 2), datetime(2026, 5, 30)), st.integers(-14 * 60, 14 * 60))
def test_a_time_with_a_zone_is_the_same_moment_in_utc(moment: datetime, minutes: int) -> None:
    sign, shift = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    local = moment + timedelta(minutes=minutes)
    assert parse_time(f"{local:%Y-%m-%d %H:%M:%S} {sign}{shift[0]:02}{shift[1]:02}") == moment.replace(
        microsecond=0, tzinfo=UTC
    )


def test_a_clock_is_no_date() -> None:
    assert is_clock("12:00:05")
    assert is_clock("9:30 PM")
    assert not is_clock("2026-05-01 12:00")


def test_positions_keep_their_order_and_depend_on_nothing_else() -> None:
    times = [position_us(position) for position in (0, "1", 2.0, MAX_POSITION)]
    assert times == sorted(times)
    assert times[0] == int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    assert times[1] - times[0] == 1_000_000
    assert times[-1] < int(NOW.timestamp()) * 1_000_000
    for bad in (-1, 1.5, "x", None, 1_700_000_000):
        with pytest.raises(RefusedRow, match="--order rows"):
            position_us(bad)
