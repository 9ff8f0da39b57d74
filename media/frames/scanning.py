"""Ticks of a scan: which decoded frame is shown at each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firstsight.media.frames import video_frames
from firstsight.media.frames.video_frames import MAX_TICKS, THUMBNAIL_SIDE, TICKS_PER_S, ScannedFrame, VideoReader
from firstsight.media.pictures import shrink

EARLY_S: Final = 0.12
"""A frame may stand for a tick that is this much earlier, if the frame before it is farther away. A scan leaves out
frames that no other frame needs, so the frame shown at a tick may be missing."""

_READ_AT_ONCE: Final = 64

T = TypeVar("T")


def tick_count(duration_s: float, per_s: int = TICKS_PER_S) -> int:
    """Number of ticks of a video: at 0 s and every 1 / `per_s` seconds before its end."""
    return max(1, min(MAX_TICKS, math.ceil(duration_s * per_s - 1e-6)))


def at_ticks(frames: Iterator[tuple[float, T]], ticks: int) -> Iterator[tuple[int, float, T]]:
    """Yield number, time and frame of each tick.

    Args:
        frames: time in seconds and frame, in order of time.
        ticks: their number.
    """
    tick = 0
    before: tuple[float, T] | None = None
    for time_s, frame in frames:
        while tick < ticks and (tick_s := tick / TICKS_PER_S) < time_s:
            near = time_s - tick_s
            if before is None or (near <= EARLY_S and near < tick_s - before[0]):
                yield tick, time_s, frame
            else:
                yield tick, *before
            tick += 1
        before = time_s, frame
    if before is not None:
        for rest in range(tick, ticks):
            yield rest, *before


def keyframe_ticks(
    times: NDArray[np.float64], keyframes: NDArray[np.int64], first: int, per_s: int = TICKS_PER_S
) -> list[tuple[int, int]]:
    """Ticks from number `first` on that have a keyframe, each with the index of the keyframe nearest to it."""
    nearest: dict[int, int] = {}
    for index in keyframes:
        tick = round(float(times[index]) * per_s)
        if first <= tick < MAX_TICKS:
            nearest.setdefault(tick, int(index))
    return sorted(nearest.items())


def scan_by_reading(reader: VideoReader, per_s: int = TICKS_PER_S) -> Iterator[ScannedFrame]:
    """Do the work of `VideoReader.scan` with `VideoReader.read`, without leaving out any frame.

    Args:
        per_s: ticks per second. With another number than `TICKS_PER_S` the video must be short.
    """
    times = reader.times
    ticks = np.arange(tick_count(max(reader.duration_s, float(times[-1])), per_s)) / per_s
    shown = np.maximum(np.searchsorted(times, ticks + 1e-6, side="right") - 1, 0)
    plan = list(enumerate(shown.tolist()))
    pixels = 0
    while plan:
        part, plan = plan[:_READ_AT_ONCE], plan[_READ_AT_ONCE:]
        pictures = reader.read(sorted({index for _, index in part}))
        current, picture, thumbnail = -1, Image.new("RGB", (1, 1)), np.zeros((1, 1, 3), np.uint8)
        for tick, index in part:
            if index != current:
                picture = next(pictures)
                thumbnail = _thumbnail(picture)
                pixels += (index - current if current >= 0 else 1) * picture.width * picture.height
                current = index
            yield ScannedFrame(tick, float(times[index]), thumbnail, partial(shrink, picture))
        if pixels > video_frames.MAX_SCANNED_PIXELS and plan:
            plan, pixels = keyframe_ticks(times, reader.keyframes, plan[0][0], per_s), 0


def thumbnail_size(width: int, height: int) -> tuple[int, int]:
    """Size of the thumbnail of a frame of this size."""
    scale = min(1.0, THUMBNAIL_SIDE / max(width, height))
    return max(min(8, width), round(width * scale)), max(min(8, height), round(height * scale))


def _thumbnail(picture: Image.Image) -> NDArray[np.uint8]:
    size = thumbnail_size(*picture.size)
    return np.asarray(picture.resize(size, Image.Resampling.BOX, reducing_gap=2.0), np.uint8)
