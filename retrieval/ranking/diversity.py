"""Diversity of a ranking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors


def maximal_marginal_relevance(scores: Sequence[float], vectors: Vectors, *, diversity: float) -> list[int]:
    """Reorder a ranking so that each next item is good and unlike those before it.

    Each step takes the item with the largest `(1 - diversity) * score - diversity * (largest cosine to an item
    taken already)`; the first step takes the largest score. Equal items keep their order.

    Args:
        scores: of n items, on a cosine's scale.
        vectors: (n, dim) float32, unit rows; a row of zeros is unlike everything.
        diversity: 0 to 1: 1 - lambda of the paper. 0 keeps the ranking by score.

    Returns:
        The n positions, in their new order. The first m of them do not depend on how many are asked for.

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
