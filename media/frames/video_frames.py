"""What a video gives: pictures with the second they are shown at; and what every decoder offers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image


@dataclass(frozen=True)
class Frame:
    """One picture of a video, and the shot it stands for."""

    time_s: float  # presentation time, seconds from the first frame
    picture: Image  # RGB, upright
    start_s: float | None = None  # of its shot; None where no shots were looked for
    end_s: float | None = None


class VideoReader(Protocol):
    """One open video, as every decoder offers it; made by a decoder's `open_video(path, max_pixels=...)`.

    Times are of presentation, in seconds from the first frame shown. For the decoding child only, and for one
    thread: decoders hang, crash and print.
    """

    @property
    def times(self) -> NDArray[np.float64]:
        """(n,) second at which each frame is shown, rising; n is 1 or more."""

    @property
    def duration_s(self) -> float:
        """Second at which the last frame ends."""

    @property
    def keyframes(self) -> NDArray[np.int64]:
        """(k,) indices of the frames that can be decoded without others, rising; the first frame is always one."""

    def read(self, indices: Sequence[int], *, min_side: int | None = None) -> Iterator[Image]:
        """The frames at these rising indices, upright RGB, each shrunk before the next is decoded.

        Raises:
            MediaError: "corrupt" or "too_large".
        """

    def close(self) -> None:
        """Let go of the file and of decoded frames."""


def uniform_indices(total: int, count: int) -> list[int]:
    """Choose `count` of `total` frames at the centres of equal segments, or all when there are no more."""
    if total <= count:
        return list(range(total))
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]
