"""Training of one head: fit, calibration, cuts and figures, from labelled units.

With 40 positives and negatives or more, two fifths of the groups are held out, and the head is trained on the rest. Its
cuts then hold for exactly this head. With fewer, each unit is scored by a head trained without its group, and the final
head is trained on all units. No label is wasted, but the cuts then hold for heads of this kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vector
from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats, Indices, Labels
from firstsight.heads.calibration import HeadCalibration, calibrate
from firstsight.heads.fitting import Fit, TrainingSet, choose_held_out, cross_validated_logits, make_folds
from firstsight.heads.methods.class_fit import METHODS
from firstsight.heads.methods.view_methods import PolicyPrompts, fit_method
from firstsight.heads.thresholds import Threshold, choose_threshold
from firstsight.records import Record
from firstsight.threads import single_threaded_blas

HELD_OUT_POSITIVES = 40
"""Minimum number of groups of each class to hold out two fifths of the groups."""


@dataclass(frozen=True)
class TrainSettings:
    """Targets and options of a training.

    Raises:
        SafetyError: a value is not between 0 and 1, or the method is unknown.
    """

    precision: float | None = 0.95  # of blocked items; None for the policy's own cut
    recall: float | None = 0.9  # of reviewed and blocked items; None for the policy's own cut
    confidence: float = 0.95  # confidence level of the targets
    prevalence: float | None = None  # share of positives in the catalogue; None if the labels have the same share
    review_budget: float | None = None  # maximum share of the items that goes to review; None for no limit
    augment: bool = False  # also train on changed copies of the labelled pictures, if held-out units gain
    method: str = "auto"  # one of "auto", "linear", "prompt-offset", "tip-adapter" and "coop"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SafetyError(f"no method is called {self.method!r}; there are {', '.join(METHODS)}")
        for name, value in asdict(self).items():
            if name not in ("augment", "method") and value is not None and not 0 < value < 1:
                raise SafetyError(f"{name} must be between 0 and 1, not {value:g}")


@dataclass(frozen=True)
class HeldOutUnits(Record):
    """Units that the head did not see, with their scores; figures, cuts and reports come from them."""

    places: Indices  # (n,) places in the training set
    unit_ids: tuple[str, ...]
    scores: Floats  # (n,) calibrated
    labels: Labels  # (n,)
    weights: Floats  # (n,)
    groups: NDArray[np.object_]  # (n,)
    zero_shot: Floats | None = None  # (n,) cosines to the prompt direction; None without prompts


@dataclass(frozen=True)
class CalibratedFit:
    """A fit with its calibration, its cuts, and its figures on units that it did not see."""

    fit: Fit
    seen: tuple[str, ...]  # ids of the units that it was fitted on
    held_out: HeldOutUnits | None  # None if there are too few labels to hold any out
    calibration: HeadCalibration
    thresholds: Mapping[str, Threshold]  # by target: "precision", "recall"
    figures: Mapping[str, Any]  # plain JSON values


@single_threaded_blas()
def fit_and_calibrate(
    data: TrainingSet, means: Mapping[str, Vector], prompts: PolicyPrompts | None, settings: TrainSettings
) -> CalibratedFit:
    """Fit a head, calibrate it and choose its cuts.

    Args:
        data: labelled units of both classes.
        means: (dim,) mean vector of each part in the catalogue.
        prompts: of the policy; None without prompts.
        settings: targets of the cuts.

    Raises:
        SafetyError: `settings.confidence` is not above 0.5.
    """
    folds = make_folds(data)
    if not folds:
        fit = fit_method(data, means, prompts, [], settings.method)
        return CalibratedFit(fit, data.unit_ids, None, HeadCalibration(), {}, {"held_out": "none"})
    out, kept, method = held_out_places(data)
    if kept is not None:
        training = data.select_units(kept)
        fit = fit_method(training, means, prompts, make_folds(training), settings.method)
        seen = training.unit_ids
        logits = fit.unit_logits(data.select_units(out))
    else:
        fit = fit_method(data, means, prompts, folds, settings.method)
        logits = cross_validated_logits(data, means, fit.recipe, folds)
        seen = data.unit_ids
    return calibrate_fit(data, out, fit, seen, logits, method, prompts, settings)


def held_out_places(data: TrainingSet) -> tuple[Indices, Indices | None, str]:
    """Decide which units measure a head: `(held out, trained on, method)`, as places in the training set.

    With few groups, all units are held out in turn, and there are no separate units to train on: None.
    """
    positives = len(set(data.groups[data.labels == 1]))
    negatives = len(set(data.groups[data.labels == 0]))
    everything = np.arange(len(data.labels))
    if min(positives, negatives) >= HELD_OUT_POSITIVES:
        out = choose_held_out(data)
        return out, np.setdiff1d(everything, out), "two fifths of the groups"
    return everything, None, "cross-fitted"


def calibrate_fit(
    data: TrainingSet,
    out: Indices,
    fit: Fit,
    seen: tuple[str, ...],
    logits: Floats,
    method: str,
    prompts: PolicyPrompts | None,
    settings: TrainSettings,
) -> CalibratedFit:
    """Calibrate a fit and choose its cuts on held-out units.

    Args:
        data: labelled units of both classes.
        out: (n,) places of the held-out units.
        fit: the fit.
        seen: ids of the units that it was fitted on.
        logits: (n,) logits of the held-out units, by a fit that did not see them.
        method: how units were held out, for the figures.
        prompts: of the policy; None without prompts.
        settings: targets of the cuts.

    Raises:
        SafetyError: `settings.confidence` is not above 0.5.
    """
    labels, units = data.labels[out], data.select_units(out)
    calibration = calibrate(logits, labels, prevalence=settings.prevalence)
    held_out = HeldOutUnits(
        out,
        tuple(data.unit_ids[n] for n in out),
        calibration(logits),
        labels,
        data.weights[out],
        data.groups[out],
        None if prompts is None else units.unit_maxima(units.vectors @ prompts.direction),
    )
    return CalibratedFit(
        fit, seen, held_out, calibration, _thresholds(held_out, settings), _figures(held_out, logits, method)
    )


def threshold_figures(threshold: Threshold) -> dict[str, Any]:
    """Return a threshold as plain JSON values; an infinite cut becomes None."""
    return {name: None if value == np.inf else value for name, value in asdict(threshold).items()}


def _thresholds(held_out: HeldOutUnits, settings: TrainSettings) -> dict[str, Threshold]:
    """Choose cuts from one unit of each group: copies of one picture are one observation."""
    _, first_of_group = np.unique(held_out.groups.astype(str), return_index=True)
    scores, labels = held_out.scores[first_of_group], held_out.labels[first_of_group]
    weights = np.ones(len(labels))
    if settings.prevalence is not None:  # catalogue rows behind each negative, per row behind a positive
        share = labels.mean()
        weights[labels == 0] = (1 - settings.prevalence) / settings.prevalence * share / (1 - share)
    options: dict[str, Any] = {"confidence": settings.confidence, "weights": weights}
    thresholds = {}
    if settings.recall is not None:
        thresholds["recall"] = choose_threshold(scores, labels, recall=settings.recall, **options)
    if settings.precision is not None:
        thresholds["precision"] = choose_threshold(scores, labels, precision=settings.precision, **options)
    return thresholds


def _figures(held_out: HeldOutUnits, logits: Floats, method: str) -> dict[str, Any]:
    from sklearn.metrics import average_precision_score

    labels = held_out.labels
    uncalibrated = HeadCalibration()(logits)
    figures = {
        "held_out": method,
        "held_out_positives": int(labels.sum()),
        "held_out_negatives": int(len(labels) - labels.sum()),
        "average_precision": float(average_precision_score(labels, held_out.scores)),
        "brier": float(np.mean((held_out.scores - labels) ** 2)),
        "brier_uncalibrated": float(np.mean((uncalibrated - labels) ** 2)),
    }
    if held_out.zero_shot is not None:
        figures["average_precision_zero_shot"] = float(average_precision_score(labels, held_out.zero_shot))
    return figures
