"""Frames of a video with their times, and the interface of every video decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image


@dataclass(frozen=True)
class Frame:
    """One picture of a video, with its time and the bounds of its shot."""

    time_s: float  # presentation time, seconds from the first frame
    picture: Image  # RGB, upright
    start_s: float | None = None  # start of its shot; None if no shots were detected
    end_s: float | None = None  # end of its shot


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

    def close(self) -> None:
        """Release the file and the decoded frames."""


def uniform_indices(total: int, count: int) -> list[int]:
    """Indices of `count` of `total` frames, at the centres of equal segments; all indices if `total` is no larger."""
    if total <= count:
        return list(range(total))
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]
