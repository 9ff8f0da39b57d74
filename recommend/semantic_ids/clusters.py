"""Clusters of items: the first level of their semantic IDs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.semantic_ids.codebooks import Codebooks

_QUICK_SAMPLE = 32  # vectors per code


def assign_clusters(space: ItemSpace, codebooks: Codebooks | None = None) -> NDArray[np.int32]:
    """Give every item its cluster: its code of the first level.

    Args:
        space: the items.
        codebooks: of the database, so that clusters stay the same when items are added. Without them, codebooks are
            fitted on at most 8,192 vectors of the space (seconds on one core).
    Returns:
        (n,) int32 in 0 … codes - 1; -1 for an item without a vector.
    """
    known = int(space.has_vector.sum())
    if codebooks is None:
        if known < 2:
            return np.where(space.has_vector, 0, -1).astype(np.int32)
        codebooks = Codebooks.fit(space.vectors, levels=1, sample_per_code=_QUICK_SAMPLE)
    return codebooks.encode(space.vectors, levels=1)[:, 0]


@dataclass(frozen=True)
class Clusters:
    """The items of a space, grouped into clusters.

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
        """(clusters,) share of the index in each cluster, 0 to 1."""
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
        """(clusters, clusters - 1) the other clusters by the cosine of their centroids, the nearest first."""
        cosines = self.centroids @ self.centroids.T
        np.fill_diagonal(cosines, np.inf)
        return np.asarray(np.argsort(-cosines, axis=1, kind="stable")[:, 1:], dtype=np.int64)
