"""Ranking scores in standard deviations, so that boosts of one size mean the same in every mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def standardised(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Values less their mean, in standard deviations; zeros if all values are equal."""
    array = np.asarray(values, dtype=np.float64)
    spread = float(array.std()) if len(array) else 0.0
    return (array - array.mean()) / spread if spread > 1e-9 else np.zeros(len(array))
