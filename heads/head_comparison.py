"""Comparison of a newly trained head, the challenger, with what is in use: a champion, the prompts, or nothing.

The rule for a champion: both heads score held-out data that neither has seen. The challenger is promoted if a paired
bootstrap puts the difference in average precision above zero with 95 % confidence, one-sided. At least 10 groups must
hold a positive. An equal challenger is not promoted: a new head changes decisions, so it must be better.

The rule for a first head: its average precision on labels that it was not fitted on must be above the share of
positives with 95 % confidence, one-sided, and not below that of the policy's prompts. An equal head is promoted: unlike
prompts, it is calibrated, so it can block.

Source: the paired bootstrap is Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16. It draws
whole groups (the views of an item, near-duplicates), because their rows depend on each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats, Indices, Labels
from firstsight.records import Record

MIN_POSITIVES = 10
"""Minimum number of groups with a positive for a promotion."""


@dataclass(frozen=True)
class HeadComparison(Record):
    """Average precision of a challenger and a champion on the same held-out data."""

    champion_ap: float  # average precision, 0 to 1
    challenger_ap: float
    difference: float  # challenger's minus champion's
    low: float  # one-sided lower bound of the difference at `confidence`
    high: float  # one-sided upper bound
    confidence: float
    positives: int  # groups that hold a positive
    rows: int
    promote: bool
    reason: str  # the rule, applied: one sentence
    against: str = "champion"  # or "prompts", or "chance": the share of positives


def average_precision(scores: Floats, labels: Labels, weights: Floats | None = None) -> float:
    """Compute weighted average precision: the sum of precision times the step in recall; equal scores are one step.

    Args:
        scores: (n,), higher is more likely positive.
        labels: (n,) 0 or 1.
        weights: (n,) 0 or more; all 1 by default.

    Returns:
        0 to 1; NaN if no positive has weight.
    """
    return _APCurve(scores, labels).at(np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64))


def compare(
    labels: Labels,
    champion: Floats,
    challenger: Floats,
    *,
    weights: Floats | None = None,
    groups: NDArray[np.object_] | None = None,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> HeadComparison:
    """Compare two heads' scores of the same held-out rows, and decide whether to promote the challenger.

    Args:
        labels: (n,) 0 or 1.
        champion: (n,) scores of the head in use; only their order counts.
        challenger: (n,) scores of the new head.
        weights: (n,) above 0; all 1 by default.
        groups: (n,) group ids; rows of one group are drawn together. By default, each row is a group.
        confidence: confidence of the one-sided bounds, above 0.5 and below 1.
        resamples: bootstrap draws, 100 or more.
        seed: random seed; the same seed gives the same result.

    Raises:
        SafetyError: the arrays differ in length, a label is not 0 or 1, a score is not finite, or a setting is out of
            range.
    """
    n = len(labels)
    weights = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    _check(labels, champion, challenger, weights, groups, confidence, resamples)
    members, count, positives = _clusters(labels, groups)
    old, new = _APCurve(champion, labels), _APCurve(challenger, labels)
    before, after = old.at(weights), new.at(weights)
    if positives < MIN_POSITIVES:
        reason = f"kept: the held-out data have {positives} positives, and {MIN_POSITIVES} are needed to compare heads"
        return HeadComparison(before, after, after - before, np.nan, np.nan, confidence, positives, n, False, reason)
    differences = _draw(lambda drawn: new.at(drawn) - old.at(drawn), weights, members, count, resamples, seed)
    low, high = np.quantile(differences, [1 - confidence, confidence])
    promote = bool(low > 0)
    outcome = "challenger promoted" if promote else "champion kept"
    reason = (
        f"{outcome}: average precision {before:.4f} -> {after:.4f}, difference "
        f"{after - before:+.4f}, at least {low:+.4f} with {confidence:.0%} confidence; above 0 is needed"
    )
    return HeadComparison(
        before, after, after - before, float(low), float(high), confidence, positives, n, promote, reason
    )


def compare_first(
    labels: Labels,
    prompts: Floats | None,
    head: Floats,
    *,
    weights: Floats | None = None,
    groups: NDArray[np.object_] | None = None,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> HeadComparison:
    """Compare a policy's first head with its prompts, or with chance if it has none, and decide whether to promote it.

    Args:
        labels: (n,) 0 or 1; both occur.
        prompts: (n,) scores of the prompts; None without prompts.
        head: (n,) scores of the head, by fits that did not see the row's group.
        weights, groups, confidence, resamples, seed: as for `compare`.

    Raises:
        SafetyError: as `compare`.
    """
    n = len(labels)
    weights = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    _check(labels, head if prompts is None else prompts, head, weights, groups, confidence, resamples)
    members, count, positives = _clusters(labels, groups)
    curve = _APCurve(head, labels)
    after = curve.at(weights)

    def share(drawn: Floats) -> float:
        return float(np.average(labels == 1, weights=drawn))

    above_chance = _draw(lambda drawn: curve.at(drawn) - share(drawn), weights, members, count, resamples, seed)
    low, high = (float(end) for end in np.quantile(above_chance, [1 - confidence, confidence]))
    against, before, promote = "chance", share(weights), low > 0
    needed = f"at least {low:+.4f} with {confidence:.0%} confidence; above 0 is needed"
    if prompts is not None and promote:
        curve_of_prompts = _APCurve(prompts, labels)
        against, before = "prompts", curve_of_prompts.at(weights)
        gains = _draw(
            lambda drawn: curve.at(drawn) - curve_of_prompts.at(drawn), weights, members, count, resamples, seed
        )
        low, high = (float(end) for end in np.quantile(gains, [1 - confidence, confidence]))
        promote = after >= before
        needed = f"{2 * confidence - 1:.0%} interval {low:+.4f} to {high:+.4f}; 0 or more is needed"
    baseline = "the prompts" if against == "prompts" else "the share of positives"
    reason = (
        f"{'promoted' if promote else 'not promoted'}: average precision of {baseline} {before:.4f}, of the head "
        f"{after:.4f}, difference {after - before:+.4f}, {needed}"
    )
    return HeadComparison(
        before, after, after - before, low, high, confidence, positives, n, bool(promote), reason, against
    )


def _draw(
    measure: Callable[[Floats], float], weights: Floats, members: Indices, count: int, resamples: int, seed: int
) -> Floats:
    """Measure weights of rows whose groups are drawn with replacement; draws without a value are left out."""
    rng = np.random.default_rng(seed)
    values = np.empty(resamples)
    for draw in range(resamples):
        times = np.bincount(rng.integers(0, count, count), minlength=count)[members]
        values[draw] = measure(weights * times)
    return values[np.isfinite(values)]  # a draw without a positive has no average precision


class _APCurve:
    """Rows sorted by score once, to compute average precision under many weights."""

    def __init__(self, scores: Floats, labels: Labels) -> None:
        self._order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
        ordered = np.asarray(scores, dtype=np.float64)[self._order]
        self._ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(ordered) else self._order
        self._labels = np.asarray(labels)[self._order] == 1

    def at(self, weights: Floats) -> float:
        ordered = weights[self._order]
        hits = np.cumsum(np.where(self._labels, ordered, 0.0))[self._ends]
        flagged = np.cumsum(ordered)[self._ends]
        if not len(hits) or hits[-1] <= 0:
            return float("nan")
        precision = np.divide(hits, flagged, out=np.zeros_like(hits), where=flagged > 0)
        return float(np.sum(precision * np.diff(hits, prepend=0.0)) / hits[-1])


def _clusters(labels: Labels, groups: NDArray[np.object_] | None) -> tuple[Indices, int, int]:
    """Number of each row's group, the number of groups, and that of groups with a positive."""
    n = len(labels)
    members = np.arange(n) if groups is None else np.unique(groups.astype(str), return_inverse=True)[1].ravel()
    return members, int(members.max()) + 1 if n else 0, len(np.unique(members[labels == 1]))


def _check(
    labels: Labels,
    champion: Floats,
    challenger: Floats,
    weights: Floats,
    groups: NDArray[np.object_] | None,
    confidence: float,
    resamples: int,
) -> None:
    n = len(labels)
    arrays = {"champion": champion, "challenger": challenger, "weights": weights, "groups": groups}
    for name, values in arrays.items():
        if values is not None and len(values) != n:
            raise SafetyError(f"{name} has {len(values)} rows and labels has {n}; give one row for each label")
    if not np.isin(labels, (0, 1)).all():
        raise SafetyError(f"labels hold {np.unique(labels)[:5].tolist()}; they must be 0 or 1")
    if not all(np.isfinite(values).all() for values in (champion, challenger, weights)) or (weights <= 0).any():
        raise SafetyError("scores and weights must be finite numbers, and weights above 0")
    if not 0.5 < confidence < 1 or resamples < 100:
        raise SafetyError(
            f"confidence {confidence} must be above 0.5 and below 1, and resamples {resamples} must be 100 or more"
        )
