"""Diversify a ranking by maximal marginal relevance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors


def maximal_marginal_relevance(scores: Sequence[float], vectors: Vectors, *, diversity: float) -> list[int]:
    """Reorder a ranking so that each item has a high score and differs from the items before it.

    Each step takes the item with the largest `(1 - diversity) * score - diversity * (largest cosine to an item
    already taken)`. The first step takes the item with the largest score. Ties keep their order.

    Args:
        scores: of n items, on the scale of a cosine.
        vectors: (n, dim) float32, unit rows; a row of zeros has cosine 0 to every other.
        diversity: 0 to 1: 1 - lambda of the paper. 0 keeps the order by score.

    Returns:
        The n positions in their new order.

    Source: Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and
    Producing Summaries", SIGIR 1998.
    """
    gains = (1 - diversity) * np.asarray(scores, dtype=np.float64)
    nearest: NDArray[np.float64] = np.full(len(gains), -np.inf)
    left = np.ones(len(gains), dtype=bool)
    order: list[int] = []
    for _ in range(len(gains)):
        # the first step compares scores alone, even at diversity 1
        value = gains - diversity * nearest if order else np.asarray(scores, dtype=np.float64)
        best = int(np.argmax(np.where(left, value, -np.inf)))
        order.append(best)
        left[best] = False
        nearest = np.maximum(nearest, (vectors @ vectors[best]).astype(np.float64))
    return order
