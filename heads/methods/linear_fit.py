"""Multinomial logistic regression, with the prompts' logits as an offset of learned weight or without.

Logits are W (x - mean) + w * p(x) + b, where p(x) are the cosines to the prompts of the classes. The penalty on W
lets few labels change the prompts' order only as far as they must; w costs little. With w = 0 it is the plain
regression. Both are linear in x, and are stored alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from firstsight.heads.array_types import Floats
from firstsight.heads.methods.class_scores import ClassScores
from firstsight.heads.methods.class_shots import ClassShots

C_GRID = (0.03, 0.3, 3.0, 30.0, 300.0)
"""Inverse strengths of regularisation to try; vectors are scaled to a mean square length of 1."""

PROMPT_SCALES = (0.1, 0.5)
"""Sizes of the prompts' logits as a feature to try: the larger, the cheaper to follow."""

ABSENT = -30.0
"""Logit of a class that has neither a label nor a prompt."""

_MOST_STEPS = 200


@dataclass(frozen=True)
class LinearRecipe:
    """Settings of a fit.

    Args:
        c: inverse strength of regularisation.
        prompt_scale: size of the prompts' logits as a feature; None to leave the prompts out.
    """

    c: float = 3.0
    prompt_scale: float | None = 0.2

    def fit(self, shots: ClassShots) -> ClassScores:
        """Fit the classes that have labels; a class without labels is scored by its prompts alone."""
        present = shots.labelled
        mean = shots.mean
        centred = shots.vectors.astype(np.float64) - mean
        scale = 1.0 / max(float(np.sqrt(np.average(np.sum(centred**2, axis=1), weights=shots.weights))), 1e-6)
        centred *= scale
        # rows of W lie in the space of the shots: with few shots, that is a small problem with the same optimum
        basis = np.linalg.svd(centred, full_matrices=False)[2] if len(centred) < centred.shape[1] else None
        features = centred if basis is None else centred @ basis.T
        offset, prompts = prompt_logits(shots, mean) if self.prompt_scale is not None else (None, None)
        labels = np.searchsorted(present, shots.labels)
        weights = shots.weights / shots.weights.mean()
        matrix, bias, weight = _minimise(
            features,
            labels,
            weights,
            len(present),
            None if offset is None else offset[:, present],
            self.c,
            self.prompt_scale or 1.0,
        )
        rows = (matrix if basis is None else matrix @ basis) * scale
        coef = np.zeros((len(shots.classes), shots.vectors.shape[1]))
        intercepts = np.full(len(shots.classes), ABSENT if prompts is None else 0.0)
        coef[present], intercepts[present] = rows, bias
        if prompts is not None:
            coef += weight * prompts
        intercepts = intercepts - coef @ mean
        setting = {"c": self.c}
        if prompts is not None and self.prompt_scale is not None:
            setting |= {"prompt_scale": self.prompt_scale, "prompt_weight": weight}
        return ClassScores(coef.astype(np.float32), intercepts, setting=setting)


def prompt_logits(shots: ClassShots, mean: Floats) -> tuple[Floats, Floats]:
    """Compute the prompts' logits of shots, scaled to a standard deviation of 1 between the classes of a shot.

    Args:
        shots: with prompts.
        mean: (dim,) subtracted from the vectors.

    Returns:
        (n, classes) logits, and the (classes, dim) rows that give them for `vectors - mean`.
    """
    assert shots.prompts is not None
    prompts = shots.prompts.astype(np.float64)
    prompts = prompts - prompts.mean(axis=0)  # what all classes share separates none of them
    logits = (shots.vectors - mean) @ prompts.T
    spread = max(float(np.sqrt(np.mean(logits**2))), 1e-9)
    return logits / spread, prompts / spread


def _minimise(
    features: Floats,
    labels: NDArray[np.int64],
    weights: Floats,
    classes: int,
    offset: Floats | None,
    c: float,
    prompt_scale: float,
) -> tuple[Floats, Floats, float]:
    """Return (classes, r) weights, (classes,) intercepts and the weight of the offset."""
    n, r = features.shape
    own = np.zeros((n, classes))
    own[np.arange(n), labels] = 1.0

    def loss(point: Floats) -> tuple[float, Floats]:
        matrix = point[: classes * r].reshape(classes, r)
        bias, weight = point[classes * r : -1], point[-1]
        logits = features @ matrix.T + bias
        if offset is not None:
            logits = logits + weight * offset
        logs = logits - logsumexp(logits, axis=1, keepdims=True)
        residual = (np.exp(logs) - own) * weights[:, None]
        value = -float(np.sum(weights * logs[np.arange(n), labels]))
        value += (float(np.sum(matrix**2)) + (weight / prompt_scale) ** 2) / (2 * c)
        slope = 0.0 if offset is None else float(np.sum(residual * offset)) + weight / prompt_scale**2 / c
        gradient = residual.T @ features + matrix / c
        return value, np.concatenate([gradient.ravel(), residual.sum(axis=0), [slope]])

    start = np.zeros(classes * r + classes + 1)
    start[-1] = 0.0 if offset is None else 1.0
    bounds = [(None, None)] * (len(start) - 1) + [(0.0, None)]  # prompts never count against their class
    optimum = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MOST_STEPS}).x
    matrix, bias = optimum[: classes * r].reshape(classes, r), optimum[classes * r : -1]
    return matrix, bias - bias.mean(), float(optimum[-1])
