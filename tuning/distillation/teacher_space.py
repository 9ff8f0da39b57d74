"""The vectors of a teacher in the space of a student of another architecture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors, unit


@dataclass(frozen=True)
class TeacherSpace:
    """A linear map from the teacher's vectors to vectors as long as the student's.

    Its columns, or its rows if the student's vectors are the longer ones, are orthonormal. So a student with as many
    dimensions or more keeps every cosine of its teacher. A shorter one keeps the directions in which the teacher's
    vectors of the catalogue lie.

    Attributes:
        matrix: (teacher's dimensions, student's dimensions).
    """

    matrix: NDArray[np.float32]

    @classmethod
    def fit(cls, teacher: tuple[Vectors, Vectors], student: tuple[Vectors, Vectors]) -> TeacherSpace:
        """Find the map after which the teacher's vectors are nearest to the student's own.

        The student then has to change least. The directions to keep are those of the largest second moments; the
        rotation solves the orthogonal Procrustes problem (Schönemann, 1966). Pictures and texts have equal weights.

        Args:
            teacher: its (n, d) and (m, d) unit rows of pictures and texts.
            student: the (n, k) and (m, k) unit rows of the same inputs, before any training.
        """
        moments = sum(_mean_product(rows, rows) for rows in teacher)
        length = student[0].shape[1]
        kept = np.linalg.eigh(moments)[1][:, ::-1][:, :length]  # (d, at most k), largest moments first
        agreement = sum(_mean_product(t, s) for t, s in zip(teacher, student, strict=True))
        left, _, right = np.linalg.svd(kept.T @ agreement, full_matrices=False)
        return cls((kept @ left @ right).astype(np.float32))

    def map(self, vectors: Vectors) -> Vectors:
        """Map (n, teacher's dimensions) unit rows to (n, student's dimensions) unit rows."""
        return unit(vectors @ self.matrix)


def _mean_product(left: Vectors, right: Vectors) -> NDArray[np.float64]:
    """(d, k) mean over the rows of the products of both sides; zeros without rows."""
    product: NDArray[np.float64] = left.astype(np.float64).T @ right.astype(np.float64) / max(1, len(left))
    return product
