"""Logistic regression on frozen unit vectors, for units with one view or several.

Titles and pictures lie apart in the vector space (Liang et al., "Mind the gap", 2022), so each vector is centred at the
catalogue mean of its part. Vectors are also scaled, so that C means the same for every encoder. Only some views of a
positive unit may show the reason for its label. After a first fit, its highest view and its views above 0 remain
(mi-SVM; Andrews et al., 2003).
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vector, Vectors, unit
from firstsight.heads.array_types import Floats, Indices, Labels
from firstsight.heads.key_cache import KeyCache
from firstsight.storage.tables import HEAD_PARTS

C_GRID = (0.03, 0.3, 3.0, 30.0, 300.0)
"""Inverse strengths of regularisation to try."""

FOLDS = 5

PROMPT_SCALE = 3.0
"""Length of the prompt direction as a feature; vectors have a length of about 1. The larger, the cheaper to follow."""

MIN_GAIN = 0.01
"""Share of the cross-validation loss that the prompts must save to be used."""


@dataclass(frozen=True)
class TrainingSet:
    """Labelled units with their views."""

    vectors: Vectors  # (views, dim)
    parts: NDArray[np.int8]  # (views,) places in `HEAD_PARTS`
    units: Indices  # (views,) the unit of each view
    unit_ids: tuple[str, ...]
    labels: Labels  # (units,)
    weights: Floats  # (units,)
    groups: NDArray[np.object_]  # (units,) every split keeps the units of a group together

    @property
    def digest(self) -> str:
        """Digest of the labels and their weights, 16 hex digits; the order of the units does not matter."""
        plain = sorted(zip(self.unit_ids, self.labels.tolist(), self.weights.tolist(), strict=True))
        return hashlib.blake2b(json.dumps(plain).encode(), digest_size=8).hexdigest()

    def select_units(self, chosen: Indices) -> TrainingSet:
        """Keep only some units.

        Args:
            chosen: (n,) places of the units.
        """
        place = np.full(len(self.labels), -1)
        place[chosen] = np.arange(len(chosen))
        views = place[self.units] >= 0
        return TrainingSet(
            self.vectors[views],
            self.parts[views],
            place[self.units[views]],
            tuple(self.unit_ids[n] for n in chosen),
            self.labels[chosen],
            self.weights[chosen],
            self.groups[chosen],
        )

    def unit_maxima(self, values: NDArray[Any]) -> Floats:
        """Return the highest value of each unit's views.

        Args:
            values: (views,) one value for each view.

        Returns:
            (units,) float64.
        """
        maxima = np.full(len(self.labels), -np.inf)
        np.maximum.at(maxima, self.units, values.astype(np.float64))
        return maxima


class Recipe(Protocol):
    """A method with its settings, which can be fitted to any labels."""

    def fit(self, data: TrainingSet, means: Mapping[str, Vector]) -> Fit:
        """Fit the labelled units; `means` are (dim,) mean vectors of the parts in the catalogue."""
        ...


@dataclass(frozen=True)
class Fit:
    """A score of views: linear, and for Tip-Adapter with a cache of labelled views."""

    coef: Vector  # (dim,)
    intercepts: dict[str, float]  # by part
    recipe: Recipe  # fits other labels in the same way
    method: str  # "linear", "prompt-offset", "tip-adapter" or "coop"
    setting: Mapping[str, float]  # what the method chose, by name
    cache: KeyCache | None = None  # with values of one column
    reason: str = ""  # why this method, with figures

    @property
    def uses_prompts(self) -> bool:
        """Whether the policy's prompts are part of the score."""
        return self.method != "linear"

    def unit_logits(self, data: TrainingSet) -> Floats:
        """Return (units,) logits; the logit of a unit is that of its highest view."""
        offsets = np.array([self.intercepts[part] for part in HEAD_PARTS])
        logits = (data.vectors @ self.coef).astype(np.float64) + offsets[data.parts]
        if self.cache is not None:
            logits += self.cache.scores(data.vectors)[:, 0]
        return data.unit_maxima(logits)


@dataclass(frozen=True)
class RegressionRecipe:
    """Logistic regression of views.

    Args:
        c: inverse strength of regularisation.
        direction: (dim,) prompt direction as a feature; None to leave it out.
    """

    c: float = 1.0
    direction: Vector | None = None

    def fit(self, data: TrainingSet, means: Mapping[str, Vector]) -> Fit:
        """Fit the labelled units; see `Recipe`."""
        return _fit(data, means, self)


