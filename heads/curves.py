"""How well scores rank and how far they can be taken as probabilities: curves and figures from scores and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats
from firstsight.heads.intervals import check_sample, clopper_pearson


@dataclass(frozen=True)
class PrecisionRecall:
    """One point per distinct score, from the highest cut to the lowest."""

    cuts: Floats
    precision: Floats
    recall: Floats
    average_precision: float  # 0 to 1; a random order has the prevalence
    prevalence: float  # share of positives that the precision is for


@dataclass(frozen=True)
class Reliability:
    """Bins of equal mass by rising score: what was said beside what was seen."""

    score: Floats  # mean in the bin
    observed: Floats  # share of positives
    lower: Floats  # of its 95 % interval
    upper: Floats
    rows: NDArray[np.int64]
    calibration_error: float  # mean distance of score and share, weighted by mass: 0 is perfect
    brier: float  # mean squared distance of score and label: 0 is perfect


@dataclass(frozen=True)
class Histogram:
    """Shares of each class's weight by score."""

    edges: Floats  # one more than bins
    positives: Floats
    negatives: Floats


def prior_weights(labels: ArrayLike, prevalence: float) -> Floats:
    """Weights that make positives a stated share of all: the correction for a sample that was drawn class by class.

    Args:
        labels: `(n,)` of 0 and 1.
        prevalence: real share of positives, above 0 and below 1.

    Returns:
        `(n,)`, with a mean of 1.

    Raises:
        SafetyError: prevalence out of range, or a class is not there.
    """
    y = np.asarray(labels)
    if not 0 < prevalence < 1:
        raise SafetyError(f"prevalence {prevalence} is not above 0 and below 1")
    share = float(np.mean(y == 1)) if len(y) else 0.0
    if not 0 < share < 1:
        raise SafetyError(f"{int((y == 1).sum())} of {len(y)} labels are positive: both classes are needed")
    return np.where(y == 1, prevalence / share, (1 - prevalence) / (1 - share))


def precision_recall(
    scores: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None, prevalence: float | None = None
) -> PrecisionRecall:
    """Precision and recall at every cut, as they would be in the real stream.

    Average precision is the sum of precision over the steps of recall, without interpolation.

    Args:
        scores: `(n,)`, higher for more suspect; a row counts as flagged when its score is at or above the cut.
        labels: `(n,)` of 0 and 1.
        weights: `(n,)`, how many rows of the stream each stands for.
        prevalence: real share of positives, where the sample has another one; on top of the weights.

    Raises:
        SafetyError: arrays that do not belong together, a class that is not there, or a prevalence out of range.
    """
    s, y, w = check_sample(scores, labels, weights)
    total = w[y == 1].sum()
    if not 0 < total < w.sum():
        raise SafetyError(f"{int(y.sum())} of {len(y)} labels are positive: a curve needs both classes")
    if prevalence is not None:
        if not 0 < prevalence < 1:
            raise SafetyError(f"prevalence {prevalence} is not above 0 and below 1")
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
    """The reliability diagram, the calibration error over bins of equal mass, and the Brier score.

    Bins of equal mass, since at a low prevalence nearly all scores fall into the first bin of equal width (Nixon et al.
    2019, section 4; Roelofs et al. 2022 on its smaller bias).

    Args:
        scores: `(n,)` probabilities.
        labels: `(n,)` of 0 and 1.
        bins: at most so many; fewer where scores are equal, since equal scores share a bin.
        weights: `(n,)`, how many rows of the stream each stands for; intervals then use the effective number of rows
            (Kish 1965), which is an approximation.

    Raises:
        SafetyError: arrays that do not belong together, no rows, or a score outside 0 to 1.
    """
    s, y, w = check_sample(scores, labels, weights)
    if len(s) == 0:
        raise SafetyError("there are no rows to measure calibration on")
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
    """How the scores of each class spread over 0 to 1; a class that is not there has zeros.

    Raises:
        SafetyError: arrays that do not belong together.
    """
    s, y, w = check_sample(scores, labels, weights)
    edges = np.linspace(min(0.0, s.min(initial=0.0)), max(1.0, s.max(initial=1.0)), bins + 1)
    shares = [
        np.histogram(s[y == label], edges, weights=w[y == label])[0] / max(float(w[y == label].sum()), 1e-300)
        for label in (1, 0)
    ]
    return Histogram(edges=edges, positives=shares[0], negatives=shares[1])
