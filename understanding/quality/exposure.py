"""Brightness, background and content of a picture, from a reduced copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE: Final = 192  # longer side of the copy, in pixels
_WHITE: Final = 240  # levels of 255, of each channel: a white background after JPEG compression and with its shadow
_CLIPPED: Final = 254
_DIFFERENT: Final = 14  # levels of 255 by which content differs from the background


@dataclass(frozen=True)
class Exposure:
    """Measures of brightness and content, all 0 to 1."""

    brightness: float
    clipped: float
    white_background: float
    content: float


def measure_exposure(picture: Image.Image) -> Exposure:
    """Measure brightness, lost highlights, white background and content.

    Args:
        picture: RGB, without its bars.

    Returns:
        brightness: of the brightest hundredth of the pixels. A black product on white has 1, a dark photo a low value.
        clipped: share of pixels without detail in the highlights, outside of the white background.
        white_background: share of white pixels that a straight line without other pixels connects with an edge.
        content: share of pixels that differ from the most frequent colour.
    """
    scale = max(1, max(picture.size) // _SIDE)
    # every n-th pixel, because a mean would hide small highlights and clipping
    top, left = (min(scale, side) // 2 for side in (picture.height, picture.width))
    pixels = np.asarray(picture)[top::scale, left::scale].astype(np.int16)
    luma = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    darkest = np.minimum(np.minimum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    white = darkest >= _WHITE
    background = _connected_with_edge(white)
    return Exposure(
        brightness=float(np.percentile(luma, 99)) / 255,
        clipped=float(((darkest >= _CLIPPED) & ~background).mean()),
        white_background=float(background.mean()),
        content=float((np.abs(pixels - _most_frequent(pixels)) > _DIFFERENT).any(axis=2).mean()),
    )


def _connected_with_edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask that a straight line inside of the mask connects with an edge of the picture."""
    found = np.zeros_like(mask)
    for axis in (0, 1):
        found |= np.logical_and.accumulate(mask, axis=axis)
        found |= np.flip(np.logical_and.accumulate(np.flip(mask, axis), axis=axis), axis)
    return found


def _most_frequent(pixels: NDArray[np.int16]) -> NDArray[np.int16]:
    """The (3,) median colour of the most frequent of 4096 coarse colours."""
    coarse = ((pixels[..., 0] >> 4) << 8) | ((pixels[..., 1] >> 4) << 4) | (pixels[..., 2] >> 4)
    of_most = pixels[coarse == np.bincount(coarse.ravel()).argmax()]
    return np.asarray(np.median(of_most, axis=0).astype(np.int16))
