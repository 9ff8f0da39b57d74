"""Labels that the other labels speak against: who to ask again before a head learns from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats

FOLDS = 5

STRENGTH = 0.3
"""Inverse of regularisation: low, so that wrong labels are not learned by heart."""

ROUNDS = 2
"""In the second, suspects of the first are not learned from: wrong labels hide each other."""


@dataclass(frozen=True)
class LabelSuspects:
    """Rows whose label is probably wrong, the likeliest first."""

    rows: NDArray[np.int64]
    chance: Floats  # of the other label, 0 to 1, as rows that were not asked about this one say


def find_suspects(
    vectors: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> LabelSuspects:
    """Rows whose label cross-validation speaks against: `out_of_fold`, then `label_suspects`, twice.

    Args:
        vectors: `(n, d)`, unit rows.
        labels: `(n,)` of 0 and 1.
        groups: `(n,)` of near-duplicates.
        weights: `(n,)`.

    Raises:
        SafetyError: fewer than two groups of a class.
    """
    y = np.asarray(labels).astype(np.int8)
    trusted = np.ones(len(y), bool)
    for _ in range(rounds):
        said = out_of_fold(vectors, y, groups=groups, weights=weights, trusted=trusted, seed=seed)
        found = label_suspects(y, said)
        trusted = np.ones(len(y), bool)
        trusted[found.rows] = False
    return found


def out_of_fold(
    vectors: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    trusted: ArrayLike | None = None,
    folds: int = FOLDS,
    strength: float = STRENGTH,
    seed: int = 0,
) -> Floats:
    """Each row's probability by a logistic regression that saw neither the row nor its near-duplicates.

    Args:
        vectors: `(n, d)`, unit rows.
        labels: `(n,)` of 0 and 1.
        groups: `(n,)`; rows of one group are never on both sides.
        weights: `(n,)`.
        trusted: `(n,)` of true and false; only rows that are trusted are learned from. All by default.
        folds: at most so many; fewer where a class has fewer groups.
        strength: inverse of regularisation (C).

    Returns:
        `(n,)` probabilities of label 1.

    Raises:
        SafetyError: fewer than two groups of a class.
    """
    x, y = np.asarray(vectors), np.asarray(labels).astype(np.int8)
    by = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    w = np.ones(len(y)) if weights is None else np.asarray(weights, np.float64)
    believed = np.ones(len(y), bool) if trusted is None else np.asarray(trusted, bool)
    fewest = min(int((y == label).sum()) if by is None else len(np.unique(by[y == label])) for label in (0, 1))
    if fewest < 2:
        raise SafetyError(f"a class has {fewest} independent rows: cross-validation needs 2 of each")
    said = np.full(len(y), np.nan)
    # the one that knows of groups takes seconds for thousands of them
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    for train, held in kind(min(folds, fewest), shuffle=True, random_state=seed).split(x, y, by):
        train = train[believed[train]]
        if len(np.unique(y[train])) < 2:
            # groups that hold most of a class can leave a fold's training rows without it
            said[held] = np.average(y, weights=w)
            continue
        fitted = LogisticRegression(C=strength, max_iter=1000).fit(x[train], y[train], sample_weight=w[train])
        said[held] = fitted.predict_proba(x[held])[:, 1]
    return said


def label_suspects(labels: ArrayLike, probabilities: ArrayLike) -> LabelSuspects:
    """Rows that confident learning puts off the diagonal (Northcutt, Jiang and Chuang 2021, section 3.1).

    A row counts for a class when its probability of the class is at least the mean of the rows labelled so; one that
    counts only for the other class, or more for it, is a suspect. The means make up for scores that are not calibrated
    and for classes of unequal size.

    Args:
        labels: `(n,)` of 0 and 1.
        probabilities: `(n,)` of label 1, out of fold.

    Raises:
        SafetyError: lengths differ, or a class is not there.
    """
    y, p = np.asarray(labels).astype(np.int8), np.asarray(probabilities, np.float64)
    if y.shape != p.shape or y.ndim != 1:
        raise SafetyError(f"{len(y)} labels stand beside {len(p)} probabilities: give one to each")
    if not 0 < y.sum() < len(y):
        raise SafetyError(f"{int(y.sum())} of {len(y)} labels are positive: both classes are needed")
    of = np.stack([1 - p, p])  # (2, n)
    means = np.array([of[label, y == label].mean() for label in (0, 1)])
    counts = of >= means[:, None]
    own, other = of[y, np.arange(len(y))], of[1 - y, np.arange(len(y))]
    suspect = counts[1 - y, np.arange(len(y))] & (~counts[y, np.arange(len(y))] | (other > own))
    rows = np.flatnonzero(suspect)
    rows = rows[np.argsort(-other[rows], kind="stable")]
    return LabelSuspects(rows=rows, chance=other[rows])
