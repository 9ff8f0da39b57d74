"""Cuts that keep a stated precision or recall with a stated confidence, though chosen on the sample that shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats, Labels
from firstsight.heads.intervals import check_sample, lower_bound

STEP = 1.05
"""Ratio between the numbers of flagged rows that are tried: a cut is coarser than the best by this share at most."""


@dataclass(frozen=True)
class Threshold:
    """A cut and what it promises; an item is flagged when its score is at or above the cut."""

    cut: float  # infinite, so that nothing is flagged, where the target is not attainable
    precision_bound: float  # lower bound of the precision, 0 to 1, at the confidence asked for
    recall_bound: float  # lower bound of the recall, 0 to 1, at the confidence asked for
    attainable: bool
    reason: str  # one sentence: what was promised on what evidence, or what is lacking


@dataclass(frozen=True)
class _RankedRows:
    """Rows by falling score, after which a row of a class stands for as many rows as any other of that class."""

    scores: Floats
    hits: NDArray[np.int64]  # positives among the first rows
    positives: int
    odds: float  # rows that a negative stands for, per row that a positive stands for


def choose_threshold(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    precision: float | None = None,
    recall: float | None = None,
    confidence: float = 0.95,
    weights: ArrayLike | None = None,
) -> Threshold:
    """The cut that meets a target on rows to come with a stated confidence, in finite samples.

    For a recall, the highest such cut: an order statistic of the positives' scores, whose recall has a beta
    distribution whatever the scores' own is (Wilks, Annals of Mathematical Statistics 1941); nothing is assumed.

    For a precision, the lowest such cut: numbers of flagged rows, fixed before the labels are seen, are tested one
    after another by an exact binomial test, in the sense of Learn then Test (Angelopoulos et al. 2021, section 3). The
    order is that of the fallback procedure (Wiens, Pharmaceutical Statistics 2003): a number that passes hands its
    allowance for error on to the next, and every doubling has an allowance of its own, so that a chance failure early
    on does not end the search. Holds where precision does not rise again below the first cut at which it falls short.

    With both, half of the allowance for error goes to each, and the lowest cut is taken.

    Rows must be independent and none of them seen in training: of near-duplicates give one. Weights say how many rows
    of the real stream each stands for, as when negatives were sampled. Where they differ within a class, its rows are
    thinned to even ones (kept with probability weight / largest weight, the same ones every time), so that the
    guarantee stays exact; one outsize weight therefore costs many rows.

    Args:
        scores: `(n,)`, higher for more suspect.
        labels: `(n,)` of 0 and 1.
        precision: target, above 0 and below 1.
        recall: target, above 0 and below 1.
        confidence: of the target and, each by itself, of both bounds; above 0.5 and below 1.
        weights: `(n,)` above 0.

    Raises:
        SafetyError: no target, one out of range, or arrays that do not belong together.
    """
    targets = {"precision": precision, "recall": recall}
    if precision is None and recall is None:
        raise SafetyError("no target was given: name a precision, a recall or both")
    for name, value in targets.items():
        if value is not None and not 0 < value < 1:
            raise SafetyError(f"{name} {value} is not above 0 and below 1")
    if not 0.5 < confidence < 1:
        raise SafetyError(f"confidence {confidence} is not above 0.5 and below 1")
    s, y, w = check_sample(scores, labels, weights)
    sample = _thin_to_even_weights(s, y, w)
    for name, count in (("positive", sample.positives), ("negative", len(sample.scores) - sample.positives)):
        if count == 0:
            return _unattainable(f"not attainable: there is no {name} among {len(s)} rows")
    risk = (1 - confidence) / (1 if precision is None or recall is None else 2)
    highest = math.inf
    if recall is not None:
        found = _recall_cut(sample, recall, risk)
        if isinstance(found, str):
            return _unattainable(found)
        highest, recall_bound = found
    if precision is None:
        assert recall is not None
        return Threshold(
            cut=highest,
            precision_bound=_precision_bound(sample, highest, 1 - confidence),
            recall_bound=recall_bound,
            attainable=True,
            reason=f"recall of at least {recall:g} at {confidence:.0%} confidence, from {sample.positives} positives",
        )
    passed = _precision_cut(sample, precision, risk)
    if isinstance(passed, str):
        return _unattainable(passed)
    cut, bound = passed
    if cut > highest:
        return _unattainable(
            f"not attainable together with {sample.positives} positives: precision {precision:g} needs a cut of "
            f"{cut:.4g} or more, recall {recall:g} one of {highest:.4g} or less"
        )
    promised = f"precision of at least {precision:g}" + (
        "" if recall is None else f" and recall of at least {recall:g}"
    )
    return Threshold(
        cut=cut,
        precision_bound=bound,
        recall_bound=max(recall or 0.0, _recall_bound(sample, cut, 1 - confidence)),
        attainable=True,
        reason=f"{promised} at {confidence:.0%} confidence, from {sample.positives} positives",
    )


def _recall_cut(sample: _RankedRows, target: float, risk: float) -> tuple[float, float] | str:
    """The highest positive's score at which the target holds, and the bound there; or why there is none."""
    n = sample.positives
    # with k - 1 positives below the cut, the chance that the share missed is above 1 - target
    chance = binom.cdf(np.arange(n), n, 1 - target)
    k = int(np.searchsorted(chance, risk, side="right"))
    if k == 0:
        needed = math.ceil(math.log(risk) / math.log(target))
        return (
            f"not attainable with {n} positives: recall {target:g} at {1 - risk:.4g} confidence needs at least "
            f"{needed}, all found"
        )
    positives = sample.scores[np.diff(sample.hits, prepend=0) == 1][::-1]
    return float(positives[k - 1]), float(lower_bound(n - k + 1, n, 1 - risk))


