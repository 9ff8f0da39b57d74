"""Decoder of animated WebP and AVIF by Pillow; FFmpeg does not read them. For the decoding child only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from firstsight.errors import MediaError
from firstsight.media.frames.scanning import scan_by_reading
from firstsight.media.frames.video_frames import ScannedFrame
from firstsight.media.local_files import open_regular
from firstsight.media.pictures import open_lazily, upright_rgb

_UNTIMED_S: Final = 0.1  # browsers show a frame without a duration for this time


def open_video(path: Path, *, max_pixels: int) -> PillowReader:
    """Open an animation.

    Raises:
        MediaError: "missing" or "forbidden" if the file cannot be opened; "unsupported" for a still picture;
            "too_large" if a frame exceeds `max_pixels` or the memory; "corrupt" if the file is broken.
    """
    return PillowReader(path, max_pixels)


class PillowReader:
    """A `VideoReader`. Every frame counts as a keyframe, because Pillow always decodes all frames in turn."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        self._path = path
        self._file = open_regular(path)
        try:
            self._animation = open_lazily(self._file, str(path), max_pixels)
            if getattr(self._animation, "n_frames", 1) < 2:
                raise MediaError(
                    "unsupported",
                    f"{path} is a picture ({self._animation.format}), not a video; list it under images",
                )
            self._ends = np.cumsum([self._seconds(index) for index in range(self._frame_count)])
        except BaseException:
            self._file.close()
            raise

    @property
    def times(self) -> NDArray[np.float64]:
        return np.concatenate([[0.0], self._ends[:-1]])

    @property
    def duration_s(self) -> float:
        return float(self._ends[-1])

    @property
    def keyframes(self) -> NDArray[np.int64]:
        return np.arange(self._ends.size)

    def read(self, indices: Sequence[int], *, min_side: int | None = None) -> Iterator[Image.Image]:
        for index in indices:
            yield upright_rgb(self._frame(index), min_side)

    def scan(self) -> Iterator[ScannedFrame]:
        return scan_by_reading(self)

    def close(self) -> None:
        self._animation.close()
        self._file.close()

    @property
    def _frame_count(self) -> int:
        return int(getattr(self._animation, "n_frames", 1))

    def _seconds(self, index: int) -> float:
        return float(self._frame(index).info.get("duration", 0)) / 1000 or _UNTIMED_S

    def _frame(self, index: int) -> ImageFile.ImageFile:
        try:
            self._animation.seek(index)
            self._animation.load()
        except MemoryError as error:
            message = f"{self._path} needs more memory than a decoder may use; make it smaller"
            raise MediaError("too_large", message) from error
        except Exception as error:  # hostile bytes make Pillow's readers raise nearly every built-in exception
            message = f"{self._path} is a broken or truncated animation ({error or type(error).__name__}); replace it"
            raise MediaError("corrupt", message) from error
        return self._animation
