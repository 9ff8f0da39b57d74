"""Seconds since a watch began, over connections that each have a clock of their own."""

from __future__ import annotations

from typing import Final

MAX_REPLAY_S: Final = 30.0
"""How far a playlist goes back when it is opened anew: players begin three segments before its end."""

_MAX_AHEAD_S: Final = 30.0


class StreamClock:
    """Places frames on one line of time that only rises, whatever the stream's timestamps do.

    As long as the stream's clock goes on as the wall's does, it is followed exactly. Where it jumps or begins again,
    as after a restart of whoever sends it, the time that passed here is taken.

    Args:
        every_s: seconds between frames: a step that long is no jump.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last: tuple[float, float] | None = None  # of the last frame: on the stream's clock, on the wall's
        self._time_s = 0.0

    def place(self, clock_s: float, wall_s: float, *, repeats: bool = False) -> float | None:
        """The second of a frame.

        Args:
            clock_s: on the stream's clock.
            wall_s: on a steady clock of this machine.
            repeats: the stream may serve again what it has served before (HLS).

        Returns:
            Seconds from the first frame; None for a frame that was there before.
        """
        if self._last is None:
            self._last = (clock_s, wall_s)
            return 0.0
        step, gap = clock_s - self._last[0], wall_s - self._last[1]
        if repeats and -MAX_REPLAY_S <= step <= 0:
            return None
        self._time_s += step if 0 < step <= gap + _MAX_AHEAD_S + 2 * self._every_s else max(gap, 0.001)
        self._last = (clock_s, wall_s)
        return self._time_s
