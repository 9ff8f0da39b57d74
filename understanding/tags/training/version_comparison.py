"""Comparison of a new version of a tag with the version in use, or with its prompts and the most frequent value.

The rule: a new version is used only if its answers to the labels are not worse. Every answer compared is by a fit that
did not see the item. Of labels that both versions were fitted on, the answers of cross-fitting are compared. A first
version must be as good as the prompts, and better than always giving the most frequent value with 95 % confidence.

Answers are measured by the mean accuracy of the values, so that a rare value counts as much as a frequent one. The
interval of the difference is a paired bootstrap over groups of near-duplicates and variants (Efron and Tibshirani, "An
Introduction to the Bootstrap", 1993, chapter 16).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.heads.array_types import Floats, Indices
from firstsight.records import Record

RESAMPLES: Final = 1_000
CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class TagComparison(Record):
    """Mean accuracy per value of a new version, and of what it would replace."""

    compared_with: str  # such as "version 2", "prompts" or "most frequent value"
    accuracy_before: float  # 0 to 1
    accuracy: float
    difference: float  # new minus before
    low: float  # one-sided lower bound of the difference
    high: float  # one-sided upper bound
    confidence: float
    items: int
    use: bool
    reason: str  # the rule, applied: one sentence


UNMEASURED: Final = TagComparison(
    *("nothing", math.nan, math.nan, math.nan, math.nan, math.nan, CONFIDENCE, 0, False),
    "not in use: every value has labels of one product only, so nothing could be measured; label more items",
)
"""Of a version whose labels cannot be split."""


def class_accuracy(right: NDArray[np.bool_], classes: Indices, weights: Floats | None = None) -> float:
    """Compute the mean over the classes of the share of right answers.

    Args:
        right: (n,) whether each answer is right.
        classes: (n,) class of each label, 0 or higher.
        weights: (n,) 0 or higher; all 1 by default.

    Returns:
        0 to 1; NaN if nothing has weight.
    """
    w = np.ones(len(right)) if weights is None else weights
    total = np.bincount(classes, weights=w)
    hits = np.bincount(classes, weights=w * right)
    present = total > 0
    return float(np.mean(hits[present] / total[present])) if present.any() else float("nan")


def compare_answers(
    compared_with: str,
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    classes: Indices,
    groups: NDArray[np.object_],
    *,
    must_gain: bool = False,
    seed: int = 0,
) -> TagComparison:
    """Compare the answers of a new version with other answers to the same labels.

    Args:
        compared_with: what gave the other answers, for messages.
        before: (n,) whether the other answers are right.
        after: (n,) whether the answers of the new version are right.
        classes: (n,) class of each label.
        groups: (n,) group ids; the rows of a group are drawn together.
        must_gain: whether the lower bound of the difference must be above 0.
        seed: random seed of the draws.
    """
    old, new = class_accuracy(before, classes), class_accuracy(after, classes)
    _, members = np.unique(groups.astype(str), return_inverse=True)
    count = int(members.max()) + 1 if len(members) else 0
    rng = np.random.default_rng(seed)
    differences = np.empty(RESAMPLES)
    for draw in range(RESAMPLES):
        times = np.bincount(rng.integers(0, count, count), minlength=count)[members].astype(np.float64)
        differences[draw] = class_accuracy(after, classes, times) - class_accuracy(before, classes, times)
    low, high = np.quantile(differences, [1 - CONFIDENCE, CONFIDENCE])
    gain = new - old
    use = bool(low > 0 if must_gain else gain >= 0)
    outcome = "in use" if use else "not in use"
    needed = f"above 0 with {CONFIDENCE:.0%} confidence is needed" if must_gain else "0 or more is needed"
    reason = (
        f"{outcome}: mean accuracy of the values {new:.3f}, of {compared_with} {old:.3f}; difference {gain:+.3f} "
        f"({2 * CONFIDENCE - 1:.0%} interval {low:+.3f} to {high:+.3f}); {needed}"
    )
    return TagComparison(compared_with, old, new, gain, float(low), float(high), CONFIDENCE, len(classes), use, reason)
