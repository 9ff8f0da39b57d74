"""Speech recognition by other packages: from the sound track of a video to timed lines.

A package adds a transcriber with an entry point of the group `firstsight.transcribers`: a function or class that takes
the text of its options and returns a `Transcriber`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from typing import Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import EncoderError, first_line
from firstsight.media.subtitles import TimedLine

ENTRY_POINTS: Final = "firstsight.transcribers"
"""The entry-point group of transcribers."""

SAMPLE_RATE: Final = 16_000
"""Samples per second."""

Samples: TypeAlias = NDArray[np.float32]
"""(n,) samples of one channel, -1 to 1, `SAMPLE_RATE` of them per second."""


@runtime_checkable
class Transcriber(Protocol):
    """Recognises the speech of one sound track at a time."""

    def transcribe(self, sound: Iterator[Samples]) -> Iterable[TimedLine]:
        """Recognise the speech of a video.

        Args:
            sound: consecutive chunks of 30 seconds, from the start of the video; the last one is shorter. A chunk is
                decoded when it is asked for.

        Returns:
            Lines with their seconds in the video, in any order. An exception fails the speech of this video only.
        """


def load_transcriber(name: str) -> Transcriber:
    """Load a transcriber of an installed package.

    Args:
        name: NAME or NAME:OPTIONS; NAME is that of an entry point, which is called with OPTIONS (empty without).

    Raises:
        EncoderError: there is no such transcriber, or it cannot be loaded.
    """
    known, _, options = name.partition(":")
    points = entry_points(group=ENTRY_POINTS)
    point = next((point for point in points if point.name == known), None)
    if point is None:
        installed = ", ".join(sorted(point.name for point in points)) or "none"
        raise EncoderError(
            f"there is no transcriber {known!r}; installed: {installed}. Install a package that has one: its entry "
            f"point is of the group {ENTRY_POINTS}"
        )
    try:
        transcriber = point.load()(options)
    except EncoderError:
        raise
    except Exception as error:  # another package may raise anything
        raise EncoderError(f"the transcriber {name!r} cannot be loaded: {first_line(error)}") from error
    if not isinstance(transcriber, Transcriber):
        raise EncoderError(f"the transcriber {name!r} is a {type(transcriber).__name__} without the method transcribe")
    return transcriber
