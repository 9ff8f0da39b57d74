"""Detection of positions among the times of events: a log without times is stored as seconds from 2000-01-01 on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.event_times import MAX_POSITION, position_us

MAX_SPREAD = 20
"""Largest position, as a multiple of the number of events up to it: a log may have lost most of its rows."""

MIN_SHARE = 0.01
"""Minimum share of such events in a log: a few may be wrong times."""

_SECOND_US, _MINUTE_S = 1_000_000, 60


def has_order_only(times: NDArray[np.int64]) -> bool:
    """Whether events of a log are stored by position (`events add --order`), so that their times mean nothing.

    Positions are dense: few seconds from 2000-01-01 on for many events. Real times of the years that follow are spread
    over months, and dates without a time of day are whole minutes, which positions are not.

    Args:
        times: (events,) microseconds since 1970 of all events of the log.
    """
    seconds = np.sort((times - position_us(0)) // _SECOND_US)
    seconds = seconds[(seconds >= 0) & (seconds <= MAX_POSITION)]
    dense = np.flatnonzero(seconds <= MAX_SPREAD * np.arange(1, len(seconds) + 1))
    positions = seconds[: int(dense.max(initial=-1)) + 1]
    if len(positions) < max(2, MIN_SHARE * len(times)):
        return False
    if not positions.any():  # all at the first second: a log of first events, or a default date of a shop system
        return len(positions) == len(times)
    return bool((positions % _MINUTE_S != 0).any())
