"""Fuse the ranking by vectors and the ranking by words into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RRF_K = 60
"""Constant of reciprocal rank fusion. Cormack et al. found that results depend little on it."""

VECTOR_SHARE = 0.2
"""Weight of the vector side in weighted fusion; the word side has the rest."""


def reciprocal_rank(rankings: Sequence[Sequence[str]], k: int = RRF_K) -> dict[str, float]:
    """Reciprocal rank fusion: the sum of 1 / (k + rank) over the rankings that contain an item; ranks start at 1.

    Args:
        rankings: item ids, best first.
        k: the constant, above 0.

    Returns:
        Score of each item, at most len(rankings) / (k + 1).

    Source: Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
    Learning Methods", SIGIR 2009.
    """
    fused: dict[str, float] = {}
    for ranking in rankings:
        for rank, item_id in enumerate(ranking, start=1):
            fused[item_id] = fused.get(item_id, 0.0) + 1.0 / (k + rank)
    return fused


def weighted(
    cosines: Mapping[str, float], words: Mapping[str, float], *, floor: float, vector_share: float = VECTOR_SHARE
) -> dict[str, float]:
    """Weighted fusion: the weighted mean of both scores, each scaled to 0 to 1.

    Args:
        cosines: of every item that either side found.
        words: BM25 scores of the items that have words of the query.
        floor: cosine that is scaled to 0: that of a random item.
        vector_share: weight of the cosine, 0 to 1; the words have the rest.

    Returns:
        Score of each item, 0 to 1. The best item of a side has 1 on that side. An item without the words has 0 there.

    Source: convex combination with theoretical minima, Bruch, Gai and Ingber, "An Analysis of Fusion Functions for
    Hybrid Retrieval", TOIS 2023, section 4.
    """
    best_cosine = max(cosines.values(), default=0.0)
    best_words = max(words.values(), default=0.0)
    span = max(best_cosine - floor, 1e-9)

    def fuse(item_id: str, cosine: float) -> float:
        vector_score = min(max((cosine - floor) / span, 0.0), 1.0)
        word_score = words.get(item_id, 0.0) / best_words if best_words > 0 else 0.0
        return vector_share * vector_score + (1 - vector_share) * word_score

    return {item_id: fuse(item_id, cosine) for item_id, cosine in cosines.items()}
