"""A video reader that runs functions for facts on the pictures that it gives. For the decoding child only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from firstsight.media.decode.fact_functions import FactFunctions
from firstsight.media.frames.video_frames import Frame, ScannedFrame, VideoReader
from firstsight.media.picture_facts import JsonValue
from firstsight.media.pictures import shrink

_FOUND: Final = "firstsight:facts"


class FactReader:
    """A `VideoReader` around another one. Each picture carries its facts to `facts_of`.

    Selected frames are converted to RGB one by one, so that frames of full size are never held together.
    """

    def __init__(self, reader: VideoReader, functions: FactFunctions) -> None:
        self._reader = reader
        self._functions = functions

    @property
    def times(self) -> NDArray[np.float64]:
        return self._reader.times

    @property
    def duration_s(self) -> float:
        return self._reader.duration_s

    @property
    def keyframes(self) -> NDArray[np.int64]:
        return self._reader.keyframes

    def read(self, indices: Sequence[int], *, min_side: int | None = None) -> Iterator[Image]:
        for picture in self._reader.read(indices):
            found = self._functions.find_in_frame(picture)
            reduced = shrink(picture, min_side)
            reduced.info[_FOUND] = found
            yield reduced

    def scan(self) -> Iterator[ScannedFrame]:
        for frame in self._reader.scan():
            yield replace(frame, picture=_with_facts(frame, self._functions))

    def close(self) -> None:
        self._reader.close()


def _with_facts(frame: ScannedFrame, functions: FactFunctions) -> Callable[[int | None], Image]:
    def picture_with_facts(min_side: int | None) -> Image:
        picture = frame.picture(min_side)  # the same pixels as without facts
        picture.info[_FOUND] = functions.find_in_frame(frame.picture(None))
        return picture

    return picture_with_facts


def facts_of(frame: Frame) -> dict[str, dict[str, JsonValue]]:
    """Facts of a frame, as the functions found them."""
    found: dict[str, dict[str, JsonValue]] = frame.picture.info[_FOUND]
    return found
