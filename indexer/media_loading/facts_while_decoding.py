"""Decoding with functions for facts: if the child hangs, ends or needs too much memory, decode once more without them.

So a function never costs the medium; its facts count as failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from PIL.Image import Image

from firstsight.errors import MediaError
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.frames.video_frames import Frame
from firstsight.media.picture_facts import FoundFacts, PictureFact

_REASONS: Final = ("timeout", "crashed", "too_large")
"""Reasons of failures that a function can cause."""


def open_with_facts(
    decoder: PictureDecoder, data: bytes, facts: Sequence[PictureFact], min_side: int
) -> tuple[Image, FoundFacts | None]:
    """Decode a picture and find its facts; None without functions.

    Raises:
        MediaError: the picture cannot be decoded, even without functions.
    """
    if not facts:
        return decoder.open(data, min_side=min_side), None
    try:
        return decoder.open_with_facts(data, facts, min_side=min_side)
    except MediaError as error:
        if error.reason not in _REASONS:
            raise
        return decoder.open(data, min_side=min_side), FoundFacts.failed(facts, str(error))


def sample_with_facts(
    sample: Callable[[Sequence[PictureFact]], list[Frame]], facts: Sequence[PictureFact]
) -> list[Frame]:
    """Sample a video and find the facts of its frames.

    Args:
        sample: samples the video with the functions that it gets.

    Raises:
        MediaError: the video cannot be decoded, even without functions.
    """
    if not facts:
        return sample(())
    try:
        return sample(facts)
    except MediaError as error:
        if error.reason not in _REASONS:
            raise
        failed = FoundFacts.failed(facts, str(error))
        return [replace(frame, facts=failed) for frame in sample(())]