def _precision_cut(sample: _RankedRows, target: float, risk: float) -> tuple[float, float] | str:
    """The lowest cut at which the target holds, and the bound there; or why there is none."""
    n = len(sample.scores)
    share = target * sample.odds / (target * sample.odds + 1 - target)  # the target, among the sample's own rows
    ranks, allowance = _ranks(n, share, risk)
    ranks, allowance = _skip_ties(sample.scores, ranks, allowance)
    if len(ranks) == 0:
        needed = math.ceil(math.log(risk / 2) / math.log(share))
        return (
            f"not attainable with {sample.positives} positives: precision {target:g} at {1 - risk:.4g} confidence "
            f"needs at least {needed} rows flagged, and there are {n}"
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
            # the test and the bound are one computation; rounding must not put the bound below what was tested
            best = float(sample.scores[rank - 1]), max(target, bounds[i])
        else:
            level = 0.0
    if best is None:
        return (
            f"not attainable with {sample.positives} positives: the best bound of {len(ranks)} cuts is "
            f"{bounds.max():.3f}, and {target:g} was asked for"
        )
    return best


def _ranks(n: int, share: float, risk: float) -> tuple[NDArray[np.int64], Floats]:
    """Numbers of flagged rows to test, rising, and how much of the allowance for error is each one's own.

    Each doubling has half of what the one before it has: few rows need a wide allowance, many hardly any.
    """
    ranks: list[int] = []
    own: list[float] = []
    at = math.ceil(math.log(risk / 2) / math.log(share))  # with fewer, not even rows without an error can pass
    following, allowance = at, risk / 2
    while at < n:  # flagging every row needs no cut
        ranks.append(at)
        own.append(allowance if at >= following else 0.0)
        if at >= following:
            following, allowance = 2 * at, allowance / 2
        at = max(at + 1, int(at * STEP))
    return np.array(ranks, np.int64), np.array(own, np.float64)


def _skip_ties(scores: Floats, ranks: NDArray[np.int64], allowance: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Ranks moved on to the last row of the same score; those that fall together add up what is theirs."""
    moved = np.searchsorted(-scores, -scores[ranks - 1], side="right")
    kept, place = np.unique(moved.astype(np.int64), return_inverse=True)
    summed = np.zeros(len(kept))
    np.add.at(summed, place, allowance)
    inside = kept < len(scores)
    return kept[inside], summed[inside]


def _precision_bound(sample: _RankedRows, cut: float, risk: float) -> float:
    """Holds whichever number of rows a cut flags, so for a cut chosen in any way."""
    rank = int(np.searchsorted(-sample.scores, -cut, side="right"))
    bound = lower_bound(sample.hits[rank - 1], rank, 1 - risk / len(sample.scores))
    return _stream_precision(float(bound), sample.odds)


def _recall_bound(sample: _RankedRows, cut: float, risk: float) -> float:
    """Holds at every cut at once (Dvoretzky, Kiefer and Wolfowitz 1956, with the constant of Massart 1990)."""
    rank = int(np.searchsorted(-sample.scores, -cut, side="right"))
    found = sample.hits[rank - 1] / sample.positives
    return max(0.0, float(found) - math.sqrt(math.log(1 / risk) / (2 * sample.positives)))


def _stream_precision(share: float, odds: float) -> float:
    """A precision among the sample's own rows as one among the rows that they stand for."""
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
