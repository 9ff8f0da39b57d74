"""Values of the catalogue's own columns: their four kinds, and their conversion without loss."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.indexer.columns.column_values import WrongKindError, as_text, as_utc, convert, join, kind_of
from firstsight.storage.columns import ColumnKind


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("12", "number"),
        ("-3.5", "number"),
        ("1e5", "number"),
        (12, "number"),
        (0.5, "number"),
        (Decimal("9.90"), "number"),
        (2**53, "number"),
        ("007", "text"),
        (".5", "text"),
        ("1,5", "text"),
        ("12 ", "text"),
        ("inf", "text"),
        ("nan", "text"),
        (2**53 + 1, "text"),
        (str(2**53), "number"),
        (str(2**53 + 1), "text"),
        (Decimal(2**53 + 1), "text"),
        ("1e999", "text"),
        (True, "flag"),
        ("TRUE", "flag"),
        ("false", "flag"),
        ("yes", "text"),
        (date(2026, 5, 1), "time"),
        (datetime(2026, 5, 1), "time"),
        ("2026-05-01", "text"),
        (["a"], "text"),
        ({"a": 1}, "text"),
        (None, None),
        ("", None),
        (math.nan, None),
    ],
)
def test_a_value_has_the_narrowest_kind_that_holds_it(value: object, kind: ColumnKind | None) -> None:
    assert kind_of(value) == kind


def test_binary_data_has_no_kind() -> None:
    with pytest.raises(WrongKindError, match="--drop"):
        kind_of(b"\x00")


@pytest.mark.parametrize(
    ("value", "kind", "kept"),
    [
        ("12", "number", 12.0),
        (Decimal("9.90"), "number", 9.9),
        ("True", "flag", True),
        ("007", "text", "007"),
        (12.0, "text", "12"),
        (2**60, "text", str(2**60)),
        (True, "text", "true"),
        ({"b": [1], "a": "é"}, "text", '{"a": "é", "b": [1]}'),
        (uuid.UUID(int=1), "text", str(uuid.UUID(int=1))),
        (date(2026, 5, 1), "text", "2026-05-01"),
        (date(2026, 5, 1), "time", datetime(2026, 5, 1, tzinfo=UTC)),
        (None, "number", None),
        ("", "text", None),
    ],
)
def test_a_value_is_converted_to_the_kind_of_its_column(value: object, kind: ColumnKind, kept: object) -> None:
    assert convert(value, kind) == kept


@pytest.mark.parametrize(("value", "kind"), [("M", "number"), ("007", "number"), (1, "flag"), ("2026", "time")])
def test_a_value_of_another_kind_is_refused(value: object, kind: ColumnKind) -> None:
    with pytest.raises(WrongKindError, match=f"is not a {kind}"):
        convert(value, kind)


def test_a_time_with_a_zone_is_kept_as_the_same_moment_in_utc() -> None:
    there = datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert as_utc(there) == there
    assert as_utc(there).utcoffset() == timedelta(0)


values = (
    st.text()
    | st.integers()
    | st.floats(allow_infinity=False)
    | st.booleans()
    | st.datetimes(min_value=datetime(1900, 1, 1))
    | st.lists(st.integers(), max_size=3)
    | st.none()
)


@given(values)
def test_every_value_converts_to_its_own_kind_and_to_text(value: object) -> None:
    kind = kind_of(value)
    for wanted in (kind, "text"):
        if wanted is not None:
            assert (convert(value, wanted) is None) == (kind is None)


@given(
    st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, min_value=-(2**53), max_value=2**53)
)
def test_a_number_written_as_text_is_the_number(number: float) -> None:
    text = repr(number)
    assert kind_of(text) == "number"
    assert convert(text, "number") == float(number)


@given(st.integers() | st.text())
def test_text_of_a_whole_number_or_a_text_loses_nothing(value: int | str) -> None:
    assert as_text(value) == str(value)


@given(st.lists(values, max_size=6))
def test_values_always_fit_their_joined_kind(column: list[object]) -> None:
    kind: ColumnKind | None = None
    for value in column:
        kind = join(kind, kind_of(value))
    for value in column:
        if kind is not None:
            convert(value, kind)


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(WrongKindError, match="not a finite number"):
        kind_of(value)
