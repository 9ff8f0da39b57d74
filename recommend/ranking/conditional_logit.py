"""Conditional logit: weights of terms that make the items that users chose likely among their alternatives.

Source: McFadden, "Conditional logit analysis of qualitative choice behavior", 1974; estimation on sampled alternatives,
each counted by the inverse of its probability: McFadden, "Modelling the choice of residential location", 1978.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

PENALTY = 1.0
"""Penalty of the squared weights, in standard deviations of the terms: that of a normal prior with variance 1."""

ITERATIONS = 100


@dataclass(frozen=True)
class Choices:
    """Choices of users among alternatives.

    Attributes:
        terms: (choices, alternatives, p) float32.
        chosen: (choices,) index of the chosen alternative.
        log_weights: (choices, alternatives) log of how many items each alternative stands for; -inf for none.
    """

    terms: NDArray[np.float32]
    chosen: NDArray[np.int64]
    log_weights: NDArray[np.float32]


def fit_conditional_logit(choices: Choices, *, penalty: float = PENALTY, iterations: int = ITERATIONS) -> Weights:
    """Fit weights by maximum penalised likelihood (L-BFGS).

    Args:
        choices: at least one; their terms are scaled in place, to save memory.
        penalty: above 0.
        iterations: maximum number.

    Returns:
        (p,) float64; 0 for a term that is equal for all alternatives.
    """
    size, alternatives, width = choices.terms.shape
    spread = choices.terms.std(axis=(0, 1), dtype=np.float64)
    usable = spread > 1e-6
    scale = np.where(usable, spread, 1.0)
    terms = choices.terms
    terms *= (usable / scale).astype(np.float32)
    flat = terms.reshape(-1, width)
    chosen_terms = terms[np.arange(size), choices.chosen].sum(axis=0, dtype=np.float64)

    def loss(weights: Weights) -> tuple[float, Weights]:
        utility = (flat @ weights.astype(np.float32)).reshape(size, alternatives)
        weighted = utility + choices.log_weights
        peak = weighted.max(axis=1, keepdims=True)
        share = np.exp(weighted - peak)
        total = share.sum(axis=1, keepdims=True)
        share /= total
        log_likelihood = (
            utility[np.arange(size), choices.chosen].sum(dtype=np.float64)
            - np.log(total, dtype=np.float64).sum()
            - peak.sum(dtype=np.float64)
        )
        gradient = chosen_terms - (share.reshape(1, -1) @ flat)[0].astype(np.float64) - penalty * weights
        return float(penalty / 2 * (weights @ weights) - log_likelihood), -gradient

    found = minimize(loss, np.zeros(width), jac=True, method="L-BFGS-B", options={"maxiter": iterations})
    return np.asarray(found.x / scale, dtype=np.float64)


Weights = NDArray[np.float64]
