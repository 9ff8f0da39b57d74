"""Dense codes of a short clip, with several choices of the part of the picture that they show.

In a clip of seconds, what is a border and what is a calm part of the picture cannot be told as in the whole video. So
its codes are made for each border that the video may have, and the one that fits counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.media.frames.scanning import scan_by_reading
from firstsight.media.frames.video_frames import VideoReader
from firstsight.media.prints.codes import Box, codes
from firstsight.media.prints.layout import full_box, without_bars
from firstsight.media.prints.print_maker import grey
from firstsight.media.video_prints import CROPS_PER_S, CROPS_UP_TO_S

_BORDERS: Final = (1 / 16, 2 / 16, 3 / 16, 4 / 16, 5 / 16)
"""Shares of the width or height, on both sides. A code still matches with a border that is 1 / 32 wider or narrower."""

_CUT: Final = 12.0  # mean difference of grey levels between two frames at which another shot begins


def crop_codes(reader: VideoReader, working: Callable[[], None]) -> NDArray[np.uint8] | None:
    """Make the codes of a clip.

    Args:
        working: called with each frame.

    Returns:
        (c, n, 32) codes of c crops, `CROPS_PER_S` a second; None if the clip is longer than `CROPS_UP_TO_S`.

    Raises:
        MediaError: as for `VideoReader.read`.
    """
    if max(reader.duration_s, float(reader.times[-1])) > CROPS_UP_TO_S:
        return None
    frames = []
    for frame in scan_by_reading(reader, CROPS_PER_S):
        working()
        frames.append(grey(frame.thumbnail))
    if any(picture.shape != frames[0].shape for picture in frames):
        return None  # a recording that changes its size
    pictures = np.stack(frames)
    full = full_box(pictures)
    boxes = [full, *(_inside(full, share, 0) for share in _BORDERS), *(_inside(full, 0, share) for share in _BORDERS)]
    return np.stack([*(codes(pictures, box) for box in boxes), _without_bars(pictures)])


def _inside(box: Box, horizontal: float, vertical: float) -> Box:
    x, y = horizontal * box.width, vertical * box.height
    return Box(box.left + x, box.top + y, box.right - x, box.bottom - y)


def _without_bars(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, 32) codes of each shot without its bars."""
    change = np.abs(pictures[1:].astype(np.int16) - pictures[:-1]).mean(axis=(1, 2))
    shots = np.split(pictures, np.flatnonzero(change > _CUT) + 1)
    return np.concatenate([codes(shot, without_bars(shot)) for shot in shots])
