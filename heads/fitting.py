"""Logistic regression on frozen unit vectors, for units that have one view or many.

Vectors are centred at the mean of their part in the catalogue, since titles and pictures lie apart (Liang et al., "Mind
the gap", 2022), and scaled so that C means the same for every encoder. Of a positive unit only some views may show what
it was labelled for: after a first fit its highest view and those above 0 stay (mi-SVM; Andrews et al., 2003).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vector, Vectors, unit
from firstsight.heads.calibration import Floats, Labels
from firstsight.safety.policy.policies import PARTS

C_GRID = (0.03, 0.3, 3.0, 30.0, 300.0)
"""Inverse strengths of regularisation that are tried."""

FOLDS = 5

PROMPT_SCALE = 3.0
"""Length of the prompts' direction as a feature, beside vectors of length about 1: how cheap it is to follow it."""

MIN_GAIN = 0.01
"""Share of the loss that the prompts must save in cross-validation to be used."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingSet:
    """Labelled units with their views."""

    vectors: Vectors  # (views, dim)
    parts: NDArray[np.int8]  # (views,) places in `PARTS`
    units: Indices  # (views,) which unit each is of
    unit_ids: tuple[str, ...]
    labels: Labels  # (units,)
    weights: Floats  # (units,)
    groups: NDArray[np.object_]  # (units,) units of one group stand on one side of every split

    def select_units(self, chosen: Indices) -> TrainingSet:
        """Some of the units."""
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

    def highest(self, values: NDArray[Any]) -> Floats:
        """(units,) the highest of each unit's views' values."""
        highest = np.full(len(self.labels), -np.inf)
        np.maximum.at(highest, self.units, values.astype(np.float64))
        return highest


@dataclass(frozen=True)
class Fit:
    """A linear score of views."""

    coef: Vector  # (dim,)
    intercepts: dict[str, float]  # by part
    c: float
    uses_prompts: bool  # whether the prompts' direction was a feature

    def unit_logits(self, data: TrainingSet) -> Floats:
        """(units,) logits, each that of the highest view."""
        offsets = np.array([self.intercepts[part] for part in PARTS])
        return data.highest((data.vectors @ self.coef).astype(np.float64) + offsets[data.parts])


def make_folds(data: TrainingSet) -> list[Indices]:
    """Units in up to five folds, of like shares of positives, no group in two; none where a class has one group."""
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = min(len(set(data.groups[data.labels == label])) for label in (0, 1))
    if fewest < 2:
        return []
    _, groups = np.unique(data.groups.astype(str), return_inverse=True)
    splitter = StratifiedGroupKFold(n_splits=min(FOLDS, fewest), shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        folds = [test for _, test in splitter.split(np.zeros(len(data.labels)), data.labels, groups)]
    # of large groups a fold may lack a class, or leave none of it to train on
    whole = np.arange(len(data.labels))
    fine = all(len(set(data.labels[np.setdiff1d(whole, fold)].tolist())) == 2 for fold in folds)
    return folds if fine else []


def choose_held_out(data: TrainingSet) -> Indices:
    """Units of two fifths of the groups, drawn by the digest of a group's id.

    So that whoever is held out stays so when labels are added: a later head is compared with this one on them.
    """
    drawn = {group: hashlib.blake2b(str(group).encode(), digest_size=8).digest() for group in set(data.groups)}
    return np.flatnonzero([int.from_bytes(drawn[group]) % 5 < 2 for group in data.groups])


def fit_best(
    data: TrainingSet, means: Mapping[str, Vector], direction: Vector | None, *, folds: Sequence[Indices]
) -> Fit:
    """Fit with the C, and with or without the prompts, that predict units of other groups best.

    Args:
        means: of each part in the catalogue.
        direction: of the prompts, where there are any.
        folds: from `make_folds`; with none, C is 1 and the prompts are used.
    """
    if not folds:
        return _fit(data, means, direction, 1.0)
    options = [None] if direction is None else [None, direction]
    losses = {
        (which, c): _loss(cross_validated_logits(data, means, option, c, folds), data)
        for which, option in enumerate(options)
        for c in C_GRID
    }
    without = min((c for c in C_GRID), key=lambda c: losses[0, c])
    best: tuple[int, float] = (0, without)
    if direction is not None:
        along = min((c for c in C_GRID), key=lambda c: losses[1, c])
        if losses[1, along] < (1 - MIN_GAIN) * losses[0, without]:
            best = (1, along)
    return _fit(data, means, options[best[0]], best[1])


def cross_validated_logits(
    data: TrainingSet, means: Mapping[str, Vector], direction: Vector | None, c: float, folds: Sequence[Indices]
) -> Floats:
    """(units,) logits, each by a fit that saw no unit of its fold."""
    logits = np.empty(len(data.labels))
    whole = np.arange(len(data.labels))
    for fold in folds:
        fit = _fit(data.select_units(np.setdiff1d(whole, fold)), means, direction, c)
        logits[fold] = fit.unit_logits(data.select_units(fold))
    return logits


def _loss(logits: Floats, data: TrainingSet) -> float:
    """Logarithmic loss with both classes of the same weight."""
    signs = np.where(data.labels == 1, 1.0, -1.0)
    return float(np.sum(np.logaddexp(0, -signs * logits) * _balanced(data)))


def _balanced(data: TrainingSet) -> Floats:
    weights = data.weights.copy()
    for label in (0, 1):
        of_class = data.labels == label
        weights[of_class] /= 2 * max(weights[of_class].sum(), 1e-12)
    return weights


def _fit(data: TrainingSet, means: Mapping[str, Vector], direction: Vector | None, c: float) -> Fit:
    stacked = np.stack([means[part] for part in PARTS])
    centred = data.vectors - stacked[data.parts]
    scale = 1.0 / max(float(np.sqrt(np.mean(np.sum(centred**2, axis=1)))), 1e-6)
    features = centred * scale
    along = None if direction is None else unit(direction) * PROMPT_SCALE
    if along is not None:
        features = np.concatenate([features, (features @ along)[:, None]], axis=1)
    labels = data.labels[data.units]
    sizes = np.bincount(data.units, minlength=len(data.labels))
    weights = (_balanced(data) / sizes * len(data.labels))[data.units]  # a unit counts once, however many views
    several = (labels == 1) & (sizes[data.units] > 1)
    coef, intercept = _regress(features, labels, weights, c)
    if several.any():
        logits = features @ coef + intercept
        highest = np.full(len(data.labels), -np.inf)
        np.maximum.at(highest, data.units, logits)
        kept = ~several | (logits > 0) | (logits >= highest[data.units])
        left = np.bincount(data.units[kept], minlength=len(data.labels))
        again = (_balanced(data) / np.maximum(left, 1) * len(data.labels))[data.units]
        coef, intercept = _regress(features[kept], labels[kept], again[kept], c)
    weights_of = coef[: data.vectors.shape[1]].copy()
    if along is not None:
        weights_of += coef[-1] * along
    weights_of *= scale
    offsets = {part: float(intercept - means[part] @ weights_of) for part in PARTS}
    return Fit(np.asarray(weights_of, dtype=np.float32), offsets, c, direction is not None)


def _regress(features: Vectors, labels: Labels, weights: Floats, c: float) -> tuple[Floats, float]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # weakly regularised and separable: where it stops, it separates
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=c, max_iter=300).fit(features, labels, sample_weight=weights)
    return np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])
