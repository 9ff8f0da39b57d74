"""Collaborative factors for cold items, mapped from those of warm items with similar content.

Sources: Gantner et al., "Learning attribute-to-feature mappings for cold-start recommendations", ICDM 2010, section 4:
the mean of the nearest neighbours weighted by similarity, and the linear mapping by regression.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.recommend.items import Places
from firstsight.recommend.models.collaborative import Factors

FactorMapping = Literal["knn", "ridge"]

NEIGHBOURS = 10

_BYTES = 128 * 2**20  # memory for cosines at one time


def add_cold_factors(
    factors: Factors, content: Vectors, warm: NDArray[np.bool_], mapping: FactorMapping, *, ridge: float = 1.0
) -> Factors:
    """Add factors of cold items; an item without content keeps zeros.

    Args:
        factors: of the warm items; rows of cold items are zeros.
        content: (n, d) unit rows; zeros for an item without content.
        warm: (n,) whether an item has factors of its own.
        mapping: "knn": the mean of the ten nearest warm items, weighted by cosine; "ridge": a linear map.
        ridge: penalty of the linear map, above 0.
    """
    known = np.abs(content).max(axis=1) > 0
    source, target = np.flatnonzero(warm & known), np.flatnonzero(~warm & known)
    items = factors.items.copy()
    if len(source) and len(target):
        known_factors = items[source]
        mapped = (
            _nearest(content, source, target, known_factors)
            if mapping == "knn"
            else _linear(content, source, target, known_factors, ridge)
        )
        items[target] = mapped
    return replace(factors, items=items)


def _nearest(
    content: Vectors, source: Places, target: Places, known_factors: NDArray[np.float32]
) -> NDArray[np.float32]:
    warm = np.ascontiguousarray(content[source].T)
    k = min(NEIGHBOURS, len(source))
    mapped = np.zeros((len(target), known_factors.shape[1]), dtype=np.float32)
    batch = max(1, _BYTES // (8 * len(source)))
    for start in range(0, len(target), batch):
        cosines = content[target[start : start + batch]] @ warm
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        weights = np.maximum(np.take_along_axis(cosines, nearest, axis=1), 0)
        total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
        mapped[start : start + batch] = np.einsum("ck,ckf->cf", weights / total, known_factors[nearest])
    return mapped


def _linear(
    content: Vectors, source: Places, target: Places, known_factors: NDArray[np.float32], ridge: float
) -> NDArray[np.float32]:
    known = content[source].astype(np.float64)
    centre, mean = known.mean(axis=0), known_factors.mean(axis=0, dtype=np.float64)
    known -= centre
    left = known.T @ known + ridge * np.eye(known.shape[1])
    weights = np.linalg.solve(left, known.T @ (known_factors - mean))
    return np.asarray((content[target] - centre) @ weights + mean, dtype=np.float32)
