"""Positions that stand for times are recognised."""

from __future__ import annotations

import numpy as np
import pytest

from firstsight.recommend.events.event_times import position_us
from firstsight.recommend.events.order_times import has_order_only

DAY = 86_400_000_000
START = position_us(0)


def positions(values: list[int]) -> np.ndarray:
    return np.array([position_us(value) for value in values])


@pytest.mark.parametrize("values", [[0, 1, 2, 0, 1], [0, 0, 0], [1, 1, 2], list(range(500)), [7, 8, 30]])
def test_positions_are_recognised(values: list[int]) -> None:
    assert has_order_only(positions(values))


def test_a_log_with_positions_among_real_times_is_recognised() -> None:
    assert has_order_only(np.concatenate([positions([0, 1, 2]), START + np.arange(50) * 200 * DAY]))


@pytest.mark.parametrize(
    "times",
    [
        np.array([1_700_000_000_000_000, 1_700_000_100_000_000]),  # 2023
        np.array([883_600_000_000_000, 890_000_000_000_000]),  # 1998
        START + np.arange(1_000) * 3 * DAY,  # dates from 2000-01-01 on
        START + np.array([0, 61, 7_000_000, 90_000_000]) * 1_000_000,  # seconds spread over years
        np.append(START, 1_700_000_000_000_000 + np.arange(200)),  # one default date
        np.empty(0, dtype=np.int64),
    ],
)
def test_real_times_are_not(times: np.ndarray) -> None:
    assert not has_order_only(times)
