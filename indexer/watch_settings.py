"""Settings, counts and report of a watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from firstsight.records import Record

MAX_WINDOW_FRAMES: Final = 1_000
"""Maximum number of frames in a window."""


@dataclass(frozen=True)
class WatchSettings:
    """Settings of a watch; all times in seconds.

    Raises:
        ValueError: a value is out of range.
    """

    every_s: float = 5.0  # between two frames, by the stream's clock
    window_s: float = 60.0  # maximum age of a frame, relative to the newest frame
    update_s: float = 5.0  # minimum time between two writes; many small writes are slower than few large ones
    for_s: float | None = None  # duration of the watch; None: until the stream ends
    stall_s: float = 20.0  # time without a packet after which a connection is closed
    reconnect_for_s: float = 60.0  # time without a new frame after which the stream counts as lost
    last_write_s: float = 60.0  # maximum wait of the last write for another writer

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
                f"{MAX_WINDOW_FRAMES:,} frames; reduce window_s or increase every_s"
            )


@dataclass(frozen=True)
class WatchCounts(Record):
    """Progress of a watch."""

    frames: int = 0  # frames encoded
    failed: int = 0  # frames that the encoder failed on
    window: int = 0  # frames in the index
    updates: int = 0  # writes
    reconnects: int = 0
    dropped: int = 0  # frames dropped because they came faster than the encoder
    busy: int = 0  # writes delayed because another process was writing
    time_s: float = 0.0  # second of the newest frame in the index, from the first frame
    behind_s: float = 0.0  # delay from the arrival of that frame to its write


@dataclass(frozen=True)
class WatchReport(Record):
    """Result of a watch."""

    run_id: str
    item_id: str
    outcome: str  # "finished": the stream or `for_s` ended; "stopped" by `should_stop`; "failed": the stream was lost
    seconds: float
    counts: WatchCounts
    message: str = ""  # why the stream was lost
