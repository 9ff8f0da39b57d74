"""Interests that recency would lose: a user's whole history counted over clusters of the whole index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.recommend.events.interactions import DAY_US, History
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.slates.interests import Interest, InterestSettings, medoid_of, unit

FORGOTTEN_DAYS = 30
"""Without an event for so long, an interest is one that recency loses."""

LEAST_EVENTS = 2
LEAST_LIFT = 1.5
"""How many times the user's share of events in a cluster is the cluster's share of the index, at least."""


@dataclass(frozen=True)
class Clusters:
    """The items of a space in clusters.

    Attributes:
        space: the items.
        labels: (n,) int32, the cluster of each; -1 for an item without a vector.
    """

    space: ItemSpace
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return int(self.labels.max(initial=-1)) + 1

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """(clusters,) of the index that each holds, 0 to 1."""
        sizes = np.bincount(self.labels[self.labels >= 0], minlength=len(self))
        return sizes / max(int(sizes.sum()), 1)

    @cached_property
    def centroids(self) -> Vectors:
        """(clusters, dim) float32 unit rows; zeros for an empty cluster."""
        known = np.flatnonzero(self.labels >= 0)
        order = known[np.argsort(self.labels[known], kind="stable")]
        sums = np.zeros((len(self), self.space.vectors.shape[1]), dtype=np.float32)
        if len(order):
            present, starts = np.unique(self.labels[order], return_index=True)
            sums[present] = np.add.reduceat(self.space.vectors[order], starts, axis=0)
        return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9), dtype=np.float32)

    @cached_property
    def nearest(self) -> NDArray[np.int64]:
        """(clusters, clusters - 1) the others of each by the cosine of their centroids, the nearest first."""
        cosines = self.centroids @ self.centroids.T
        np.fill_diagonal(cosines, np.inf)
        return np.asarray(np.argsort(-cosines, axis=1, kind="stable")[:, 1:], dtype=np.int64)


def long_tail_interests(
    clusters: Clusters, history: History, now_us: int, settings: InterestSettings
) -> list[Interest]:
    """Clusters in which a user was once active far above chance, and has not been for `FORGOTTEN_DAYS`.

    Every event of the history counts the same, however old: a cluster needs `LEAST_EVENTS` and a lift of `LEAST_LIFT`.
    They are ordered by events * log(lift), the part of the likelihood that the cluster explains.

    Returns:
        At most `max_long_tail`; `share` is left 0.

    Source: the statistics over index-wide clusters of Yan et al., "Trinity: Syncretizing Multi-/Long-tail/Long-term
    Interests All in One", KDD 2024, section 3.
    """
    labels = clusters.labels[history.items]
    inside = labels >= 0
    if not inside.any():
        return []
    counts = np.bincount(labels[inside], minlength=len(clusters))
    newest = np.full(len(clusters), np.iinfo(np.int64).min)
    np.maximum.at(newest, labels[inside], history.times[inside])
    lift = counts / inside.sum() / np.maximum(clusters.shares, 1e-12)
    forgotten = (now_us - np.maximum(newest, 0)) > FORGOTTEN_DAYS * DAY_US
    chosen = np.flatnonzero((counts >= LEAST_EVENTS) & (lift >= LEAST_LIFT) & forgotten)
    chosen = chosen[np.argsort(-counts[chosen] * np.log(lift[chosen]), kind="stable")][: settings.max_long_tail]
    found = []
    for label in chosen:
        members = np.unique(history.items[labels == label])
        vectors = clusters.space.vectors[members]
        vector = unit(vectors.sum(axis=0))
        if vector is not None:
            found.append(Interest("long_tail", vector, int(members[medoid_of(vectors)]), members, 0.0))
    return found
