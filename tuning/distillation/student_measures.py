"""Held-out measures of a student against its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.recommend.evaluation.measures import cluster_bootstrap
from firstsight.tuning.distillation.distil_report import DistilFigure

NEIGHBOURS: Final = 10


def overlap(student: Vectors, teacher: Vectors, k: int = NEIGHBOURS) -> NDArray[np.float64]:
    """Return (n,) shares of the teacher's k nearest rows that are among the student's k nearest rows.

    Args:
        student, teacher: (n, dim) unit rows of the same inputs; n above k.
        k: number of neighbours; a row is not its own neighbour.
    """
    nearest = []
    for vectors in (student, teacher):
        scores = vectors @ vectors.T
        np.fill_diagonal(scores, -np.inf)
        nearest.append(np.argpartition(-scores, k - 1, axis=1)[:, :k])
    return np.array([len(set(a) & set(b)) / k for a, b in zip(*nearest, strict=True)])


def own_picture_recall(
    texts: Vectors, pictures: Vectors, own: Sequence[Sequence[int]], k: int = NEIGHBOURS
) -> NDArray[np.float64]:
    """Return (n,) flags: whether a picture of the own item is among the k best pictures of a title.

    Args:
        texts: (n, dim) vectors of titles.
        pictures: (p, dim) vectors of pictures.
        own: for each title, the rows of the pictures of the items with this title.
        k: number of results.
    """
    best = np.argsort(-(texts @ pictures.T), axis=1, kind="stable")[:, :k]
    return np.array([float(bool(set(row) & set(right))) for row, right in zip(best, own, strict=True)])


def figure(
    measure: str,
    clusters: Sequence[str],
    teacher: NDArray[np.float64],
    untrained: NDArray[np.float64],
    student: NDArray[np.float64],
    *,
    resamples: int = 2_000,
) -> DistilFigure:
    """Compare the values of the same n queries; `clusters` names the product of each."""
    names, places = np.unique(np.array(clusters, dtype=str), return_inverse=True)
    changes = np.column_stack([student - teacher, student - untrained]).astype(np.float64)
    sums = np.zeros((len(names), 2))
    np.add.at(sums, places, changes)
    counts = np.bincount(places, minlength=len(names)).astype(np.float64)[:, None]
    draws = cluster_bootstrap(sums, np.repeat(counts, 2, axis=1), resamples=resamples, seed=0)
    (low, gain_low), (high, gain_high) = np.nanquantile(draws, [0.025, 0.975], axis=0)
    return DistilFigure(
        measure,
        float(teacher.mean()),
        float(untrained.mean()),
        float(student.mean()),
        float(low),
        float(high),
        float(gain_low),
        float(gain_high),
    )
