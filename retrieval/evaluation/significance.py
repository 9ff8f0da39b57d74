"""Significance of differences between rankings: paired randomisation test, Holm correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

RESAMPLES = 9_999
"""Number of random sign flips per comparison. The smallest possible p-value is then 1 in 10,000."""

FLIP_BYTES = 64 * 2**20
"""Memory for one batch of sign flips, in bytes."""


def paired_p_value(
    first: Sequence[float] | NDArray[np.float64], second: Sequence[float] | NDArray[np.float64], *, seed: int = 0
) -> float:
    """Compute the two-sided p-value of the mean difference of paired values, by the randomisation (sign-flip) test.

    Smucker, Allan and Carterette (CIKM 2007) recommend it for retrieval measures: unlike a t-test it makes no
    assumption about the distribution. It is exact up to 9,999 sign flips; above that it uses 9,999 random ones.

    Args:
        first, second: values of the same queries in the same order, (n,) each, n >= 1.
        seed: random seed of the flips, so that the figure can be reproduced.
    """
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    if len(differences) < 2 or not differences.any():
        return 1.0
    result = permutation_test(
        (differences,),
        lambda values, axis: np.mean(values, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, FLIP_BYTES // (8 * len(differences))),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's step-down method (1979); the order stays."""
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
