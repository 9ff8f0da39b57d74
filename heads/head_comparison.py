"""Champion and challenger: whether a newly trained head takes the place of the one in use.

The rule: on held-out data that neither has seen, the challenger is promoted if a paired bootstrap puts the difference
in average precision above zero with 95 % confidence, one-sided; there have to be 10 positive groups at least. Equal is
not enough: who changes a head in use changes decisions, and has to show what for.

Source: the paired bootstrap is Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16; resampling
whole groups (an item's views, near-duplicates) keeps what is not independent together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import SafetyError
from firstsight.safety.policy.policies import PARTS
from firstsight.safety.policy.policy_heads import Head
from firstsight.safety.training.fitting import Indices, TrainingSet

MIN_POSITIVES = 10
"""Groups with a positive below which no promotion can be shown to help."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeadComparison:
    """How a challenger does beside the champion on the same held-out data."""

    champion_ap: float  # average precision, 0 to 1
    challenger_ap: float
    difference: float  # challenger's less champion's
    low: float  # of the difference: one-sided lower bound at `confidence`
    high: float  # and the upper one
    confidence: float
    positives: int  # groups that hold a positive
    rows: int
    promote: bool
    reason: str  # the rule, applied: one sentence

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for the audit log."""
        return dict(vars(self))


def average_precision(scores: Floats, labels: NDArray[np.int8], weights: Floats | None = None) -> float:
    """Weighted average precision: the sum of precision times the step in recall; equal scores are one step.

    Args:
        scores: (n,), higher is more likely positive.
        labels: (n,) 0 or 1.
        weights: (n,) 0 or more; all 1 by default.

    Returns:
        0 to 1; NaN where no positive has weight.
    """
    return _APCurve(scores, labels).at(np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64))


def compare(
    labels: NDArray[np.int8],
    champion: Floats,
    challenger: Floats,
    *,
    weights: Floats | None = None,
    groups: NDArray[np.object_] | None = None,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> HeadComparison:
    """Compare two heads' scores of the same held-out rows, and say whether to promote the challenger.

    Args:
        labels: (n,) 0 or 1.
        champion: (n,) scores of the head in use; only their order counts.
        challenger: (n,) scores of the new one.
        weights: (n,) above 0; all 1 by default.
        groups: (n,) group ids; rows of one group are drawn together. Each row its own by default.
        confidence: of the one-sided bounds, above 0.5 and below 1.
        resamples: bootstrap draws, 100 or more.
        seed: the same seed gives the same answer.

    Raises:
        SafetyError: arrays that do not fit, a label that is not 0 or 1, a score that is not finite, or a setting out
            of range.
    """
    n = len(labels)
    weights = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    _check(labels, champion, challenger, weights, groups, confidence, resamples)
    members = np.arange(n) if groups is None else np.unique(groups.astype(str), return_inverse=True)[1].ravel()
    count = int(members.max()) + 1 if n else 0
    positives = len(np.unique(members[labels == 1]))
    old, new = _APCurve(champion, labels), _APCurve(challenger, labels)
    before, after = old.at(weights), new.at(weights)
    if positives < MIN_POSITIVES:
        told = f"kept: the held-out data have {positives} positives, and {MIN_POSITIVES} are needed to compare heads"
        return HeadComparison(before, after, after - before, np.nan, np.nan, confidence, positives, n, False, told)
    rng = np.random.default_rng(seed)
    differences = np.empty(resamples)
    for draw in range(resamples):
        times = np.bincount(rng.integers(0, count, count), minlength=count)[members]
        differences[draw] = new.at(weights * times) - old.at(weights * times)
    differences = differences[np.isfinite(differences)]  # a draw without a positive says nothing
    low, high = np.quantile(differences, [1 - confidence, confidence])
    promote = bool(low > 0)
    verb = "promoted" if promote else "kept"
    told = (
        f"{'challenger' if promote else 'champion'} {verb}: average precision {before:.4f} -> {after:.4f}, difference "
        f"{after - before:+.4f}, at least {low:+.4f} with {confidence:.0%} confidence; above 0 is needed"
    )
    return HeadComparison(
        before, after, after - before, float(low), float(high), confidence, positives, n, promote, told
    )


def compare_heads(champion: Head, data: TrainingSet, held_out: Indices, challenger: Floats) -> HeadComparison:
    """Compare a new head with the one in use, on what neither was fitted on.

    Args:
        champion: the head in use.
        data: all labelled units of the policy.
        held_out: (n,) places of those that the challenger's scores are of.
        challenger: (n,) its scores of them.
    """
    seen = set(champion.seen)
    groups = {group for group, unit in zip(data.groups, data.unit_ids, strict=True) if unit in seen}
    fresh = np.flatnonzero([group not in groups for group in data.groups[held_out]])
    some = data.select_units(held_out[fresh])
    if not len(fresh):
        told = "kept: the champion has seen every label that is held out; label what it has not seen"
        return HeadComparison(np.nan, np.nan, np.nan, np.nan, np.nan, 0.95, 0, 0, False, told)
    before = some.highest(champion.logits(some.vectors, [PARTS[place] for place in some.parts]))
    return compare(some.labels, before, challenger[fresh], weights=some.weights, groups=some.groups)


class _APCurve:
    """Rows in the order of their scores, so that average precision under other weights needs no sorting."""

    def __init__(self, scores: Floats, labels: NDArray[np.int8]) -> None:
        self._order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
        ordered = np.asarray(scores, dtype=np.float64)[self._order]
        self._ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(ordered) else self._order
        self._labels = np.asarray(labels)[self._order] == 1

    def at(self, weights: Floats) -> float:
        ordered = weights[self._order]
        right = np.cumsum(np.where(self._labels, ordered, 0.0))[self._ends]
        shown = np.cumsum(ordered)[self._ends]
        if not len(right) or right[-1] <= 0:
            return float("nan")
        precision = np.divide(right, shown, out=np.zeros_like(right), where=shown > 0)
        return float(np.sum(precision * np.diff(right, prepend=0.0)) / right[-1])


def _check(
    labels: NDArray[np.int8],
    champion: Floats,
    challenger: Floats,
    weights: Floats,
    groups: NDArray[np.object_] | None,
    confidence: float,
    resamples: int,
) -> None:
    n = len(labels)
    for name, one in {"champion": champion, "challenger": challenger, "weights": weights, "groups": groups}.items():
        if one is not None and len(one) != n:
            raise SafetyError(f"{name} has {len(one)} rows and labels {n}; give one for each")
    if not np.isin(labels, (0, 1)).all():
        raise SafetyError(f"labels hold {np.unique(labels)[:5].tolist()}; they are 0 or 1")
    if not all(np.isfinite(one).all() for one in (champion, challenger, weights)) or (weights <= 0).any():
        raise SafetyError("scores and weights must be finite numbers, and weights above 0")
    if not 0.5 < confidence < 1 or resamples < 100:
        raise SafetyError(
            f"confidence {confidence} must be above 0.5 and below 1, and resamples {resamples} 100 or more"
        )
