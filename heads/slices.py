"""Whether a policy treats some slice of the catalogue unlike the rest: rates by column, with intervals and a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import hypergeom

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats
from firstsight.heads.intervals import clopper_pearson

Measure = Literal["flagged", "false_positive_rate", "recall"]

Counts = NDArray[np.int64]

ALPHA = 0.01
"""Chance that any slice of an even table is called different."""

MIN_TRIALS = 20
"""A rate over fewer rows is shown and not tested: it could differ only by being absurd."""


@dataclass(frozen=True)
class SliceRate:
    """A rate in one slice beside the rate in all other rows."""

    column: str
    value: str
    measure: Measure
    successes: int
    trials: int
    rate: float  # not a number where there are no trials
    lower: float  # of its 95 % interval
    upper: float
    rest: float  # the rate outside the slice and outside those of its column that differ more
    p: float  # of the exact test, after the correction for all slices tested; 1 where it was not tested
    differs: bool


def slice_rates(
    flagged: ArrayLike,
    labels: ArrayLike | None,
    columns: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    alpha: float = ALPHA,
    min_trials: int = MIN_TRIALS,
) -> list[SliceRate]:
    """Rates of every value of every column, and which of them differ from the rest.

    With labels the false positive rate (harm to sellers) and the recall (harm to buyers): neither changes when
    positives or negatives were sampled, nor because one slice has more violations. Without labels the share flagged.

    Each slice is tested against all other rows with Fisher's exact test (both tails, doubled), and all tests of the
    call are corrected together by Holm's procedure: of an even table none is called different with a chance of
    1 - alpha. In a column the slice that differs most is then taken out of the rest that the others are compared
    with, and so on, so that one odd slice does not make the even ones look odd. Rows must be independent: copies of
    one item count as one.

    Args:
        flagged: `(n,)` of true and false.
        labels: `(n,)` of 0 and 1, or None.
        columns: name -> `(n,)` values; None and NaN are no slice.

    Returns:
        Those that differ first, then by column and falling number of rows.

    Raises:
        SafetyError: lengths differ.
    """
    hit = np.asarray(flagged, bool)
    measured: list[tuple[Measure, NDArray[np.bool_]]] = [("flagged", np.ones(len(hit), bool))]
    if labels is not None:
        y = np.asarray(labels)
        if y.shape != hit.shape:
            raise SafetyError(f"{len(y)} labels stand beside {len(hit)} rows: give one to each")
        measured = [("false_positive_rate", y == 0), ("recall", y == 1)]
    names: list[tuple[str, str, Measure]] = []
    counts: list[tuple[Counts, Counts, Counts]] = []
    for column, given in columns.items():
        if len(given) != len(hit):
            raise SafetyError(f"column {column} has {len(given)} values for {len(hit)} rows: give one to each")
        present = np.array([value is not None and value == value for value in given], bool)  # NaN is not itself
        values, place = np.unique([str(value) for value in given], return_inverse=True)
        for measure, rows in measured:
            rows = rows & present
            trials = np.bincount(place[rows], minlength=len(values))
            successes = np.bincount(place[rows & hit], minlength=len(values))
            there = np.bincount(place[present], minlength=len(values)) > 0
            names += [(column, str(value), measure) for value in values[there]]
            whole = np.array([[int((rows & hit).sum()), int(rows.sum())]])
            counts.append((successes[there], trials[there], np.repeat(whole, there.sum(), axis=0)))
    if not names:
        return []
    k, n = np.concatenate([one[0] for one in counts]), np.concatenate([one[1] for one in counts])
    whole = np.concatenate([one[2] for one in counts])
    block = np.concatenate([np.full(len(one[0]), i) for i, one in enumerate(counts)])
    p, differs, others = _step_down(k, n, whole, block, alpha, min_trials)
    lower, upper = clopper_pearson(k, n)
    with np.errstate(invalid="ignore"):
        rate, rest = k / n, others[:, 0] / others[:, 1]
    found = [
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
    return sorted(found, key=lambda one: (not one.differs, one.column, one.measure, -one.trials, one.value))


def _step_down(
    k: Counts, n: Counts, whole: Counts, block: Counts, alpha: float, min_trials: int
) -> tuple[Floats, NDArray[np.bool_], Counts]:
    """Corrected p, whether the slice differs, and the `(successes, trials)` of the rest that it was compared with.

    Args:
        k, n: `(s,)` successes and trials of each slice; whole: `(s, 2)`, those of all rows of its measure.
        block: `(s,)`, the column and measure that a slice belongs to.
    """
    pool = whole.copy()  # all rows but those of slices already found to differ
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
        # of each block the one that differs most
        by_p = candidates[np.argsort(p[candidates], kind="stable")]
        for i in by_p[np.unique(block[by_p], return_index=True)[1]]:
            differs[i] = True
            pool[block == block[i]] -= (k[i], n[i])


def _fisher(k: Counts, n: Counts, successes: Counts, rows: Counts) -> Floats:
    """Two-sided p of a slice's successes, given those of all rows."""
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
