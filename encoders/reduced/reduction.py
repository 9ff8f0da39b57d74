"""Linear maps of vectors to fewer dimensions, and the recall that they keep."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from firstsight.errors import QueryError
from firstsight.vectors import Vectors, unit

ReductionMethod = Literal["pca", "matryoshka"]
"""pca: the directions in which a catalogue's vectors are largest; matryoshka: the first dimensions."""

METHODS: tuple[ReductionMethod, ...] = get_args(ReductionMethod)

MIN_DIMENSIONS = 8
MAX_DIMENSIONS = 65_536
MIN_RECALL = 0.9
"""Minimum recall@10 against whole vectors; a reduction that keeps less is refused."""

RECALL_K = 10
MAX_QUERIES = 500
_TIE = 1e-5  # copies of one picture may replace each other
_HEADER_BYTES = 4_096


@dataclass(frozen=True)
class Reduction:
    """A linear map to fewer dimensions.

    Attributes:
        method: "pca" or "matryoshka".
        matrix: (dim, k) float32; a reduced vector is the vector times the matrix, at length 1.
    """

    method: ReductionMethod
    matrix: NDArray[np.float32]

    def apply(self, vectors: Vectors) -> Vectors:
        """Reduce (n, dim) vectors to (n, k) float32 unit rows; zeros stay zeros."""
        return unit(vectors @ self.matrix)

    @property
    def digest(self) -> str:
        """SHA-256 of method, shape and numbers, in hexadecimal digits."""
        header = f"{self.method} {self.matrix.shape}\n".encode()
        return hashlib.sha256(header + self.matrix.astype("<f4").tobytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The matrix as the bytes of a safetensors file."""
        return save({"matrix": np.ascontiguousarray(self.matrix)})

    @classmethod
    def from_bytes(cls, method: str, data: bytes, dim: int, dimensions: int) -> Reduction:
        """Read what `to_bytes` wrote; nothing is parsed that is larger than the matrix can be.

        Args:
            method: as stored.
            data: bytes of a safetensors file.
            dim, dimensions: numbers of a whole and of a reduced vector.

        Raises:
            ValueError: the method is unknown, the bytes are damaged or too many, the shape differs, or a number is not
                finite.
        """
        known = next((name for name in METHODS if name == method), None)
        if known is None:
            raise ValueError(f"the method {method!r} is unknown")
        if not 1 <= dimensions <= dim <= MAX_DIMENSIONS or len(data) > _HEADER_BYTES + 4 * dim * dimensions:
            raise ValueError(f"{len(data):,} bytes are no matrix of {dim} x {dimensions} numbers")
        try:
            tensors = load(data)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"it is no safetensors file: {error}") from None
        matrix = tensors.get("matrix")
        if matrix is None or matrix.shape != (dim, dimensions) or matrix.dtype != np.float32:
            raise ValueError(f"it has no float32 matrix of {dim} x {dimensions}")
        if not np.isfinite(matrix).all():
            raise ValueError("a number is not finite")
        return cls(known, matrix)


def fit_pca(vectors: Vectors, dimensions: int) -> Reduction:
    """Find the directions in which vectors are largest: the first eigenvectors of the sum of x xᵀ.

    The mean is not subtracted: dot products stay close to those of whole vectors, and pictures and texts, which lie
    around different means, keep their places to each other.

    Args:
        vectors: (n, dim) unit rows.
        dimensions: number of directions, at most dim.
    """
    rows = vectors.astype(np.float64)
    _, directions = np.linalg.eigh(rows.T @ rows)
    kept = directions[:, ::-1][:, :dimensions]
    signs = np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(dimensions)])  # LAPACK leaves the sign open
    return Reduction("pca", np.ascontiguousarray(kept * signs, dtype=np.float32))


def truncation(dim: int, dimensions: int) -> Reduction:
    """Keep the first dimensions, for models trained with Matryoshka losses (Kusupati et al., NeurIPS 2022)."""
    return Reduction("matryoshka", np.eye(dim, dimensions, dtype=np.float32))


def measure_recall(reduction: Reduction, stored: Vectors, queries: Vectors, k: int = RECALL_K) -> float:
    """Share of the k nearest vectors by whole vectors that reduced vectors find, 0 to 1.

    A found vector counts if it is as near as the true k-th, so that copies may replace each other.

    Args:
        reduction: the map.
        stored: (n, dim) unit rows, more than k.
        queries: (m, dim) unit rows that the map was not fitted on.
    """
    whole = queries @ stored.T
    kth = np.partition(whole, whole.shape[1] - k, axis=1)[:, -k]
    reduced = reduction.apply(queries) @ reduction.apply(stored).T
    found = np.argpartition(-reduced, k - 1, axis=1)[:, :k]
    return float((np.take_along_axis(whole, found, axis=1) >= kth[:, None] - _TIE).mean())


@dataclass(frozen=True)
class MeasuredReduction:
    """A reduction with the recall@10 that it keeps on vectors that it was not fitted on.

    Attributes:
        reduction: the map.
        recall: share of the ten nearest, 0 to 1.
        vectors: number of vectors that it was fitted on and compared with.
        queries: number of held-out vectors.
    """

    reduction: Reduction
    recall: float
    vectors: int
    queries: int


def check_dimensions(method: str, dimensions: int, dim: int) -> ReductionMethod:
    """Check a request for fewer dimensions.

    Raises:
        QueryError: the method is unknown, or the number is out of range.
    """
    known = next((name for name in METHODS if name == method), None)
    if known is None:
        raise QueryError(f"vectors cannot be reduced by {method!r}; give {' or '.join(METHODS)}")
    if not MIN_DIMENSIONS <= dimensions < dim:
        raise QueryError(
            f"{dimensions} dimensions are out of range for vectors of {dim}; give {MIN_DIMENSIONS} to {dim - 1}"
        )
    return known


def fit_reduction(vectors: Vectors, method: ReductionMethod, dimensions: int, *, seed: int = 0) -> MeasuredReduction:
    """Fit a reduction on nine tenths of some vectors, and measure it with the others as queries.

    Args:
        vectors: (n, dim) unit rows of titles and pictures; at least 2 · dim.
        method: "pca" or "matryoshka".
        dimensions: numbers of a reduced vector, at least `MIN_DIMENSIONS` and below dim.
        seed: of the draw of the queries.

    Raises:
        QueryError: there are too few vectors, a number is out of range, or the recall is below `MIN_RECALL`.
    """
    count, dim = vectors.shape
    check_dimensions(method, dimensions, dim)
    if count < 2 * dim:
        raise QueryError(
            f"{count:,} titles and pictures are too few to reduce vectors of {dim} dimensions and to measure the "
            f"recall; it takes {2 * dim:,}. Index without fewer dimensions"
        )
    order = np.random.default_rng(seed).permutation(count)
    held = min(MAX_QUERIES, count // 10)
    queries, stored = vectors[order[:held]], vectors[order[held:]]
    reduction = fit_pca(stored, dimensions) if method == "pca" else truncation(dim, dimensions)
    recall = measure_recall(reduction, stored, queries)
    if recall < MIN_RECALL:
        remedy = "take more dimensions" + (", or PCA" if method == "matryoshka" else "")
        raise QueryError(
            f"{dimensions} of {dim} dimensions by {method} keep a recall@10 of {recall:.3f} on {held:,} held-out "
            f"vectors, below {MIN_RECALL}; {remedy}"
        )
    return MeasuredReduction(reduction, recall, len(stored), held)
