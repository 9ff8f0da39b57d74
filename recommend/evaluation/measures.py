"""How good rankings are, one figure a user, so that two models can be compared over the same users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.items import Places

HEAD_SHARE = 0.2
"""The most popular fifth of the items, which `popularity_share` counts."""

RESAMPLES = 2_000

_TIES_SEED = 7
_BOOTSTRAP_CELLS = 4_000_000  # drawn users in memory at once: 32 MB


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another over the same users.

    Attributes:
        mean: of the per-user differences, the first minus the second.
        low, high: ends of the 95 % percentile interval.
        users: how many were compared.
    """

    mean: float
    low: float
    high: float
    users: int


def rank(scores: NDArray[np.float32], candidates: Places, k: int) -> Places:
    """The k best candidates of each user.

    Equal scores are ordered by a fixed random order of the candidates: neither ids nor a model's place for what it
    does not know then say anything.

    Args:
        scores: (users, candidates); -inf for what must not be ranked.
        candidates: (candidates,) places in the space.
        k: length of a ranking.

    Returns:
        (users, k) places, best first; -1 where there are fewer candidates than k.

    Raises:
        QueryError: k is below 1, or a score is NaN.
    """
    if k < 1:
        raise QueryError(f"a ranking of {k} items has nothing to measure; take k of 1 or more")
    if np.isnan(scores).any():
        raise QueryError("a model gave a score that is not a number; every score must be finite, or -inf to exclude")
    mixed = np.random.default_rng(_TIES_SEED).permutation(len(candidates))
    falling = -scores[:, mixed]
    if k < len(candidates):
        kept = np.sort(np.argpartition(falling, k - 1, axis=1)[:, :k], axis=1)
        order = np.take_along_axis(
            kept, np.argsort(np.take_along_axis(falling, kept, axis=1), axis=1, kind="stable"), axis=1
        )
    else:
        order = np.argsort(falling, axis=1, kind="stable")
    best = mixed[order]
    ranked = np.where(np.isneginf(np.take_along_axis(scores, best, axis=1)), -1, candidates[best])
    return np.pad(ranked, ((0, 0), (0, k - ranked.shape[1])), constant_values=-1).astype(np.int64)


def recall(ranked: Places, targets: Sequence[Places], among: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Recall@k: the share of a user's targets that are ranked.

    Args:
        ranked: (users, k) places, -1 for none.
        targets: each user's distinct places.
        among: (items,) count only targets of this mask, for instance cold ones.

    Returns:
        (users,) 0 to 1; NaN for a user without such targets.
    """
    found, wanted = _hits(ranked, targets, among)
    return _divide(found.sum(axis=1), wanted)


def ndcg(ranked: Places, targets: Sequence[Places], among: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """NDCG@k with gains of 0 and 1 (Järvelin and Kekäläinen, "Cumulated gain-based evaluation", 2002); as `recall`."""
    found, wanted = _hits(ranked, targets, among)
    discounts = 1.0 / np.log2(np.arange(2, ranked.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(wanted, ranked.shape[1])]
    return _divide(found @ discounts, ideal)


def coverage(ranked: Places, candidates: Places) -> float:
    """The share of the candidates that at least one user is given, 0 to 1."""
    return float(np.isin(candidates, ranked).mean()) if len(candidates) else 0.0


def novelty(ranked: Places, popularity: NDArray[np.int64], users: int) -> NDArray[np.float64]:
    """Mean self-information of what a user is given: -log2 of the share of users who have had to do with an item.

    Source: Vargas and Castells, "Rank and relevance in novelty and diversity metrics", RecSys 2011, section 4; one is
    added to each count, so that an item without events has an answer.

    Args:
        ranked: (users, k) places, -1 for none.
        popularity: (items,) users of each item in the training events.
        users: how many users those events have.

    Returns:
        (users,) bits, 0 or more; NaN for an empty ranking.
    """
    bits = np.append(-np.log2((popularity + 1) / (max(users, int(popularity.max(initial=0))) + 1)), 0.0)
    return _divide(bits[ranked].sum(axis=1), (ranked >= 0).sum(axis=1))


def popularity_share(ranked: Places, popularity: NDArray[np.int64], head: float = HEAD_SHARE) -> NDArray[np.float64]:
    """The share of what a user is given that belongs to the most popular items.

    Args:
        ranked: (users, k) places, -1 for none.
        popularity: (items,) users of each item; items without any never belong to the head.
        head: share of the items with events that counts as popular, 0 to 1.

    Returns:
        (users,) 0 to 1; NaN for an empty ranking.
    """
    size = int(np.ceil(head * np.count_nonzero(popularity)))
    popular = np.zeros(len(popularity) + 1, dtype=bool)
    popular[np.argsort(-popularity, kind="stable")[:size]] = True
    return _divide(popular[ranked].sum(axis=1), (ranked >= 0).sum(axis=1))


def difference(
    first: NDArray[np.float64], second: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """Compare two models over the same users by the paired bootstrap; users who are NaN in either are left out.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 16.

    Args:
        first, second: (users,) a measure of each model, in the same order of users.
        resamples: draws of as many users as there are.

    Raises:
        QueryError: no user has both figures.
    """
    pairs = first - second
    pairs = pairs[~np.isnan(pairs)]
    if not len(pairs):
        raise QueryError("no user has a figure under both models; there is nothing to compare")
    rng = np.random.default_rng(seed)
    lot = max(1, _BOOTSTRAP_CELLS // len(pairs))
    means = np.concatenate(
        [
            pairs[rng.integers(0, len(pairs), (min(lot, resamples - done), len(pairs)))].mean(axis=1)
            for done in range(0, resamples, lot)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(pairs.mean()), float(low), float(high), len(pairs))


def _hits(
    ranked: Places, targets: Sequence[Places], among: NDArray[np.bool_] | None
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(users, k) whether each ranked item is a target, and (users,) how many targets there are."""
    if len(ranked) != len(targets):
        raise QueryError(f"there are {len(ranked)} rankings and targets of {len(targets)} users; they must be the same")
    kept = list(targets) if among is None else [one[among[one]] for one in targets]
    wanted = np.array([len(one) for one in kept], dtype=np.int64)
    flat = np.concatenate([np.empty(0, dtype=np.int64), *kept])
    wide = max(int(ranked.max(initial=0)), int(flat.max(initial=0))) + 1
    of_user = np.arange(len(ranked))
    found = np.isin(of_user[:, None] * wide + ranked, np.repeat(of_user, wanted) * wide + flat) & (ranked >= 0)
    return found, wanted


def _divide(values: NDArray[np.generic], by: NDArray[np.generic]) -> NDArray[np.float64]:
    answer = np.full(len(values), np.nan)
    np.divide(values, by, out=answer, where=np.asarray(by) > 0)
    return answer
