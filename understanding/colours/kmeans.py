"""Group colours by weighted k-means, without chance: the same pixels always give the same groups."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstsight.understanding.colours.cielab import Lab

Weights: TypeAlias = NDArray[np.float32] | NDArray[np.float64]

CLUSTERS: Final = 5
ROUNDS: Final = 8

MIN_DISTANCE: Final = 10.0
"""A further group starts only at a colour that is at least this far from all others (dE 1976)."""

_CELL: Final = 4
"""Side of the cells of CIELAB that pixels are joined to first: hundreds of points instead of thousands of pixels."""

_SETTLED: Final = 0.05


def cluster_colours(colours: Lab, weights: Weights) -> tuple[Lab, NDArray[np.int64]]:
    """Group colours into at most `CLUSTERS` groups.

    The first group starts at the heaviest colour, each further one at the colour with the largest product of weight
    and squared distance to the groups so far: k-means++ (Arthur and Vassilvitskii 2007) without the draw.

    Args:
        colours: (n, 3), n at least 1.
        weights: (n,), above 0.

    Returns:
        The means of the groups, (k, 3), and the group of each colour, (n,).
    """
    cells = np.floor(colours / _CELL).astype(np.int64) + 64
    _, cell_of = np.unique((cells[:, 0] * 128 + cells[:, 1]) * 128 + cells[:, 2], return_inverse=True)
    mass = _totals(cell_of, weights)
    points = _means(cell_of, weights, colours, mass)
    centres = _starts(points, mass)
    for _ in range(ROUNDS):
        groups = _nearest(points, centres)
        totals = _totals(groups, mass, len(centres))
        moved = np.where(totals[:, None] > 0, _means(groups, mass, points, np.maximum(totals, 1e-12)), centres)
        settled = np.abs(moved - centres).max() < _SETTLED
        centres = moved.astype(np.float32)
        if settled:
            break
    return centres, _nearest(points, centres)[cell_of]


def _starts(points: Lab, mass: NDArray[np.float64]) -> Lab:
    starts = [points[mass.argmax()]]
    squared = np.square(points - starts[0]).sum(axis=1)
    while len(starts) < CLUSTERS:
        farthest = int((squared * mass).argmax())
        if squared[farthest] < MIN_DISTANCE**2:
            break
        starts.append(points[farthest])
        squared = np.minimum(squared, np.square(points - points[farthest]).sum(axis=1))
    return np.stack(starts)


def _nearest(points: Lab, centres: Lab) -> NDArray[np.int64]:
    return np.asarray(np.square(points[:, None] - centres[None]).sum(axis=2).argmin(axis=1), dtype=np.int64)


def _totals(groups: NDArray[np.int64], weights: Weights, count: int = 0) -> NDArray[np.float64]:
    return np.asarray(np.bincount(groups, weights, minlength=count), dtype=np.float64)


def _means(groups: NDArray[np.int64], weights: Weights, points: Lab, totals: NDArray[np.float64]) -> Lab:
    sums = [np.bincount(groups, weights * points[:, axis], minlength=len(totals)) for axis in range(3)]
    return np.asarray(np.stack(sums, axis=1) / totals[:, None], dtype=np.float32)
