"""Tip-Adapter: the prompts' logits, plus labelled vectors as keys of a cache that needs no training.

Source: Zhang et al., "Tip-Adapter: Training-free adaption of CLIP for few-shot classification", 2022, section 3.1.
Its alpha and beta are searched, here by cross-validation. The values of a class sum to alpha, so that a class with many
labels weighs no more than one with few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from firstsight.heads.key_cache import KeyCache
from firstsight.heads.methods.class_scores import ClassScores
from firstsight.heads.methods.class_shots import ClassShots
from firstsight.heads.methods.linear_fit import prompt_logits

PROMPT_SPREAD = 2.0
"""Standard deviation of the prompts' logits between the classes of a shot."""

ALPHAS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Weights of the cache to try."""

SHARPNESSES = (1.0, 3.0, 5.5, 10.0, 20.0)
"""Values of the paper's beta to try."""

MAX_KEYS = 2_000
"""Most keys of a cache; of more shots, as many of each class as possible are drawn, because every scoring reads all."""


@dataclass(frozen=True)
class TipAdapterRecipe:
    """Settings of a fit.

    Args:
        alpha: weight of the cache.
        sharpness: the paper's beta.
        seed: draws the keys of more than `MAX_KEYS` shots.
    """

    alpha: float = 10.0
    sharpness: float = 5.5
    seed: int = 0

    def fit(self, shots: ClassShots) -> ClassScores:
        """Store the shots as keys; a class without labels is scored by its prompts alone."""
        classes, dim = len(shots.classes), shots.vectors.shape[1]
        coef, intercepts = np.zeros((classes, dim)), np.zeros(classes)
        if shots.prompts is not None:
            mean = shots.mean
            coef = PROMPT_SPREAD * prompt_logits(shots, mean)[1]
            intercepts = -coef @ mean
        kept = self._keys(shots)
        weights = np.zeros((len(kept.labels), classes))
        weights[np.arange(len(kept.labels)), kept.labels] = kept.weights
        totals = weights.sum(axis=0)
        values = self.alpha * np.divide(weights, totals, out=np.zeros_like(weights), where=totals > 0)
        cache = KeyCache(kept.vectors.astype(np.float32), values.astype(np.float32), self.sharpness)
        setting = {"alpha": self.alpha, "beta": self.sharpness, "keys": float(len(kept.labels))}
        return ClassScores(coef.astype(np.float32), intercepts, cache, setting)

    def _keys(self, shots: ClassShots) -> ClassShots:
        if len(shots.labels) <= MAX_KEYS:
            return shots
        # every class gives its first shots of a random order in turn
        order = np.random.default_rng(self.seed).permutation(len(shots.labels))
        labels = shots.labels[order]
        by_class = np.argsort(labels, kind="stable")
        starts = np.searchsorted(labels[by_class], labels[by_class])
        turn = np.empty(len(labels), dtype=np.int64)
        turn[by_class] = np.arange(len(labels)) - starts
        return shots.select(np.sort(order[np.argsort(turn, kind="stable")[:MAX_KEYS]]))
