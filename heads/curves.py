"""Curves and figures from scores and labels: ranking quality and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats, Indices
from firstsight.heads.intervals import check_sample, clopper_pearson
from firstsight.records import Record


@dataclass(frozen=True)
class PrecisionRecall(Record):
    """Precision and recall: one point for each distinct score, from the highest cut to the lowest."""

    cuts: Floats
    precision: Floats
    recall: Floats
    average_precision: float  # 0 to 1; of a random order, the prevalence
    prevalence: float  # share of positives behind the precision


@dataclass(frozen=True)
class Reliability(Record):
    """Reliability diagram: predicted and observed shares in bins of equal mass, by rising score."""

    score: Floats  # mean score of the bin
    observed: Floats  # share of positives
    lower: Floats  # ends of the 95 % interval of `observed`
    upper: Floats
    rows: Indices
    calibration_error: float  # mean distance between `score` and `observed`, weighted by mass; 0 is perfect
    brier: float  # mean squared distance between score and label; 0 is perfect


@dataclass(frozen=True)
class Histogram:
    """Distribution of each class over score bins, by weight."""

    edges: Floats  # (bins + 1,)
    positives: Floats
    negatives: Floats


def prior_weights(labels: ArrayLike, prevalence: float) -> Floats:
    """Compute weights that give positives a stated share, to correct a sample drawn class by class.

    Args:
        labels: (n,) 0 or 1.
        prevalence: real share of positives, above 0 and below 1.

    Returns:
        (n,) weights with a mean of 1.

    Raises:
        SafetyError: the prevalence is out of range, or a class is missing.
    """
    y = np.asarray(labels)
    if not 0 < prevalence < 1:
        raise SafetyError(f"prevalence {prevalence} must be above 0 and below 1")
    share = float(np.mean(y == 1)) if len(y) else 0.0
    if not 0 < share < 1:
        raise SafetyError(f"{int((y == 1).sum())} of {len(y)} labels are positive; give labels of both classes")
    return np.where(y == 1, prevalence / share, (1 - prevalence) / (1 - share))


def precision_recall(
    scores: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None, prevalence: float | None = None
) -> PrecisionRecall:
    """Compute precision and recall at every cut, as in the real data stream.

    Average precision is the sum of precision over the steps of recall, without interpolation.

    Args:
        scores: (n,), higher is more likely positive; a row is flagged if its score is at or above the cut.
        labels: (n,) 0 or 1.
        weights: (n,) number of stream rows that each row represents; all 1 by default.
        prevalence: share of positives in the stream, applied after the weights; None if the sample has the same share.

    Raises:
        SafetyError: the arrays differ in length or hold invalid values, a class is missing, or the prevalence is out of
            range.
    """
    s, y, w = check_sample(scores, labels, weights)
    total = w[y == 1].sum()
    if not 0 < total < w.sum():
        raise SafetyError(f"{int(y.sum())} of {len(y)} labels are positive; a curve needs both classes")
    if prevalence is not None:
        if not 0 < prevalence < 1:
            raise SafetyError(f"prevalence {prevalence} must be above 0 and below 1")
        w = w * np.where(y == 1, prevalence / total, (1 - prevalence) / w[y == 0].sum())
    order = np.argsort(-s, kind="stable")
    s, y, w = s[order], y[order], w[order]
    last = np.flatnonzero(np.append(np.diff(s) != 0, True))  # equal scores are flagged together
    hits, flagged = np.cumsum(w * y)[last], np.cumsum(w)[last]
    recall = hits / hits[-1]
    precision = hits / flagged
    return PrecisionRecall(
        cuts=s[last],
        precision=precision,
        recall=recall,
        average_precision=float(np.sum(np.diff(recall, prepend=0.0) * precision)),
        prevalence=float(hits[-1] / flagged[-1]),
    )


def reliability(
    scores: ArrayLike, labels: ArrayLike, *, bins: int = 15, weights: ArrayLike | None = None
) -> Reliability:
    """Compute the reliability diagram, the calibration error over bins of equal mass, and the Brier score.

    Bins have equal mass because, at a low prevalence, nearly all scores fall into the first bin of equal width (Nixon
    et al. 2019, section 4; Roelofs et al. 2022 on its smaller bias).

    Args:
        scores: (n,) probabilities.
        labels: (n,) 0 or 1.
        bins: maximum number of bins; equal scores share a bin.
        weights: (n,) number of stream rows that each row represents, all 1 by default. With weights, intervals use the
            effective number of rows (Kish 1965), an approximation.

    Raises:
        SafetyError: the arrays differ in length or hold invalid values, there are no rows, or a score is outside 0 to
            1.
    """
    s, y, w = check_sample(scores, labels, weights)
    if len(s) == 0:
        raise SafetyError("there are no rows to measure calibration on; give scores and labels")
    if s.min() < 0 or s.max() > 1:
        raise SafetyError(f"scores from {s.min():g} to {s.max():g} are not probabilities: calibrate them first")
    _, place = np.unique(s, return_inverse=True)
    mass = np.bincount(place, weights=w)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    bin_of_value = np.minimum((middle * bins).astype(np.int64), bins - 1)
    _, number = np.unique(bin_of_value[place], return_inverse=True)
    total = np.bincount(number, weights=w)
    mean = np.bincount(number, weights=w * s) / total
    observed = np.bincount(number, weights=w * y) / total
    effective = total**2 / np.bincount(number, weights=w**2)
    lower, upper = clopper_pearson(observed * effective, effective)
    return Reliability(
        score=mean,
        observed=observed,
        lower=lower,
        upper=upper,
        rows=np.bincount(number),
        calibration_error=float(np.sum(np.abs(mean - observed) * total) / w.sum()),
        brier=float(np.sum(w * (s - y) ** 2) / w.sum()),
    )


def score_histogram(
    scores: ArrayLike, labels: ArrayLike, *, bins: int = 40, weights: ArrayLike | None = None
) -> Histogram:
    """Compute the distribution of the scores of each class; a missing class has zeros.

    Args:
        scores: (n,) scores; the bins cover 0 to 1 and all scores.
        labels: (n,) 0 or 1.
        bins: number of bins.
        weights: (n,) number of stream rows that each row represents; all 1 by default.

    Raises:
        SafetyError: the arrays differ in length or hold invalid values.
    """
    s, y, w = check_sample(scores, labels, weights)
    edges = np.linspace(min(0.0, s.min(initial=0.0)), max(1.0, s.max(initial=1.0)), bins + 1)
    shares = [
        np.histogram(s[y == label], edges, weights=w[y == label])[0] / max(float(w[y == label].sum()), 1e-300)
        for label in (1, 0)
    ]
    return Histogram(edges=edges, positives=shares[0], negatives=shares[1])
