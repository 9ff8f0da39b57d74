"""Cuts with a guaranteed precision or recall at a given confidence, chosen and tested on the same sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats, Labels
from firstsight.heads.intervals import check_sample, lower_bound
from firstsight.records import Record

STEP = 1.05
"""Ratio between the tested numbers of flagged rows; so a cut is at most this ratio coarser than the best."""


@dataclass(frozen=True)
class Threshold(Record):
    """A cut with its guarantees; an item is flagged if its score is at or above the cut."""

    cut: float  # infinite, so that nothing is flagged, if the target is not attainable
    precision_bound: float  # lower bound of the precision, 0 to 1, at the given confidence
    recall_bound: float  # lower bound of the recall, 0 to 1, at the given confidence
    attainable: bool
    reason: str  # one sentence: the guarantee and its evidence, or the missing evidence


@dataclass(frozen=True)
class _RankedRows:
    """Rows by falling score; all rows of a class represent the same number of stream rows."""

    scores: Floats
    hits: NDArray[np.int64]  # positives among the first rows
    positives: int
    odds: float  # stream rows per negative, divided by stream rows per positive


def choose_threshold(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    precision: float | None = None,
    recall: float | None = None,
    confidence: float = 0.95,
    weights: ArrayLike | None = None,
) -> Threshold:
    """Choose the cut that meets a target on future rows with a given confidence, from a finite sample.

    For a recall target, it is the highest such cut: an order statistic of the positives' scores. Its recall has a beta
    distribution for any distribution of scores (Wilks, Annals of Mathematical Statistics 1941), without assumptions.

    For a precision target, it is the lowest such cut. Numbers of flagged rows are fixed before the labels are seen, and
    an exact binomial test checks them one after another, as in Learn then Test (Angelopoulos et al. 2021, section 3).
    The order is that of the fallback procedure (Wiens, Pharmaceutical Statistics 2003): a number that passes gives its
    allowance for error to the next one, and every doubling has its own allowance, so that an early failure by chance
    does not end the search. The guarantee assumes that precision does not rise again below the first cut that misses
    the target.

    With both targets, each gets half of the allowance for error, and the lowest cut is returned.

    Rows must be independent and unseen in training: give one of each near-duplicate group. Weights are the number of
    stream rows that each row represents, for example after sampling of negatives. If the weights within a class differ,
    its rows are thinned to equal weights (kept with probability weight / largest weight, always the same rows), so that
    the guarantee stays exact. One very large weight therefore removes many rows.

    Args:
        scores: (n,), higher is more likely positive.
        labels: (n,) 0 or 1.
        precision: target, above 0 and below 1; None for no target.
        recall: target, above 0 and below 1; None for no target.
        confidence: confidence of the target, and of each of the two bounds alone; above 0.5 and below 1.
        weights: (n,) above 0; all 1 by default.

    Raises:
        SafetyError: there is no target, a target or the confidence is out of range, or the arrays differ in length or
            hold invalid values.
    """
    targets = {"precision": precision, "recall": recall}
    if precision is None and recall is None:
        raise SafetyError("there is no target; give a precision, a recall or both")
    for name, value in targets.items():
        if value is not None and not 0 < value < 1:
            raise SafetyError(f"{name} {value} must be above 0 and below 1")
    if not 0.5 < confidence < 1:
        raise SafetyError(f"confidence {confidence} must be above 0.5 and below 1")
    s, y, w = check_sample(scores, labels, weights)
    sample = _thin_to_even_weights(s, y, w)
    for name, count in (("positive", sample.positives), ("negative", len(sample.scores) - sample.positives)):
        if count == 0:
            return _unattainable(f"not attainable: there is no {name} among {len(s)} rows")
    risk = (1 - confidence) / (1 if precision is None or recall is None else 2)
    highest = math.inf
    if recall is not None:
        recall_cut = _recall_cut(sample, recall, risk)
        if isinstance(recall_cut, str):
            return _unattainable(recall_cut)
        highest, recall_bound = recall_cut
    if precision is None:
        assert recall is not None
        return Threshold(
            cut=highest,
            precision_bound=_precision_bound(sample, highest, 1 - confidence),
            recall_bound=recall_bound,
            attainable=True,
            reason=f"recall of at least {recall:g} at {confidence:.0%} confidence, from {sample.positives} positives",
        )
    precision_cut = _precision_cut(sample, precision, risk)
    if isinstance(precision_cut, str):
        return _unattainable(precision_cut)
    cut, bound = precision_cut
    if cut > highest:
        return _unattainable(
            f"not attainable together with {sample.positives} positives: precision {precision:g} needs a cut of "
            f"{cut:.4g} or more, recall {recall:g} one of {highest:.4g} or less"
        )
    guarantee = f"precision of at least {precision:g}" + (
        "" if recall is None else f" and recall of at least {recall:g}"
    )
    return Threshold(
        cut=cut,
        precision_bound=bound,
        recall_bound=max(recall or 0.0, _recall_bound(sample, cut, 1 - confidence)),
        attainable=True,
        reason=f"{guarantee} at {confidence:.0%} confidence, from {sample.positives} positives",
    )


def _recall_cut(sample: _RankedRows, target: float, risk: float) -> tuple[float, float] | str:
    """Return the highest cut that meets the target and its bound; or why there is none."""
    n = sample.positives
    # probability that the missed share is above 1 - target, with k - 1 positives below the cut
    chance = binom.cdf(np.arange(n), n, 1 - target)
    k = int(np.searchsorted(chance, risk, side="right"))
    if k == 0:
        needed = math.ceil(math.log(risk) / math.log(target))
        return (
            f"not attainable with {n} positives: recall {target:g} at {1 - risk:.4g} confidence needs at least "
            f"{needed} positives"
        )
    positives = sample.scores[np.diff(sample.hits, prepend=0) == 1][::-1]
    return float(positives[k - 1]), float(lower_bound(n - k + 1, n, 1 - risk))


def _precision_cut(sample: _RankedRows, target: float, risk: float) -> tuple[float, float] | str:
    """Return the lowest cut that meets the target and its bound; or why there is none."""
    n = len(sample.scores)
    share = target * sample.odds / (target * sample.odds + 1 - target)  # the target, as a share of the sample's rows
    ranks, allowance = _ranks(n, share, risk)
    ranks, allowance = _skip_ties(sample.scores, ranks, allowance)
    if len(ranks) == 0:
        needed = math.ceil(math.log(risk / 2) / math.log(share))
        return (
            f"not attainable with {sample.positives} positives: precision {target:g} at {1 - risk:.4g} confidence "
            f"needs at least {needed} flagged rows, and there are only {n} rows"
        )
    hits = sample.hits[ranks - 1]
    chance = binom.sf(hits - 1, ranks, share)
    level = 0.0
    best: tuple[float, float] | None = None
    bounds = np.zeros(len(ranks))
    for i, rank in enumerate(ranks):
        level += allowance[i]
        bounds[i] = _stream_precision(float(lower_bound(hits[i], rank, 1 - level)), sample.odds) if level > 0 else 0.0
        if chance[i] <= level:
            # test and bound are the same computation; rounding must not put the bound below the target
            best = float(sample.scores[rank - 1]), max(target, bounds[i])
        else:
            level = 0.0
    if best is None:
        return (
            f"not attainable with {sample.positives} positives: the best bound of {len(ranks)} cuts is "
            f"{bounds.max():.3f}, and the target is {target:g}"
        )
    return best


def _ranks(n: int, share: float, risk: float) -> tuple[NDArray[np.int64], Floats]:
    """Return rising numbers of flagged rows to test, and each number's own allowance for error.

    Each doubling has half the allowance of the doubling before: few rows need a large allowance, many rows hardly any.
    """
    ranks: list[int] = []
    allowances: list[float] = []
    rank = math.ceil(math.log(risk / 2) / math.log(share))  # fewer rows cannot pass, even without an error
    doubling, allowance = rank, risk / 2
    while rank < n:  # flagging every row needs no cut
        ranks.append(rank)
        allowances.append(allowance if rank >= doubling else 0.0)
        if rank >= doubling:
            doubling, allowance = 2 * rank, allowance / 2
        rank = max(rank + 1, int(rank * STEP))
    return np.array(ranks, np.int64), np.array(allowances, np.float64)


def _skip_ties(scores: Floats, ranks: NDArray[np.int64], allowance: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Move ranks to the last row of the same score; ranks that meet add up their allowances."""
    moved = np.searchsorted(-scores, -scores[ranks - 1], side="right")
    kept, place = np.unique(moved.astype(np.int64), return_inverse=True)
    summed = np.zeros(len(kept))
    np.add.at(summed, place, allowance)
    inside = kept < len(scores)
    return kept[inside], summed[inside]


