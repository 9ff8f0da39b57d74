"""Draws of the bootstrap over clusters, such as products or near-duplicate groups.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8, 13 and 16.
"""

from __future__ import annotations

import numpy as np

from firstsight.heads.array_types import Floats


def draw_clusters(clusters: int, draws: int, seed: int) -> Floats:
    """Draw as many clusters with replacement as there are.

    Args:
        clusters: number of clusters, 1 or more.
        draws: number of bootstrap draws.
        seed: random seed; equal numbers and seeds give equal draws, so figures can be compared pair by pair.

    Returns:
        (draws, clusters) how often each draw has each cluster.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=draws).astype(np.float64)
