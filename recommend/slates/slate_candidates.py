"""Candidates of a slate: the items that its slots choose from, with their values and interests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.items import Places
from firstsight.recommend.models.score_scaling import KindScale
from firstsight.recommend.slates.interests.interest_ranking import Ranking
from firstsight.recommend.slates.rules.group_limits import GroupRules
from firstsight.recommend.slates.rules.slate_products import SlateProducts, top_places
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.retrieval.ranking.fusion import RRF_K

MIN_AFFINITY = 1.0
"""Standard deviations above the mean cosine, for an item to be of an interest at all."""

_POOL = 10  # candidates by relevance for each slot
_MIN_POOL = 200
_PER_INTEREST = 50
_PER_FLOOR = 50
_MAX_AFFINITY_GAP = 0.5  # standard deviations: an item of an interest may be nearer to another one by this much
_MIN_SHARED_COSINE = 0.6  # cosine of two interests from which they share their candidates
_MIN_AFFINITY_SHARE = 0.5  # minimum share of the nearest candidate's affinity, for an item to be of an interest


def candidate_pool(
    ranking: Ranking,
    allowed: NDArray[np.bool_],
    kinds: KindScale,
    settings: SlateSettings,
    products: SlateProducts | None = None,
    groups: GroupRules | None = None,
    *,
    widen: int = 1,
) -> Places:
    """Collect the candidates of a slate: the most relevant items of every kind, and the nearest of every interest.

    With `products`, only the best variant of each product counts, so that a product with many fills no pool. The items
    of groups with a floor are candidates, too. `widen` multiplies the number of candidates.
    """
    size = max(_MIN_POOL, _POOL * settings.k) * widen
    by_kind = bool(settings.quotas) or settings.merge == "rank"
    parts = []
    for code in range(len(kinds.names)) if by_kind else [None]:
        fitting = np.flatnonzero(allowed if code is None else allowed & (kinds.codes == code))
        parts.append(top_places(ranking.relevance, fitting, size, products))
    for affinity in ranking.affinity:
        for level in (5.0, 4.0, 3.0, 2.0, -np.inf):  # few items are above a high level, and few are quick to sort
            near = np.flatnonzero(affinity > level)
            near = near[allowed[near]]
            if len(near if products is None else products.first_of_each(near)) >= _PER_INTEREST:
                break
        parts.append(top_places(affinity, near, _PER_INTEREST, products))
    for _, mask, slots in () if groups is None else groups.floors:
        fitting = np.flatnonzero(allowed & mask)
        parts.append(top_places(ranking.relevance, fitting, (_PER_FLOOR + _POOL * slots) * widen, products))
    return np.unique(np.concatenate(parts)).astype(np.int64)


def interest_members(ranking: Ranking, places: Places) -> NDArray[np.bool_]:
    """(interests, pool) whether a candidate is of an interest: near to it, and almost as near as to any other.

    Interests in the same direction, such as the last events and the cluster around them, share their candidates, and so
    do interests in different spaces, whose directions cannot be compared.
    """
    affinity = ranking.affinity[:, places]
    if not affinity.size:
        return np.zeros(affinity.shape, dtype=bool)
    shared = np.ones((len(affinity), len(affinity)), dtype=bool)
    projected = np.array([interest.projected for interest in ranking.interests])
    for rows in (np.flatnonzero(~projected), np.flatnonzero(projected)):
        if len(rows):
            vectors = np.stack([ranking.interests[int(row)].vector for row in rows])
            shared[np.ix_(rows, rows)] = vectors @ vectors.T >= _MIN_SHARED_COSINE
    near = affinity >= np.maximum(MIN_AFFINITY, _MIN_AFFINITY_SHARE * affinity.max(axis=1, keepdims=True))
    rows, columns = np.nonzero(near)  # most items are near to one interest or two
    best = np.where(shared[:, rows], -np.inf, affinity[:, columns]).max(axis=0, initial=-np.inf)
    near[rows, columns] = affinity[rows, columns] >= best - _MAX_AFFINITY_GAP
    return np.asarray(near)


def candidate_values(
    relevance: NDArray[np.float32], kinds: NDArray[np.int64], settings: SlateSettings
) -> NDArray[np.float32]:
    """(pool,) relevance from 0 to 1, so that diversity can be weighed against cosines; by rank under merge "rank"."""
    if settings.merge == "rank":
        value = np.zeros(len(relevance), dtype=np.float32)
        for kind in np.unique(kinds):
            rows = np.flatnonzero(kinds == kind)
            order = rows[np.argsort(-relevance[rows], kind="stable")]
            value[order] = (RRF_K + 1) / (RRF_K + 1 + np.arange(len(rows)))
        return value
    low, high = relevance.min(initial=np.inf), relevance.max(initial=-np.inf)
    return np.asarray((relevance - low) / max(float(high - low), 1e-9), dtype=np.float32)
