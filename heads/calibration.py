"""Calibration of a head's logits to probabilities, fitted on units that the head did not see.

Platt's sigmoid (Platt, 1999, with his smoothed targets) is the default. Isotonic regression (Zadrozny and Elkan, 2002)
is used only above 1,000 units, and only if cross-validation prefers it. If negatives were sampled, the odds are then
moved to the real prevalence (Elkan, 2001; King and Zeng, 2001).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from firstsight.heads.array_types import Floats, Labels
from firstsight.records import Record

Method = Literal["none", "platt", "isotonic"]

ISOTONIC_UNITS = 1_000
"""Number of units above which isotonic regression is tried; with fewer it fits noise."""

_FOLDS = 5
_EDGE = 1e-6  # minimum distance of isotonic probabilities from 0 and 1


@dataclass(frozen=True)
class HeadCalibration(Record):
    """Increasing map from logits to probabilities; the default is the plain sigmoid."""

    method: Method = "none"
    slope: float = 1.0
    shift: float = 0.0
    knots: tuple[float, ...] = ()  # increasing logits, for isotonic regression
    values: tuple[float, ...] = ()  # probability at each knot
    prior_shift: float = 0.0  # added to the log-odds at the end, for sampled negatives

    def __call__(self, logits: NDArray[Any]) -> Floats:
        """Return probabilities, 0 to 1, for logits of any shape; NaN stays NaN."""
        if self.method == "isotonic":
            odds: Floats = logit(np.interp(logits, self.knots, self.values))
        else:
            odds = self.slope * np.asarray(logits, dtype=np.float64) + self.shift
        return np.asarray(expit(odds + self.prior_shift), dtype=np.float64)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> HeadCalibration:
        """Read a calibration from the values of `to_dict`."""
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in plain.items()}
        return cls(**values)


def calibrate(logits: Floats, labels: Labels, *, prevalence: float | None = None) -> HeadCalibration:
    """Fit a calibration on held-out units.

    Args:
        logits: (n,) logits of units that the head did not see.
        labels: (n,) 0 or 1; both must occur.
        prevalence: share of positives in the data to score, 0 to 1; None if the units have the same share.
    """
    shift = 0.0 if prevalence is None else float(logit(prevalence) - logit(labels.mean()))
    platt = _platt(logits, labels)
    if len(logits) <= ISOTONIC_UNITS:
        return _with_prior(platt, shift)
    folds = _folds(labels)
    losses = {
        fit: sum(float(np.sum((fit(logits[~fold], labels[~fold])(logits[fold]) - labels[fold]) ** 2)) for fold in folds)
        for fit in (_platt, _isotonic)
    }
    best = _isotonic(logits, labels) if losses[_isotonic] < losses[_platt] else platt
    return _with_prior(best, shift)


def _with_prior(fitted: HeadCalibration, shift: float) -> HeadCalibration:
    return replace(fitted, prior_shift=shift)


def _platt(logits: Floats, labels: Labels) -> HeadCalibration:
    positives = int(labels.sum())
    negatives = len(labels) - positives
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    scale = float(np.std(logits)) or 1.0  # start the search at a slope of about 1
    x = logits / scale

    def loss(point: Floats) -> tuple[float, Floats]:
        slope, shift = np.exp(point[0]), point[1]  # the logarithm keeps the slope above 0, and so the order of scores
        z = slope * x + shift
        residual = expit(z) - targets
        value = float(np.sum(np.logaddexp(0, z) - targets * z))
        return value, np.array([np.sum(residual * x) * slope, np.sum(residual)])

    start = np.array([0.0, float(logit(targets.mean()))])
    optimum = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-7.0, 7.0), (-50.0, 50.0)])
    return HeadCalibration("platt", slope=float(np.exp(optimum.x[0])) / scale, shift=float(optimum.x[1]))


def _isotonic(logits: Floats, labels: Labels) -> HeadCalibration:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=_EDGE, y_max=1 - _EDGE, out_of_bounds="clip").fit(logits, labels)
    return HeadCalibration(
        "isotonic",
        knots=tuple(float(x) for x in fitted.X_thresholds_),
        values=tuple(float(y) for y in np.clip(fitted.y_thresholds_, _EDGE, 1 - _EDGE)),
    )


def _folds(labels: Labels) -> list[NDArray[np.bool_]]:
    places = np.empty(len(labels), dtype=np.int64)
    shuffled = np.random.default_rng(0).permutation(len(labels))
    for label in (0, 1):  # spread each class alone, so that each fold has both
        members = shuffled[labels[shuffled] == label]
        places[members] = np.arange(len(members)) % _FOLDS
    return [places == n for n in range(_FOLDS)]
