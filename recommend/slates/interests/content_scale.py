"""Cosines of interests and items in standard deviations of an item's kind, quickly for many items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.score_scaling import KindScale

DIMENSIONS = 64
"""Principal directions that larger spaces are compared in first."""

EXACT_ITEMS_PER_INTEREST = 300
"""Number of items of each interest that are then compared in full: the nearest by their principal directions."""


class ContentScale:
    """Cosines in standard deviations of an item's kind, from moments that are computed once.

    A narrow interest is near to few items and a broad one to many. Standardised cosines make the nearest items of both
    comparable, and products with videos, too. Above `EXACT_ITEMS`, all items are compared in `DIMENSIONS` principal
    directions first, then the items near an interest in full: reading every vector takes most of the time.
    """

    def __init__(self, space: ItemSpace, kinds: KindScale, *, exact_items: int) -> None:
        self._space, self._codes = space, kinds.codes
        known = space.has_vector
        self._unknown = np.flatnonzero(~known)
        dim = space.vectors.shape[1]
        self._means: list[Vectors] = []
        self._spreads: list[Vectors] = []
        total = np.zeros((dim, dim), dtype=np.float32)
        for code in range(len(kinds.names)):
            rows = space.vectors[known & (kinds.codes == code)]
            mean = rows.mean(axis=0) if len(rows) else np.zeros(dim, np.float32)
            products = rows.T @ rows
            total += products
            self._means.append(mean)
            self._spreads.append(products / max(len(rows), 1) - np.outer(mean, mean))
        self._exact = len(space) <= exact_items or dim <= DIMENSIONS
        self._directions: Vectors = np.linalg.eigh(total)[1][:, ::-1][:, :DIMENSIONS].astype(np.float32)
        self._reduced = np.zeros((0, 0), np.float32) if self._exact else (space.vectors @ self._directions)

    def affinity(self, vectors: Vectors) -> NDArray[np.float32]:
        """Standardised cosines of unit rows (m, dim) with all items: (m, n)."""
        means = np.stack([vectors @ mean for mean in self._means], axis=1)
        variances = np.stack([((vectors @ s) * vectors).sum(axis=1) for s in self._spreads], axis=1)
        spreads = np.sqrt(np.maximum(variances, 1e-8))
        if self._exact:
            affinity = self._scaled(vectors @ self._space.vectors.T, means, spreads, self._codes)
        else:
            affinity = self._scaled((vectors @ self._directions) @ self._reduced.T, means, spreads, self._codes)
            near = np.unique(np.concatenate([_top_places(row, EXACT_ITEMS_PER_INTEREST) for row in affinity]))
            cosines = vectors @ self._space.vectors[near].T
            affinity[:, near] = self._scaled(cosines, means, spreads, self._codes[near])
        affinity[:, self._unknown] = 0.0
        return affinity

    @staticmethod
    def _scaled(
        cosines: NDArray[np.float32], means: NDArray[np.float32], spreads: NDArray[np.float32], codes: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        if means.shape[1] == 1:
            cosines -= means
            cosines /= spreads
        else:
            cosines -= np.take(means, codes, axis=1)
            cosines *= np.take(1 / spreads, codes, axis=1)
        return cosines


def _top_places(values: NDArray[np.float32], m: int) -> NDArray[np.int64]:
    """Indices of the m largest values, in any order. Few standard deviations are large, so few values are sorted."""
    for level in (5.0, 4.0, 3.0, 2.0, 1.0):
        near = np.flatnonzero(values > level)
        if len(near) >= m:
            return np.asarray(near[np.argpartition(-values[near], m - 1)[:m]])
    return np.asarray(np.argpartition(-values, min(m, len(values)) - 1)[:m])