def _precision_bound(sample: _RankedRows, cut: float, risk: float) -> float:
    """Compute a bound that holds for all cuts at once, so also for a cut chosen in any way."""
    rank = int(np.searchsorted(-sample.scores, -cut, side="right"))
    bound = lower_bound(sample.hits[rank - 1], rank, 1 - risk / len(sample.scores))
    return _stream_precision(float(bound), sample.odds)


def _recall_bound(sample: _RankedRows, cut: float, risk: float) -> float:
    """Compute a bound for all cuts at once (Dvoretzky, Kiefer and Wolfowitz 1956; constant of Massart 1990)."""
    rank = int(np.searchsorted(-sample.scores, -cut, side="right"))
    recall = sample.hits[rank - 1] / sample.positives
    return max(0.0, float(recall) - math.sqrt(math.log(1 / risk) / (2 * sample.positives)))


def _stream_precision(share: float, odds: float) -> float:
    """Convert a precision among the sample's rows to the precision in the stream."""
    return share / (share + (1 - share) * odds)


def _thin_to_even_weights(scores: Floats, labels: Labels, weights: Floats) -> _RankedRows:
    largest = np.array([weights[labels == c].max(initial=0.0) for c in (0, 1)])
    keep = np.ones(len(scores), bool)
    uneven = weights < largest[labels]
    if uneven.any():
        drawn = np.random.default_rng(0).random(len(scores))
        keep = drawn * largest[labels] < weights
    order = np.argsort(-scores[keep], kind="stable")
    y = labels[keep][order]
    return _RankedRows(
        scores=scores[keep][order],
        hits=np.cumsum(y, dtype=np.int64),
        positives=int(y.sum()),
        odds=float(largest[0] / largest[1]) if largest[1] > 0 else 1.0,
    )


def _unattainable(reason: str) -> Threshold:
    return Threshold(cut=math.inf, precision_bound=0.0, recall_bound=0.0, attainable=False, reason=reason)
