"""Slices of the catalogue that a policy treats differently: rates by column, with intervals and a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import hypergeom

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats, Indices
from firstsight.heads.intervals import clopper_pearson
from firstsight.records import Record

Measure = Literal["flagged", "false_positive_rate", "recall"]

ALPHA = 0.01
"""Probability that any slice is reported as different if all slices are equal."""

MIN_TRIALS = 20
"""Minimum number of rows to test a rate; with fewer, only absurd rates could differ, so they are shown untested."""


@dataclass(frozen=True)
class SliceRate(Record):
    """Rate in one slice, compared with the rate in all other rows."""

    column: str
    value: str
    measure: Measure
    successes: int
    trials: int
    rate: float  # NaN for 0 trials
    lower: float  # ends of the 95 % interval of `rate`
    upper: float
    rest: float  # rate outside the slice and outside the slices of its column that differ more
    p: float  # of the exact test, corrected for all tested slices; 1 if not tested
    differs: bool


def slice_rates(
    flagged: ArrayLike,
    labels: ArrayLike | None,
    columns: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    alpha: float = ALPHA,
    min_trials: int = MIN_TRIALS,
) -> list[SliceRate]:
    """Compute the rates of every value of every column, and find the values that differ from the rest.

    With labels, the rates are the false positive rate (harm to sellers) and the recall (harm to buyers). Neither
    depends on how positives and negatives were sampled, or on the share of violations in a slice. Without labels, the
    rate is the flagged share.

    Fisher's exact test (both tails, doubled) compares each slice with all other rows. Holm's procedure corrects all
    tests of the call together: if all slices are equal, none is reported with a probability of 1 - alpha. In each
    column, the slice that differs most is then removed from the rest, and the others are tested again, so that one
    unusual slice does not make the others look unusual. Rows must be independent: copies of an item count as one row.

    Args:
        flagged: (n,) bool.
        labels: (n,) 0 or 1; None without labels.
        columns: name -> (n,) values; None and NaN belong to no slice.
        alpha: probability of any false report, 0 to 1.
        min_trials: minimum number of rows in the slice and in the rest to test a rate.

    Returns:
        Slices that differ first, then by column and falling number of rows.

    Raises:
        SafetyError: the lengths differ.
    """
    hit = np.asarray(flagged, bool)
    measured: list[tuple[Measure, NDArray[np.bool_]]] = [("flagged", np.ones(len(hit), bool))]
    if labels is not None:
        y = np.asarray(labels)
        if y.shape != hit.shape:
            raise SafetyError(f"{len(y)} labels for {len(hit)} rows; give one for each")
        measured = [("false_positive_rate", y == 0), ("recall", y == 1)]
    names: list[tuple[str, str, Measure]] = []
    counts: list[tuple[Indices, Indices, Indices]] = []
    for column, given in columns.items():
        if len(given) != len(hit):
            raise SafetyError(f"column {column} has {len(given)} values for {len(hit)} rows: give one to each")
        present = np.array([value is not None and value == value for value in given], bool)  # NaN is not itself
        values, place = np.unique([str(value) for value in given], return_inverse=True)
        for measure, rows in measured:
            rows = rows & present
            trials = np.bincount(place[rows], minlength=len(values))
            successes = np.bincount(place[rows & hit], minlength=len(values))
            occurs = np.bincount(place[present], minlength=len(values)) > 0
            names += [(column, str(value), measure) for value in values[occurs]]
            whole = np.array([[int((rows & hit).sum()), int(rows.sum())]])
            counts.append((successes[occurs], trials[occurs], np.repeat(whole, occurs.sum(), axis=0)))
    if not names:
        return []
    k, n = (np.concatenate([group[place] for group in counts]) for place in (0, 1))
    whole = np.concatenate([group[2] for group in counts])
    block = np.concatenate([np.full(len(group[0]), i) for i, group in enumerate(counts)])
    p, differs, others = _step_down(k, n, whole, block, alpha, min_trials)
    lower, upper = clopper_pearson(k, n)
    with np.errstate(invalid="ignore"):
        rate, rest = k / n, others[:, 0] / others[:, 1]
    rates = [
        SliceRate(
            column,
            value,
            measure,
            successes=int(k[i]),
            trials=int(n[i]),
            rate=float(rate[i]),
            lower=float(lower[i]),
            upper=float(upper[i]),
            rest=float(rest[i]),
            p=float(p[i]),
            differs=bool(differs[i]),
        )
        for i, (column, value, measure) in enumerate(names)
    ]
    return sorted(rates, key=lambda s: (not s.differs, s.column, s.measure, -s.trials, s.value))


def _step_down(
    k: Indices, n: Indices, whole: Indices, block: Indices, alpha: float, min_trials: int
) -> tuple[Floats, NDArray[np.bool_], Indices]:
    """Compute each slice's corrected p, whether it differs, and the (successes, trials) of the rest.

    Args:
        k, n: (s,) successes and trials of each slice.
        whole: (s, 2) successes and trials of all rows of its measure.
        block: (s,) number of the slice's column and measure.
        alpha, min_trials: as for `slice_rates`.
    """
    pool = whole.copy()  # all rows except the slices that were found to differ
    p = np.ones(len(n))
    differs = np.zeros(len(n), bool)
    others = np.zeros_like(whole)
    while True:
        left = ~differs
        others[left] = (pool - np.stack([k, n], axis=1))[left]
        tested = left & (n >= min_trials) & (others[:, 1] >= min_trials)
        p[left] = 1.0
        p[tested] = _holm(_fisher(k[tested], n[tested], pool[tested, 0], pool[tested, 1]))
        candidates = np.flatnonzero(tested & (p < alpha))
        if len(candidates) == 0:
            return p, differs, others
        # the slice of each block that differs most
        by_p = candidates[np.argsort(p[candidates], kind="stable")]
        for i in by_p[np.unique(block[by_p], return_index=True)[1]]:
            differs[i] = True
            pool[block == block[i]] -= (k[i], n[i])


def _fisher(k: Indices, n: Indices, successes: Indices, rows: Indices) -> Floats:
    """Compute the two-sided p of a slice's successes, given the successes of all rows."""
    below = hypergeom.cdf(k, rows, successes, n)
    above = hypergeom.sf(k - 1, rows, successes, n)
    doubled: Floats = np.minimum(1.0, 2 * np.minimum(below, above))
    return doubled


def _holm(p: Floats) -> Floats:
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, adjusted)
    return corrected
