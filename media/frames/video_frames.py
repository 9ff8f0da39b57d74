"""Frames of a video with their times, and the interface of every video decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from firstsight.media.picture_facts import FoundFacts

TICKS_PER_S: Final = 2
"""Looks at a video in each second of a scan. Tick n is at second n / TICKS_PER_S."""

MAX_TICKS: Final = 24 * 3600 * TICKS_PER_S
"""Largest number of ticks of a scan: a day. A broken file may claim a longer time."""

MAX_SCANNED_PIXELS: Final = 40_000_000_000
"""Pixels that a scan decodes before it goes on with keyframes only: 10 minutes of 1080p, or 90 of 360p, at 30 frames a
second. It limits the time of a scan by the video alone, so a slow machine gives the same frames."""

THUMBNAIL_SIDE: Final = 160
"""Longer side of a scan's thumbnails in pixels. Smaller frames keep their size."""


@dataclass(frozen=True)
class Frame:
    """One picture of a video, with its time and the bounds of its shot."""

    time_s: float  # presentation time, seconds from the first frame
    picture: Image  # RGB, upright
    start_s: float | None = None  # start of its shot; None if no shots were detected
    end_s: float | None = None  # end of its shot
    facts: FoundFacts | None = None  # None: none were requested


@dataclass(frozen=True, eq=False)
class ScannedFrame:
    """The frame that a scan met at a tick. It holds the decoded frame, so keep few of them."""

    tick: int  # shown at second tick / TICKS_PER_S, or within EARLY_S after it
    time_s: float  # its presentation time
    thumbnail: NDArray[np.uint8]  # (h, w, 3) RGB, upright, square pixels
    picture: Callable[[int | None], Image]  # gives the RGB picture of a frame for a `min_side`, as `VideoReader.read`


class VideoReader(Protocol):
    """An open video, as every decoder's `open_video(path, max_pixels=...)` returns it.

    All times are presentation times in seconds from the first frame. For the decoding child only, because decoders can
    hang, crash and print; and for one thread.
    """

    @property
    def times(self) -> NDArray[np.float64]:
        """(n,) time of each frame in seconds, ascending; n is 1 or more."""

    @property
    def duration_s(self) -> float:
        """Time at which the last frame ends, in seconds."""

    @property
    def keyframes(self) -> NDArray[np.int64]:
        """(k,) indices of the frames that can be decoded without others, ascending. Index 0 is always included."""

    def read(self, indices: Sequence[int], *, min_side: int | None = None) -> Iterator[Image]:
        """Decode frames to upright RGB, each reduced before the next is decoded.

        Args:
            indices: of the frames, ascending.
            min_side: as for `pictures.shrink`.

        Raises:
            MediaError: "corrupt" if a frame cannot be decoded, "too_large" if it exceeds a limit on pixels or memory.
        """

    def scan(self) -> Iterator[ScannedFrame]:
        """Decode the video once and yield the frame shown at each tick, in order.

        After `MAX_SCANNED_PIXELS`, the scan yields only ticks with a keyframe.

        Raises:
            MediaError: as for `read`.
        """

    def close(self) -> None:
        """Release the file and the decoded frames."""


def uniform_indices(total: int, count: int) -> list[int]:
    """Indices of `count` of `total` frames, at the centres of equal segments; all indices if `total` is no larger."""
    if total <= count:
        return list(range(total))
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]
