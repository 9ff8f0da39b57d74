"""Calibration of class logits by one temperature (Guo et al., "On calibration of modern neural networks", 2017).

With few labels that are all right, the temperature would fall to its limit, and every probability would be 0 or 1. Two
remedies are here. Losses that are compared have smoothed targets, as Platt's (Platt, 1999). They are too cautious for
probabilities: of four labels of nine classes, they allow for one more error in 36. So the temperature of probabilities
comes from plain targets, with a weak prior that its logarithm is 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from firstsight.heads.array_types import Floats, Indices

LIMITS = (1e-3, 1e3)
"""Lowest and highest temperature."""

PRIOR_SPREAD = 1.0
"""Standard deviation of the prior of the temperature's logarithm. Half and twice as much give the same figures."""


def probabilities(logits: Floats, temperature: float = 1.0) -> Floats:
    """Compute the softmax of each row of logits, divided by the temperature."""
    return np.asarray(np.exp(log_probabilities(logits, temperature)))


def log_probabilities(logits: Floats, temperature: float = 1.0) -> Floats:
    """Compute the logarithm of `probabilities`."""
    scaled = logits / temperature
    return np.asarray(scaled - logsumexp(scaled, axis=1, keepdims=True))


def row_losses(logits: Floats, labels: Indices, temperature: float = 1.0) -> Floats:
    """Compute the smoothed logarithmic loss of each row.

    Args:
        logits: (n, classes).
        labels: (n,) places of classes.
        temperature: divides the logits.

    Returns:
        (n,) losses; the target of a row's class is 1 - e and of the others together e, with e = 1 / (n + 2).
    """
    logs = log_probabilities(logits, temperature)
    n, classes = logits.shape
    smoothing = 1.0 / (n + 2)
    own = logs[np.arange(n), labels]
    return np.asarray(-(1 - smoothing) * own - smoothing * (logs.sum(axis=1) - own) / max(classes - 1, 1))


def fit_temperature(logits: Floats, labels: Indices, weights: Floats) -> float:
    """Find the temperature with the lowest smoothed logarithmic loss, to compare settings by it.

    Args:
        logits: (n, classes) of shots that the fits behind them did not see.
        labels: (n,) places of classes.
        weights: (n,) above 0.

    Returns:
        Within `LIMITS`; 1.0 without shots.
    """
    if not len(labels):
        return 1.0

    def loss(log_temperature: float) -> float:
        return float(np.average(row_losses(logits, labels, float(np.exp(log_temperature))), weights=weights))

    return _minimise(loss)


def calibrate_temperature(logits: Floats, labels: Indices, weights: Floats) -> float:
    """Find the most probable temperature, given the labels and the prior.

    Args:
        logits, labels, weights: as for `fit_temperature`.

    Returns:
        Within `LIMITS`; 1.0 without shots.
    """
    if not len(labels):
        return 1.0
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        own = log_probabilities(logits, float(np.exp(log_temperature)))[rows, labels]
        prior = (log_temperature / PRIOR_SPREAD) ** 2 / 2
        return float(-np.average(own, weights=weights) + prior / len(labels))

    return _minimise(loss)


def _minimise(loss: Callable[[float], float]) -> float:
    """Temperature within `LIMITS` whose logarithm has the lowest loss."""
    grid = np.linspace(
        np.log(LIMITS[0]), np.log(LIMITS[1]), 29
    )  # the loss can be flat at both ends, where a search alone would stay
    best = int(np.argmin([loss(point) for point in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))
