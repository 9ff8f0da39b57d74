"""PDQ codes of many pictures at once, of any rectangle in them, by matrix products."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstsight.media.fingerprints import FINGERPRINT_BYTES, MIN_QUALITY, Fingerprints
from firstsight.media.pdq import COSINES, SIDE

_PICTURES_AT_ONCE: Final = 128
_STEPS_PER_QUALITY: Final = 90  # as in `pdq.quality`


class Box(NamedTuple):
    """A rectangle in a picture, in pixels; fractions are parts of pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


def codes(pictures: NDArray[np.uint8] | NDArray[np.float32], box: Box) -> Fingerprints:
    """Compute the code of a rectangle in each picture.

    Args:
        pictures: (n, h, w), grey.
        box: the rectangle, within the pictures.

    Returns:
        (n, 32) uint8; a row of zeros for a flat picture, as `fingerprints.fingerprint` returns None.
    """
    rows = _weights(pictures.shape[1], box.top, box.bottom)
    columns = _weights(pictures.shape[2], box.left, box.right)
    parts = [
        _codes_of_squares(rows @ pictures[n : n + _PICTURES_AT_ONCE].astype(np.float32, copy=False) @ columns.T)
        for n in range(0, len(pictures), _PICTURES_AT_ONCE)
    ]
    return np.concatenate([np.zeros((0, FINGERPRINT_BYTES), np.uint8), *parts])


def _codes_of_squares(squares: NDArray[np.float32]) -> Fingerprints:
    """Codes of (n, 64, 64) grey values from 0 to 255."""
    values = (COSINES.T @ squares @ COSINES).reshape(len(squares), -1)  # (n, 256)
    middle = values.shape[1] // 2 - 1
    median = np.sort(values, axis=1)[:, middle, None]
    found = np.packbits((values > median)[:, ::-1], axis=1)
    found[_qualities(squares) < MIN_QUALITY] = 0
    return found


def _qualities(squares: NDArray[np.float32]) -> NDArray[np.int64]:
    """`pdq.quality` of each picture, without its limit of 100."""
    levels = (squares + 0.5).astype(np.int16)
    total = np.zeros(len(levels), np.int64)
    for axis in (1, 2):
        steps = np.abs(np.diff(levels, axis=axis)) * np.int16(100) // np.int16(255)
        total += steps.sum(axis=(1, 2), dtype=np.int64)
    return total // _STEPS_PER_QUALITY


@lru_cache(maxsize=64)
def _weights(length: int, start: float, stop: float) -> NDArray[np.float32]:
    """(64, length) weights that resample a span of pixels to 64, as an antialiased bilinear resize does."""
    scale = (stop - start) / SIDE
    centres = start + (np.arange(SIDE) + 0.5) * scale
    pixels = np.arange(length) + 0.5
    weights = np.maximum(0.0, 1 - np.abs(pixels[None, :] - centres[:, None]) / max(scale, 1.0))
    weights[:, (pixels + 0.5 <= start) | (pixels - 0.5 >= stop)] = 0.0  # nothing from outside of the box
    weights[weights.sum(axis=1) == 0, int(min(max(start, 0), length - 1))] = 1.0
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
