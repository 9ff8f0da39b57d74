"""Label noise: labels that the other labels contradict, to check before a head is trained on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats, Indices
from firstsight.threads import single_threaded_blas

FOLDS = 5

STRENGTH = 0.3
"""Inverse strength of regularisation; low, so that the fit does not memorise wrong labels."""

ROUNDS = 2
"""Number of rounds. Wrong labels hide each other, so the second round leaves the first suspects out of training."""


@dataclass(frozen=True)
class LabelSuspects:
    """Rows with a probably wrong label, the most likely first."""

    rows: Indices
    chance: Floats  # probability of the other label, 0 to 1, by fits without the row


def find_suspects(
    vectors: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> LabelSuspects:
    """Find rows with labels that cross-validation contradicts: `out_of_fold`, then `label_suspects`, in two rounds.

    Args:
        vectors: (n, d), unit rows.
        labels: (n,) 0 or 1.
        groups: (n,) ids of near-duplicate groups; by default, each row is a group.
        weights: (n,) above 0; all 1 by default.
        rounds: number of rounds.
        seed: random seed of the folds.

    Raises:
        SafetyError: a class has fewer than two groups.
    """
    y = np.asarray(labels).astype(np.int8)
    trusted = np.ones(len(y), bool)
    for _ in range(rounds):
        probabilities = out_of_fold(vectors, y, groups=groups, weights=weights, trusted=trusted, seed=seed)
        suspects = label_suspects(y, probabilities)
        trusted = np.ones(len(y), bool)
        trusted[suspects.rows] = False
    return suspects


@single_threaded_blas()
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
    """Compute each row's probability by a logistic regression that saw neither the row nor its near-duplicates.

    Args:
        vectors: (n, d), unit rows.
        labels: (n,) 0 or 1.
        groups: (n,) group ids; a fold holds whole groups. By default, each row is a group.
        weights: (n,) above 0; all 1 by default.
        trusted: (n,) bool; only trusted rows are used for training. All by default.
        folds: maximum number of folds; fewer if a class has fewer groups.
        strength: inverse strength of regularisation (C).
        seed: random seed of the folds.

    Returns:
        (n,) probabilities of label 1.

    Raises:
        SafetyError: a class has fewer than two groups.
    """
    x, y = np.asarray(vectors), np.asarray(labels).astype(np.int8)
    by_group = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    w = np.ones(len(y)) if weights is None else np.asarray(weights, np.float64)
    usable = np.ones(len(y), bool) if trusted is None else np.asarray(trusted, bool)
    rows = np.arange(len(y)) if by_group is None else by_group
    fewest = min(len(np.unique(rows[y == label])) for label in (0, 1))
    if fewest < 2:
        raise SafetyError(f"a class has {fewest} independent rows; cross-validation needs at least 2")
    probabilities = np.full(len(y), np.nan)
    # StratifiedGroupKFold takes seconds for thousands of groups
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    for train, held in splitter(min(folds, fewest), shuffle=True, random_state=seed).split(x, y, by_group):
        train = train[usable[train]]
        if len(np.unique(y[train])) < 2:
            # a large group can hold all trusted rows of a class
            probabilities[held] = np.average(y, weights=w)
            continue
        fitted = LogisticRegression(C=strength, max_iter=1000).fit(x[train], y[train], sample_weight=w[train])
        probabilities[held] = fitted.predict_proba(x[held])[:, 1]
    return probabilities


def label_suspects(labels: ArrayLike, probabilities: ArrayLike) -> LabelSuspects:
    """Find label errors by confident learning (Northcutt, Jiang and Chuang 2021, section 3.1).

    A row counts for a class if its probability of the class is at least the mean over the rows with that label. A row
    is a suspect if it counts only for the other class, or counts for both and the other is more likely. The means
    compensate for uncalibrated scores and for classes of unequal size.

    Args:
        labels: (n,) 0 or 1.
        probabilities: (n,) out-of-fold probabilities of label 1.

    Raises:
        SafetyError: the lengths differ, or a class is missing.
    """
    y, p = np.asarray(labels).astype(np.int8), np.asarray(probabilities, np.float64)
    if y.shape != p.shape or y.ndim != 1:
        raise SafetyError(f"{len(y)} labels for {len(p)} probabilities; give one for each")
    if not 0 < y.sum() < len(y):
        raise SafetyError(f"{int(y.sum())} of {len(y)} labels are positive; give labels of both classes")
    by_class = np.stack([1 - p, p])  # (2, n)
    means = np.array([by_class[label, y == label].mean() for label in (0, 1)])
    counts = by_class >= means[:, None]
    own, other = by_class[y, np.arange(len(y))], by_class[1 - y, np.arange(len(y))]
    suspect = counts[1 - y, np.arange(len(y))] & (~counts[y, np.arange(len(y))] | (other > own))
    rows = np.flatnonzero(suspect)
    rows = rows[np.argsort(-other[rows], kind="stable")]
    return LabelSuspects(rows=rows, chance=other[rows])
