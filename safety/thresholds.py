"""Cuts that keep a target of precision or recall, with a stated confidence, on data the head did not see.

A cut that is chosen because it looks best on some data is worse on others. Two things prevent that here:

- Cuts stand at order statistics. Given the k-th highest score, those above it are drawn as any scores above it, so that
  their positives are binomial and the bound of Clopper and Pearson (1934) is exact.
- Many cuts are tried, and the error of all of them together is bounded: by fixed sequence testing from several starts
  (Angelopoulos, Bates, Candès, Jordan and Lei, "Learn then test", 2021, section 4): the starts share the error, and
  from each the cuts are lowered as long as the target holds. For recall nothing is tried: which order statistic of the
  positives it is follows from their number alone (Wilks, 1941).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from firstsight.errors import SafetyError
from firstsight.safety.calibration import Floats, Labels

CONFIDENCE = 0.95
"""Share of the times that a target holds on what comes, at least."""

STARTS = (1, 2, 4, 8, 16)
"""Where lowering the cut begins, as multiples of the fewest units that could show the target."""

_STEP = 1.05  # units flagged at one cut beside the cut before


@dataclass(frozen=True)
class Threshold:
    """A cut for a target, or why there is none. Scores of `cut` or above are flagged."""

    measure: Literal["precision", "recall"]
    target: float
    confidence: float
    positives: int  # held-out units that it was chosen on
    negatives: int
    cut: float | None = None  # 0 to 1; None where the target is not attainable
    bound: float | None = None  # the measure is at least this, with this confidence, at this cut
    precision: float | None = None  # seen at the cut, at the prevalence given
    recall: float | None = None
    reason: str = ""  # why there is no cut

    def as_dict(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        return asdict(self)


def lower_bound(successes: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The share that is at least there, one-sided (Clopper and Pearson, 1934)."""
    return float(beta.ppf(1 - confidence, successes, trials - successes + 1)) if successes else 0.0


