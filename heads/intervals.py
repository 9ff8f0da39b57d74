"""Confidence intervals of shares, and a check of scores, labels and weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats, Labels


def clopper_pearson(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Compute the exact two-sided interval of a binomial share (Clopper and Pearson, Biometrika 1934).

    Args:
        successes: counts, any shape.
        trials: counts of the same shape; 0 trials give the interval 0 to 1.
        confidence: confidence level, 0 to 1.

    Returns:
        `(lower, upper)`, shares from 0 to 1.
    """
    tail = (1 - confidence) / 2
    return lower_bound(successes, trials, 1 - tail), upper_bound(successes, trials, 1 - tail)


def lower_bound(successes: ArrayLike, trials: ArrayLike, confidence: float | Floats = 0.95) -> Floats:
    """Compute the one-sided lower Clopper-Pearson bound of a share; 0 for 0 trials."""
    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    # no beta distribution has a parameter of 0; the bounds there are known
    inner = beta.ppf(1 - np.asarray(confidence), np.maximum(k, 1), n - k + 1)
    return np.where(k == 0, 0.0, inner)


def upper_bound(successes: ArrayLike, trials: ArrayLike, confidence: float | Floats = 0.95) -> Floats:
    """Compute the one-sided upper Clopper-Pearson bound of a share; 1 for 0 trials."""
    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    return 1 - lower_bound(n - k, n, confidence)


def check_sample(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> tuple[Floats, Labels, Floats]:
    """Return scores, labels and weights as (n,) arrays; the weights are 1 if None.

    Raises:
        SafetyError: the lengths differ, a score is not finite, a label is not 0 or 1, or a weight is not above 0.
    """
    s = np.asarray(scores, np.float64)
    given = np.asarray(labels)
    w = np.ones(len(s)) if weights is None else np.asarray(weights, np.float64)
    if not (s.ndim == given.ndim == w.ndim == 1 and len(s) == len(given) == len(w)):
        raise SafetyError(
            f"scores {s.shape}, labels {given.shape} and weights {w.shape} differ in shape; give one of each per row"
        )
    for name, wrong in (("score", ~np.isfinite(s)), ("label", ~np.isin(given, (0, 1)))):
        if wrong.any():
            row = int(np.argmax(wrong))
            value = (s if name == "score" else given)[row]
            allowed = "a finite number" if name == "score" else "0 or 1"
            raise SafetyError(f"{name} {value} in row {row} is not {allowed}; fix the row or leave it out")
    wrong = ~(np.isfinite(w) & (w > 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise SafetyError(f"weight {w[row]} in row {row} is not a number above 0; fix the row or leave it out")
    return s, given.astype(np.int8), w
