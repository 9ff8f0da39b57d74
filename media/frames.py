"""What a video gives: pictures with the second they are shown at; and which of them to take."""

from __future__ import annotations

from dataclasses import dataclass

from PIL.Image import Image


@dataclass(frozen=True)
class Frame:
    """One picture of a video."""

    time_s: float  # presentation time, seconds from the start of the video's clock
    picture: Image  # RGB, upright


def uniform_indices(total: int, count: int) -> list[int]:
    """Choose `count` of `total` frames at the centres of equal segments, or all when there are no more."""
    if total <= count:
        return list(range(total))
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]