def upper_bound(successes: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The share that is at most there, one-sided (Clopper and Pearson, 1934)."""
    return float(beta.ppf(confidence, successes + 1, trials - successes)) if successes < trials else 1.0


def precision_threshold(
    scores: Floats,
    labels: Labels,
    target: float,
    *,
    confidence: float = CONFIDENCE,
    prevalence: float | None = None,
) -> Threshold:
    """The lowest cut found at which precision is at least the target.

    Args:
        scores: (n,) of independent units that the head did not see; see `independent`.
        labels: (n,) 0 or 1.
        target: precision, between 0 and 1.
        confidence: share of the times that the target holds.
        prevalence: share of positives in what is to be scored, where negatives were sampled; None where units were
            drawn as they come.

    Raises:
        SafetyError: a value out of range.
    """
    _check(target, confidence, prevalence)
    positives, negatives = int(labels.sum()), int(len(labels) - labels.sum())
    none = Threshold("precision", target, confidence, positives, negatives)
    error = (1 - confidence) / len(STARTS)
    if prevalence is None:
        cuts, precision_at, fewest = _drawn(scores, labels, target, error)
    else:
        cuts, precision_at, fewest = _sampled(scores, labels, error, prevalence)
    best = _lowest(len(cuts), precision_at, target, fewest)
    if best is None:
        seen = f"{positives} positives and {negatives} negatives" if prevalence else f"{positives} positives"
        needs = f"; it takes {fewest} or more that score above all else" if prevalence is None else ""
        return _but(none, reason=f"precision {target:g} is not attainable with {seen}{needs}")
    cut = cuts[best]
    precision, recall = rates_at(scores, labels, cut, prevalence)
    return _but(none, cut=cut, bound=precision_at(best), precision=precision, recall=recall)


def recall_threshold(
    scores: Floats,
    labels: Labels,
    target: float,
    *,
    confidence: float = CONFIDENCE,
    prevalence: float | None = None,
) -> Threshold:
    """The highest cut at which recall is at least the target; arguments and errors as `precision_threshold`.

    It depends on the positives alone; `prevalence` is for the precision that is reported beside it.
    """
    _check(target, confidence, prevalence)
    found = np.sort(scores[labels == 1])
    none = Threshold("recall", target, confidence, len(found), len(labels) - len(found))
    # the share below the k-th lowest of n positives follows Beta(k, n - k + 1)
    places = np.arange(1, len(found) + 1)
    misses = beta.ppf(confidence, places, len(found) - places + 1)
    allowed = np.flatnonzero(misses <= 1 - target)
    if not len(allowed):
        needed = math.ceil(math.log(1 - confidence) / math.log(target))
        return _but(none, reason=f"recall {target:g} is not attainable with {len(found)} positives; it takes {needed}")
    cut = float(found[allowed[-1]])
    precision, recall = rates_at(scores, labels, cut, prevalence)
    return _but(none, cut=cut, bound=float(1 - misses[allowed[-1]]), precision=precision, recall=recall)


def rates_at(scores: Floats, labels: Labels, cut: float, prevalence: float | None = None) -> tuple[float, float]:
    """(precision, recall) seen at a cut, precision at the prevalence given; 1.0 for precision where nothing passes."""
    passed = scores >= cut
    found, false = float(np.sum(passed & (labels == 1))), float(np.sum(passed & (labels == 0)))
    positives, negatives = max(float(np.sum(labels == 1)), 1.0), max(float(np.sum(labels == 0)), 1.0)
    recall = found / positives
    if prevalence is not None:
        found, false = prevalence * recall, (1 - prevalence) * false / negatives
    return (found / (found + false) if found + false else 1.0), recall


def independent(groups: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) true for one unit of each group: copies of one picture are one observation, however many there are."""
    _, first = np.unique(groups.astype(str), return_index=True)
    chosen = np.zeros(len(groups), dtype=bool)
    chosen[first] = True
    return chosen


# ---- precision


def _drawn(
    scores: Floats, labels: Labels, target: float, error: float
) -> tuple[list[float], Callable[[int], float], int]:
    """Cuts right above the k-th highest score, with the bound of the precision of the k - 1 above it."""
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.concatenate([[0], np.cumsum(labels[order])])
    above = np.searchsorted(-ordered, -ordered, side="left")  # how many are strictly above each
    # below the lowest score all are above: there the whole sample is binomial
    cuts = [*(float(np.nextafter(score, np.inf)) for score in ordered), float(ordered[-1]) if len(ordered) else 0.0]
    counts = [*above.tolist(), len(ordered)]

    def precision_at(place: int) -> float:
        count = counts[place]
        return lower_bound(int(hits[count]), count, 1 - error) if count else 0.0

    return cuts, precision_at, math.ceil(math.log(error) / math.log(target))


def _sampled(
    scores: Floats, labels: Labels, error: float, prevalence: float
) -> tuple[list[float], Callable[[int], float], int]:
    """Cuts right above the k-th highest negative: bounds of both rates, put together at the prevalence."""
    against = -np.sort(-scores[labels == 0])
    found = np.sort(scores[labels == 1])
    cuts = [float(np.nextafter(score, np.inf)) for score in against]
    each = 1 - error / 2

    def precision_at(place: int) -> float:
        false = int(np.sum(against[:place] >= cuts[place]))
        passed = len(found) - int(np.searchsorted(found, cuts[place], side="left"))
        true_rate = lower_bound(passed, len(found), each) if len(found) else 0.0
        false_rate = upper_bound(false, len(against), each)
        above = prevalence * true_rate
        return above / (above + (1 - prevalence) * false_rate) if above else 0.0

    return cuts, precision_at, max(1, len(against) // 500)


def _lowest(cuts: int, precision_at: Callable[[int], float], target: float, fewest: int) -> int | None:
    """The place of the lowest cut reached from any start."""
    best: int | None = None
    for start in STARTS:
        for place in _places(start * fewest, cuts):
            if precision_at(place) < target:
                break
            best = place if best is None else max(best, place)
    return best


def _places(start: int, end: int) -> Iterator[int]:
    """Places to try, so chosen beforehand: near together at first, then some per cent apart."""
    place = start
    while place < end:
        yield place
        place = max(place + 1, math.ceil(place * _STEP))
    if start < end:
        yield end - 1


def _check(target: float, confidence: float, prevalence: float | None) -> None:
    values = {"target": target, "confidence": confidence, **({} if prevalence is None else {"prevalence": prevalence})}
    for name, value in values.items():
        if not 0 < value < 1:
            raise SafetyError(f"{name} must be between 0 and 1, not {value:g}")


def _but(threshold: Threshold, **changes: Any) -> Threshold:
    return Threshold(**(asdict(threshold) | changes))
