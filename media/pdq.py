"""The PDQ hash in NumPy: 64 x 64 grey pixels to 16 x 16 cosine coefficients, and their signs about the median.

Source: Meta, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019. Coefficients are summed
in float32 and in the order of Meta's own code, so that all bits equal its bits, ties by rounding included.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 64
"""Width and height of the pixels that are hashed."""

Pixels: TypeAlias = NDArray[np.uint8]
"""(64, 64): grey, 0 to 255."""

Coefficients: TypeAlias = NDArray[np.float32]
"""(16, 16): the coefficients of vertical and horizontal frequencies 1 to 16."""

_FREQUENCIES: Final = 16
_PER_QUALITY: Final = 90  # steps between neighbours that make one point of quality


def quality(pixels: Pixels) -> int:
    """Measure how much there is in a picture, 0 to 100: the sum of the steps between neighbouring pixels."""
    levels = pixels.astype(np.int16)
    steps = np.empty((2, SIDE * (SIDE - 1)), np.int16)
    np.subtract(levels[1:], levels[:-1], out=steps[0].reshape(SIDE - 1, SIDE))
    np.subtract(levels[:, 1:], levels[:, :-1], out=steps[1].reshape(SIDE, SIDE - 1))
    np.abs(steps, out=steps)
    steps *= 100  # 25,500 at most
    steps //= 255  # a gentle slope counts nothing
    return min(100, int(steps.sum()) // _PER_QUALITY)


def coefficients(pixels: Pixels) -> Coefficients:
    """Compute the cosine transform of a picture, as far as its hash needs it."""
    columns = _sum_in_order(np.einsum("ki,kj->kij", _COSINES, pixels.astype(np.float32), order="C"))  # (16, 64)
    return _sum_in_order(np.einsum("ik,kj->kij", columns, _COSINES, order="C"))


def bits(values: Coefficients) -> bytes:
    """Compare coefficients with the lower of their two middle ones: 32 bytes, the highest frequencies first."""
    flat = values.ravel()
    median = np.partition(flat, flat.size // 2 - 1)[flat.size // 2 - 1]
    return np.packbits((flat > median)[::-1]).tobytes()


def _sum_in_order(products: Coefficients) -> Coefficients:
    """Sum over the first axis, one row after the other: NumPy sums in pairs along the last axis alone."""
    total: Coefficients = np.add.reduce(products, axis=0)
    return total


def _cosines() -> Coefficients:
    scale = float(np.float32(math.sqrt(2 / SIDE)))  # Meta's code rounds it first
    angle = math.pi / 2 / SIDE
    rows = [[scale * math.cos(angle * f * (2 * x + 1)) for f in range(1, _FREQUENCIES + 1)] for x in range(SIDE)]
    return np.array(rows, np.float32)


_COSINES: Final = _cosines()
"""(64, 16): the cosine of each frequency at each pixel."""
