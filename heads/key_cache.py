"""Labelled vectors as keys, the memory of Tip-Adapter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.heads.array_types import Floats
from firstsight.records import Record

_BATCH = 4_096  # vectors at a time: their products with the keys stay small


@dataclass(frozen=True)
class KeyCache(Record):
    """Labelled vectors as keys; a vector near a key gets its values (Zhang et al., "Tip-Adapter", 2022, section 3.1).

    The score is exp(-sharpness * (1 - cosine)) @ values.
    """

    keys: Vectors  # (keys, dim) float32, unit rows
    values: NDArray[np.float32]  # (keys, classes) float32
    sharpness: float  # the paper's beta, above 0

    def scores(self, vectors: Vectors) -> Floats:
        """Compute (n, classes) float64 scores of (n, dim) unit rows."""
        scores = np.empty((len(vectors), self.values.shape[1]))
        for start in range(0, len(vectors), _BATCH):
            nearness = np.exp(-self.sharpness * (1.0 - vectors[start : start + _BATCH] @ self.keys.T))
            scores[start : start + _BATCH] = nearness @ self.values
        return scores
