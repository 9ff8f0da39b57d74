"""Collaborative factors of cold items, from those of the warm items that are like them in content.

Sources: the similarity-weighted mean of nearest neighbours as in Gantner et al., "Learning attribute-to-feature
mappings for cold-start recommendations", ICDM 2010, section 4, where the regression is the linear mapping.
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

_BYTES = 128 * 2**20  # of cosines in memory at once


def add_cold_factors(
    factors: Factors, content: Vectors, warm: NDArray[np.bool_], mapping: FactorMapping, *, ridge: float = 1.0
) -> Factors:
    """Factors in which cold items have some as well; an item without content keeps zeros.

    Args:
        content: (n, d) unit rows; zeros where nothing is known.
        warm: (n,) which items have factors of their own.
        mapping: "knn", the mean over the ten nearest warm items weighted by cosine; or "ridge", a linear map.
        ridge: penalty of the linear map, above 0.
    """
    known = np.abs(content).max(axis=1) > 0
    from_, to = np.flatnonzero(warm & known), np.flatnonzero(~warm & known)
    items = factors.items.copy()
    if len(from_) and len(to):
        given = items[from_]
        made = _nearest(content, from_, to, given) if mapping == "knn" else _linear(content, from_, to, given, ridge)
        items[to] = made
    return replace(factors, items=items)


def _nearest(content: Vectors, from_: Places, to: Places, given: NDArray[np.float32]) -> NDArray[np.float32]:
    warm = np.ascontiguousarray(content[from_].T)
    k = min(NEIGHBOURS, len(from_))
    made = np.zeros((len(to), given.shape[1]), dtype=np.float32)
    lot = max(1, _BYTES // (8 * len(from_)))
    for start in range(0, len(to), lot):
        cosines = content[to[start : start + lot]] @ warm
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        weights = np.maximum(np.take_along_axis(cosines, nearest, axis=1), 0)
        total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
        made[start : start + lot] = np.einsum("ck,ckf->cf", weights / total, given[nearest])
    return made


def _linear(
    content: Vectors, from_: Places, to: Places, given: NDArray[np.float32], ridge: float
) -> NDArray[np.float32]:
    known = content[from_].astype(np.float64)
    centre, mean = known.mean(axis=0), given.mean(axis=0, dtype=np.float64)
    known -= centre
    left = known.T @ known + ridge * np.eye(known.shape[1])
    weights = np.linalg.solve(left, known.T @ (given - mean))
    return np.asarray((content[to] - centre) @ weights + mean, dtype=np.float32)
