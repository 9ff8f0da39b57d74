"""A common clock for the frames of a stream: each connection has its own timestamps."""

from __future__ import annotations

from typing import Final

MAX_REPLAY_S: Final = 30.0
"""Seconds of a playlist that may come again after a reconnection: players begin three segments before its end."""

_MAX_AHEAD_S: Final = 30.0


class StreamClock:
    """Gives each frame a time that only rises, for any timestamps of the stream.

    While the stream's clock keeps pace with the clock of this machine, its steps are used exactly. If it jumps or
    restarts, for example after a restart of the sender, the time that passed on this machine is used.

    Args:
        every_s: seconds between frames. A step of this length is not a jump.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last: tuple[float, float] | None = None  # last frame: on the stream's clock, on this machine's
        self._time_s = 0.0

    def place(self, clock_s: float, wall_s: float, *, repeats: bool = False) -> float | None:
        """Compute the time of a frame.

        Args:
            clock_s: time of the frame on the stream's clock, in seconds.
            wall_s: the current time on a steady clock of this machine, in seconds.
            repeats: True if the stream may send frames again (HLS).

        Returns:
            Seconds from the first frame; None for a repeated frame.
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
