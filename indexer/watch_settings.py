"""How a stream is watched, and what a watch says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_WINDOW_FRAMES: Final = 1_000
"""Frames in a window, at most."""


@dataclass(frozen=True)
class WatchSettings:
    """What shapes a watch.

    Raises:
        ValueError: a value is out of range; one sentence that names it.
    """

    every_s: float = 5.0  # of the stream's own clock, between two frames
    window_s: float = 60.0  # frames older than this, against the newest one, go
    update_s: float = 5.0  # between two writes, at least; small ones cost the database more than big ones
    for_s: float | None = None  # after which the watch ends; None: when the stream does
    stall_s: float = 20.0  # without a packet, after which a connection is given up
    reconnect_for_s: float = 60.0  # without a new frame, after which the stream is taken for lost
    last_write_s: float = 60.0  # the last write waits so long for another writer

    def __post_init__(self) -> None:
        for name in ("every_s", "window_s", "stall_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0, not {getattr(self, name):g}")
        for name in ("update_s", "reconnect_for_s", "last_write_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name):g}")
        if self.for_s is not None and not self.for_s > 0:
            raise ValueError(f"for_s must be above 0, not {self.for_s:g}")
        if self.window_s / self.every_s > MAX_WINDOW_FRAMES:
            raise ValueError(
                f"a window of {self.window_s:g} seconds with a frame every {self.every_s:g} would hold more than "
                f"{MAX_WINDOW_FRAMES:,} frames; make it shorter, or the frames fewer"
            )


@dataclass(frozen=True)
class WatchCounts:
    """What a watch has done so far."""

    frames: int = 0  # encoded
    failed: int = 0  # frames that the encoder failed on
    window: int = 0  # of them in the index
    updates: int = 0  # writes
    reconnects: int = 0
    dropped: int = 0  # frames that came faster than they could be encoded
    busy: int = 0  # writes put off because another process was writing
    time_s: float = 0.0  # second of the newest frame in the index, counted from the first
    behind_s: float = 0.0  # from when that frame came until it was in the index


@dataclass(frozen=True)
class WatchReport:
    """What a watch did."""

    run_id: str
    item_id: str
    outcome: str  # "finished": the stream ended, or its time was over; "stopped"; "failed": the stream was lost
    seconds: float
    counts: WatchCounts
    message: str = ""  # why the stream was lost
