"""Measures of rankings, one value per user, so that two models can be compared over the same users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.items import Places
from firstsight.records import Record

HEAD_SHARE = 0.2
"""Share of the items that `popularity_share` counts as popular: the most popular fifth."""

RESAMPLES = 2_000

_TIES_SEED = 7
_BOOTSTRAP_CELLS = 4_000_000  # resampled users in memory at one time: 32 MB


@dataclass(frozen=True)
class Difference(Record):
    """The difference of two models over the same users.

    Attributes:
        mean: mean of the per-user differences, the first model minus the second.
        low, high: ends of the 95 % percentile interval.
        users: number of compared users.
    """

    mean: float
    low: float
    high: float
    users: int


def rank(scores: NDArray[np.float32], candidates: Places, k: int) -> Places:
    """Rank the k best candidates of each user.

    Ties are broken by a fixed random order of the candidates. So neither ids nor the position that a model gives to
    unknown items affect a measure.

    Args:
        scores: (users, candidates); -inf for candidates that must not be ranked.
        candidates: (candidates,) rows of the space.
        k: length of a ranking.

    Returns:
        (users, k) rows of the space, best first; -1 if there are fewer candidates than k.

    Raises:
        QueryError: k is below 1, or a score is NaN.
    """
    if k < 1:
        raise QueryError(f"a ranking of {k} items cannot be measured; take k of 1 or more")
    if np.isnan(scores).any():
        raise QueryError("a model gave a score that is not a number; scores must be finite, or -inf to exclude an item")
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
    """Recall@k: the share of a user's targets in the ranking.

    Args:
        ranked: (users, k) rows of the space, -1 for none.
        targets: each user's distinct targets.
        among: (items,) mask: count only these targets, for instance cold items.

    Returns:
        (users,) 0 to 1; NaN for a user without such targets.

    Raises:
        QueryError: the numbers of rankings and of targets differ.
    """
    hits, counts = _hits(ranked, targets, among)
    return _divide(hits.sum(axis=1), counts)


def ndcg(ranked: Places, targets: Sequence[Places], among: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """NDCG@k with gains 0 and 1; arguments and errors as for `recall`.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.
    """
    hits, counts = _hits(ranked, targets, among)
    discounts = 1.0 / np.log2(np.arange(2, ranked.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(counts, ranked.shape[1])]
    return _divide(hits @ discounts, ideal)


def coverage(ranked: Places, candidates: Places) -> float:
    """Share of the candidates that at least one user gets, 0 to 1."""
    return float(np.isin(candidates, ranked).mean()) if len(candidates) else 0.0


def novelty(ranked: Places, popularity: NDArray[np.int64], users: int) -> NDArray[np.float64]:
    """Mean self-information of a user's ranking: -log2 of the share of users with an event on an item.

    Source: Vargas and Castells, "Rank and relevance in novelty and diversity metrics", RecSys 2011, section 4. One is
    added to each count, so that items without events have a value.

    Args:
        ranked: (users, k) rows of the space, -1 for none.
        popularity: (items,) number of users of each item in the training events.
        users: number of users in the training events.

    Returns:
        (users,) bits, 0 or more; NaN for an empty ranking.
    """
    bits = np.append(-np.log2((popularity + 1) / (max(users, int(popularity.max(initial=0))) + 1)), 0.0)
    return _divide(bits[ranked].sum(axis=1), (ranked >= 0).sum(axis=1))


def popularity_share(ranked: Places, popularity: NDArray[np.int64], head: float = HEAD_SHARE) -> NDArray[np.float64]:
    """Share of a user's ranking that the most popular items take.

    Args:
        ranked: (users, k) rows of the space, -1 for none.
        popularity: (items,) number of users of each item; items without users never count as popular.
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
    """Compare two models over the same users by the paired bootstrap; users with NaN for either are left out.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 16.

    Args:
        first, second: (users,) a measure of each model, in the same order of users.
        resamples: number of bootstrap samples, each with as many draws as users.
        seed: of the samples.

    Raises:
        QueryError: no user has a value for both models.
    """
    pairs = first - second
    pairs = pairs[~np.isnan(pairs)]
    if not len(pairs):
        raise QueryError("no user has a figure under both models, so they cannot be compared")
    rng = np.random.default_rng(seed)
    batch = max(1, _BOOTSTRAP_CELLS // len(pairs))
    means = np.concatenate(
        [
            pairs[rng.integers(0, len(pairs), (min(batch, resamples - done), len(pairs)))].mean(axis=1)
            for done in range(0, resamples, batch)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(pairs.mean()), float(low), float(high), len(pairs))


def cluster_bootstrap(
    sums: NDArray[np.float64], counts: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Draw clusters with replacement, and compute means over the drawn ones: sums divided by counts.

    Samples of one user are not independent, so users are drawn instead of samples. Equal numbers of clusters and equal
    seeds give equal draws: columns, also of different calls, can be compared pair by pair.

    Source: Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8.

    Args:
        sums: (clusters, figures) sum of a figure over the samples of a cluster.
        counts: (clusters, figures) number of these samples; 0 for a cluster without any.
        resamples: number of bootstrap samples, each with as many draws as clusters.
        seed: of the draws.

    Returns:
        (resamples, figures) means; NaN where no drawn cluster has a sample.
    """
    rng = np.random.default_rng(seed)
    clusters = len(sums)
    columns = np.concatenate([sums, counts], axis=1)
    batch = max(1, _BOOTSTRAP_CELLS // max(clusters, 1))
    parts = []
    for done in range(0, resamples, batch):
        rows = min(batch, resamples - done)
        drawn = rng.integers(0, clusters, (rows, clusters)) + np.arange(rows)[:, None] * clusters
        times = np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters)
        parts.append(times.astype(np.float64) @ columns)
    totals, numbers = np.split(np.concatenate(parts), 2, axis=1)
    return np.asarray(np.divide(totals, numbers, out=np.full(totals.shape, np.nan), where=numbers > 0))


def _hits(
    ranked: Places, targets: Sequence[Places], among: NDArray[np.bool_] | None
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(users, k) whether each ranked item is a target, and (users,) number of targets."""
    if len(ranked) != len(targets):
        raise QueryError(f"{len(ranked)} rankings do not match the targets of {len(targets)} users")
    kept = list(targets) if among is None else [items[among[items]] for items in targets]
    counts = np.array([len(items) for items in kept], dtype=np.int64)
    flat = np.concatenate([np.empty(0, dtype=np.int64), *kept])
    wide = max(int(ranked.max(initial=0)), int(flat.max(initial=0))) + 1
    of_user = np.arange(len(ranked))
    hits = np.isin(of_user[:, None] * wide + ranked, np.repeat(of_user, counts) * wide + flat) & (ranked >= 0)
    return hits, counts


def _divide(values: NDArray[np.generic], by: NDArray[np.generic]) -> NDArray[np.float64]:
    quotients = np.full(len(values), np.nan)
    np.divide(values, by, out=quotients, where=np.asarray(by) > 0)
    return quotients
