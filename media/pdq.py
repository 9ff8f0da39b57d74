"""The PDQ hash in NumPy: 16 x 16 cosine coefficients of 64 x 64 grey pixels, compared with their median.

Source: Meta, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019. Coefficients are summed
in float32 in the order of Meta's own code. So all bits equal Meta's, even where rounding decides.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 64
"""Width and height of the hashed picture in pixels."""

Pixels: TypeAlias = NDArray[np.uint8]
"""(64, 64): grey, 0 to 255."""

Coefficients: TypeAlias = NDArray[np.float32]
"""(16, 16): the coefficients of vertical and horizontal frequencies 1 to 16."""

_FREQUENCIES: Final = 16
_PER_QUALITY: Final = 90  # sum of steps between neighbours per point of quality


def quality(pixels: Pixels) -> int:
    """Measure the detail of a picture, 0 to 100: the sum of the steps between neighbouring pixels."""
    levels = pixels.astype(np.int16)
    steps = np.empty((2, SIDE * (SIDE - 1)), np.int16)
    np.subtract(levels[1:], levels[:-1], out=steps[0].reshape(SIDE - 1, SIDE))
    np.subtract(levels[:, 1:], levels[:, :-1], out=steps[1].reshape(SIDE, SIDE - 1))
    np.abs(steps, out=steps)
    steps *= 100  # 25,500 at most
    steps //= 255  # rounds gentle slopes down to 0
    return min(100, int(steps.sum()) // _PER_QUALITY)


def coefficients(pixels: Pixels) -> Coefficients:
    """Compute the coefficients of a picture's cosine transform that its hash needs."""
    columns = _sum_in_order(np.einsum("ki,kj->kij", COSINES, pixels.astype(np.float32), order="C"))  # (16, 64)
    return _sum_in_order(np.einsum("ik,kj->kij", columns, COSINES, order="C"))


def bits(values: Coefficients) -> bytes:
    """Compute the hash: one bit per coefficient, set if it is above the median.

    The median is the lower of the two middle coefficients. The highest frequencies come first in the 32 bytes.
    """
    flat = values.ravel()
    median = np.partition(flat, flat.size // 2 - 1)[flat.size // 2 - 1]
    return np.packbits((flat > median)[::-1]).tobytes()


def _sum_in_order(products: Coefficients) -> Coefficients:
    """Sum over the first axis, one row after the other. NumPy sums pairwise only along the last axis."""
    total: Coefficients = np.add.reduce(products, axis=0)
    return total


def _cosines() -> Coefficients:
    scale = float(np.float32(math.sqrt(2 / SIDE)))  # Meta's code rounds this factor first
    angle = math.pi / 2 / SIDE
    rows = [[scale * math.cos(angle * f * (2 * x + 1)) for f in range(1, _FREQUENCIES + 1)] for x in range(SIDE)]
    return np.array(rows, np.float32)


COSINES: Final = _cosines()
"""(64, 16): the cosine of each frequency at each pixel."""