def make_folds(data: TrainingSet) -> list[Indices]:
    """Split units into up to five folds with like shares of positives; a group stays in one fold.

    Returns:
        Places of the units of each fold; no folds if a class has only one group.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = min(len(set(data.groups[data.labels == label])) for label in (0, 1))
    if fewest < 2:
        return []
    _, groups = np.unique(data.groups.astype(str), return_inverse=True)
    splitter = StratifiedGroupKFold(n_splits=min(FOLDS, fewest), shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        folds = [test for _, test in splitter.split(np.zeros(len(data.labels)), data.labels, groups)]
    # large groups can put all units of a class into one fold, and leave none to train on
    everything = np.arange(len(data.labels))
    trainable = all(len(set(data.labels[np.setdiff1d(everything, fold)].tolist())) == 2 for fold in folds)
    return folds if trainable else []


def choose_held_out(data: TrainingSet) -> Indices:
    """Choose the units of two fifths of the groups, by the digest of the group's id.

    A held-out unit stays held out when labels are added, so that a later head can be compared with this one on it.
    """
    digests = {group: hashlib.blake2b(str(group).encode(), digest_size=8).digest() for group in set(data.groups)}
    return np.flatnonzero([int.from_bytes(digests[group]) % 5 < 2 for group in data.groups])


def fit_best(
    data: TrainingSet, means: Mapping[str, Vector], direction: Vector | None, *, folds: Sequence[Indices]
) -> Fit:
    """Fit with the settings that predict units of other groups best: the C, and prompts used or not.

    Args:
        data: the labelled units.
        means: (dim,) mean vector of each part in the catalogue.
        direction: (dim,) prompt direction; None without prompts.
        folds: from `make_folds`; without folds, the prompts are used.
    """
    if not folds:
        return RegressionRecipe(direction=direction).fit(data, means)
    return best_linear(data, means, [None] if direction is None else [None, direction], folds).fit(data, means)


def best_linear(
    data: TrainingSet, means: Mapping[str, Vector], options: Sequence[Vector | None], folds: Sequence[Indices]
) -> RegressionRecipe:
    """Choose the C, and one of one or two directions, by cross-validation.

    Args:
        data, means, folds: as for `fit_best`; at least one fold.
        options: directions; the second is used only if it saves `MIN_GAIN` of the loss of the first.
    """
    chosen, lowest = RegressionRecipe(), np.inf
    for place, option in enumerate(options):
        recipes = [RegressionRecipe(c, option) for c in C_GRID]
        losses = [balanced_loss(cross_validated_logits(data, means, recipe, folds), data) for recipe in recipes]
        if place == 0 or min(losses) < (1 - MIN_GAIN) * lowest:
            chosen, lowest = recipes[int(np.argmin(losses))], min(losses)
    return chosen


def cross_validated_logits(
    data: TrainingSet, means: Mapping[str, Vector], recipe: Recipe, folds: Sequence[Indices]
) -> Floats:
    """Return (units,) logits; the fit behind each logit saw no unit of its fold.

    Args:
        data, means, folds: as for `fit_best`.
        recipe: method and settings.
    """
    logits = np.empty(len(data.labels))
    everything = np.arange(len(data.labels))
    for fold in folds:
        fit = recipe.fit(data.select_units(np.setdiff1d(everything, fold)), means)
        logits[fold] = fit.unit_logits(data.select_units(fold))
    return logits


def balanced_loss(logits: Floats, data: TrainingSet) -> float:
    """Compute the logarithmic loss of (units,) logits, with both classes of the same weight."""
    signs = np.where(data.labels == 1, 1.0, -1.0)
    return float(np.sum(np.logaddexp(0, -signs * logits) * balanced_weights(data)))


def balanced_weights(data: TrainingSet) -> Floats:
    """Return (units,) weights; those of each class sum to one half."""
    weights = data.weights.copy()
    for label in (0, 1):
        of_class = data.labels == label
        weights[of_class] /= 2 * max(weights[of_class].sum(), 1e-12)
    return weights


def _fit(data: TrainingSet, means: Mapping[str, Vector], recipe: RegressionRecipe) -> Fit:
    c, direction = recipe.c, recipe.direction
    stacked = np.stack([means[part] for part in HEAD_PARTS])
    centred = data.vectors - stacked[data.parts]
    scale = 1.0 / max(float(np.sqrt(np.mean(np.sum(centred**2, axis=1)))), 1e-6)
    features = centred * scale
    prompt_axis = None if direction is None else unit(direction) * PROMPT_SCALE
    if prompt_axis is not None:
        features = np.concatenate([features, (features @ prompt_axis)[:, None]], axis=1)
    labels = data.labels[data.units]
    sizes = np.bincount(data.units, minlength=len(data.labels))
    weights = (balanced_weights(data) / sizes * len(data.labels))[data.units]  # a unit counts once, with any views
    coef, intercept = _regress(features, labels, weights, c)
    ambiguous = (labels == 1) & (sizes[data.units] > 1)
    if ambiguous.any():
        logits = features @ coef + intercept
        kept = ~ambiguous | (logits > 0) | (logits >= data.unit_maxima(logits)[data.units])
        kept_sizes = np.bincount(data.units[kept], minlength=len(data.labels))
        weights = (balanced_weights(data) / np.maximum(kept_sizes, 1) * len(data.labels))[data.units[kept]]
        coef, intercept = _regress(features[kept], labels[kept], weights, c)
    head_coef = coef[: data.vectors.shape[1]].copy()
    if prompt_axis is not None:
        head_coef += coef[-1] * prompt_axis
    head_coef *= scale
    offsets = {part: float(intercept - means[part] @ head_coef) for part in HEAD_PARTS}
    method = "linear" if direction is None else "prompt-offset"
    return Fit(np.asarray(head_coef, dtype=np.float32), offsets, recipe, method, {"c": c})


def _regress(features: Vectors, labels: Labels, weights: Floats, c: float) -> tuple[Floats, float]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # weakly regularised and separable: the fit separates the classes before it converges
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=c, max_iter=300).fit(features, labels, sample_weight=weights)
    return np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])
