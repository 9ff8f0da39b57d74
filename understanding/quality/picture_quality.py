"""The function that measures the quality of a decoded picture, in the decoding child."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from firstsight.media.picture_facts import JsonValue, PictureFact, PictureSource
from firstsight.understanding.quality.bars import find_content
from firstsight.understanding.quality.exposure import measure_exposure
from firstsight.understanding.quality.grid_traces import blocking, enlargement_trace
from firstsight.understanding.quality.sharpness import SHARP_PX, blur_px

MIN_SIDE: Final = 1200
"""Shorter side that the measures need, in pixels; larger pictures may be reduced to it.

A blur counts only if less detail is left than in a sharp picture of 1,000 pixels, and this size still shows that.
"""

FACT: Final = PictureFact(
    "quality", "firstsight.understanding.quality.picture_quality:measure", version="1", min_side=MIN_SIDE
)


def measure(picture: Image.Image, source: PictureSource) -> dict[str, JsonValue]:
    """Measure the quality of one picture.

    Args:
        picture: upright RGB, in original pixels or reduced to a shorter side of `MIN_SIDE` or more.
        source: with the original size.

    Returns:
        width, height: of the original, in pixels. bars: share of the picture that bars cover, 0 to 1. blur: in pixels
        of `picture` (see `blur_px`). detail: pixels of the longer side that are left by the blur. enlargement:
        see `enlargement_trace`. blocking: see `grid_traces.blocking`. brightness, clipped, white_background, content:
        see `Exposure`. A measure that a picture is too small or too plain for is None.
    """
    pixels = np.asarray(picture)
    box = find_content(pixels)
    inside = picture.crop((box.left, box.top, box.right, box.bottom))
    luma = np.asarray(inside.convert("L"), np.float32)
    blur = blur_px(luma)
    longer = max(source.width, source.height)
    # the reduction by a whole factor is the same for both sides, except where a thin picture was cropped
    reduced = longer * min(picture.size) / max(1, min(source.width, source.height))
    is_original = picture.size == (source.width, source.height)
    exposure = measure_exposure(inside)
    return {
        "width": source.width,
        "height": source.height,
        "bars": _rounded(1 - inside.width * inside.height / (picture.width * picture.height)),
        "blur": None if blur is None else _rounded(blur),
        "detail": None if blur is None else round(min(longer, reduced * min(1.0, SHARP_PX / max(blur, 1e-3)))),
        "enlargement": _rounded(enlargement_trace(luma, blur) if is_original and blur is not None else None),
        "blocking": _rounded(blocking(luma) if is_original and not (box.left or box.top) else None),
        "brightness": _rounded(exposure.brightness),
        "clipped": _rounded(exposure.clipped),
        "white_background": _rounded(exposure.white_background),
        "content": _rounded(exposure.content),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
