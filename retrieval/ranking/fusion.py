"""Joining the ranking by vectors and the ranking by words into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RRF_K = 60
"""The constant of reciprocal rank fusion; Cormack et al. found results to depend little on it."""

VECTOR_SHARE = 0.2
"""What the vectors' side counts in weighted fusion, the words' side counting the rest."""


def reciprocal_rank(rankings: Sequence[Sequence[str]], k: int = RRF_K) -> dict[str, float]:
    """Fused scores of items: the sum of 1 / (k + rank) over the rankings that have them, ranks from 1.

    Args:
        rankings: item ids, best first.

    Returns:
        Scores by item, at most len(rankings) / (k + 1).

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
    """Fused scores of items: the weighted mean of both scores, each brought to 0 to 1.

    Args:
        cosines: of every item that either side found.
        words: BM25 scores of the items that have the query's words.
        floor: the cosine that counts as 0: what a random item has.
        vector_share: what the cosine counts, 0 to 1; the words count the rest.

    Returns:
        Scores by item, 0 to 1. A side's best item has 1 on that side; an item without the words has 0 there.

    Source: convex combination with theoretical minima, Bruch, Gai and Ingber, "An Analysis of Fusion Functions for
    Hybrid Retrieval", TOIS 2023, section 4.
    """
    best_cosine = max(cosines.values(), default=0.0)
    best_words = max(words.values(), default=0.0)
    span = max(best_cosine - floor, 1e-9)

    def fuse(item_id: str, cosine: float) -> float:
        near = min(max((cosine - floor) / span, 0.0), 1.0)
        named = words.get(item_id, 0.0) / best_words if best_words > 0 else 0.0
        return vector_share * near + (1 - vector_share) * named

    return {item_id: fuse(item_id, cosine) for item_id, cosine in cosines.items()}
