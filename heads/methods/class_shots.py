"""Labelled vectors of classes, and splits that keep groups together."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats, Indices

FOLDS = 5


@dataclass(frozen=True)
class ClassShots:
    """Labelled vectors ("shots") of two or more classes.

    Raises:
        SafetyError: the shapes do not fit each other, a label names no class, there are no labels or fewer than two
            classes, or a value is not finite.
    """

    vectors: Vectors  # (n, dim) float32, unit rows
    labels: Indices  # (n,) places in `classes`
    classes: tuple[str, ...]  # names; a class may have no label
    weights: Floats  # (n,) above 0
    groups: NDArray[np.object_]  # (n,) group ids; every split keeps a group together
    prompts: Vectors | None = None  # (classes, dim) float32, unit rows; None without prompts

    def __post_init__(self) -> None:
        n, classes = len(self.labels), len(self.classes)
        if classes < 2 or not n:
            raise SafetyError(f"there are {n} labels of {classes} classes; give labels of at least two classes")
        if self.vectors.ndim != 2 or not n == len(self.vectors) == len(self.weights) == len(self.groups):
            raise SafetyError(
                f"vectors {self.vectors.shape}, labels ({n},), weights ({len(self.weights)},) and groups "
                f"({len(self.groups)},) differ in length; give one of each for each label"
            )
        if self.labels.min() < 0 or self.labels.max() >= classes:
            row = int(np.argmax((self.labels < 0) | (self.labels >= classes)))
            raise SafetyError(f"label {self.labels[row]} in row {row} is not a place among {classes} classes")
        if self.prompts is not None and self.prompts.shape != (classes, self.vectors.shape[1]):
            raise SafetyError(
                f"prompts have the shape {self.prompts.shape}; give one row of {self.vectors.shape[1]} numbers for "
                f"each of {classes} classes"
            )
        prompts = self.vectors[:0] if self.prompts is None else self.prompts
        finite = np.isfinite(self.vectors).all() and np.isfinite(self.weights).all() and np.isfinite(prompts).all()
        if not finite or (self.weights <= 0).any():
            raise SafetyError("vectors, prompts and weights must be finite numbers, and weights above 0")

    @property
    def mean(self) -> Floats:
        """(dim,) weighted mean of the vectors."""
        return np.asarray(np.average(self.vectors.astype(np.float64), axis=0, weights=self.weights))

    @property
    def labelled(self) -> Indices:
        """Places of the classes that have a label."""
        return np.unique(self.labels)

    def select(self, chosen: Indices) -> ClassShots:
        """Keep only some shots.

        Args:
            chosen: (m,) rows.
        """
        return replace(
            self,
            vectors=self.vectors[chosen],
            labels=self.labels[chosen],
            weights=self.weights[chosen],
            groups=self.groups[chosen],
        )


def make_class_folds(shots: ClassShots, *, seed: int = 0) -> list[Indices]:
    """Split shots into up to five folds with like shares of the classes; a group stays in one fold.

    Args:
        shots: the shots.
        seed: random seed of the split.

    Returns:
        Rows of each fold; no folds if every class has one group, or if a fold leaves fewer than two classes.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    _, groups = np.unique(shots.groups.astype(str), return_inverse=True)
    most = max(len(np.unique(groups[shots.labels == place])) for place in shots.labelled)
    if most < 2 or len(shots.labelled) < 2:
        return []
    splitter = StratifiedGroupKFold(n_splits=min(FOLDS, most), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # a class with fewer labels than folds is absent from some folds, which is harmless
        warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
        folds = [test for _, test in splitter.split(np.zeros(len(groups)), shots.labels, groups) if len(test)]
    everything = np.arange(len(groups))
    trainable = all(len(np.unique(shots.labels[np.setdiff1d(everything, fold)])) > 1 for fold in folds)
    return folds if trainable else []
