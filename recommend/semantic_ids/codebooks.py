"""Codebooks of semantic IDs: a few small numbers for each item, coarse to fine; similar items have equal first numbers.

Residual k-means: the first level has centroids of the vectors. Each further level has centroids of the residuals that
the levels before leave. Items with equal codes differ by one more number, `copy`, in the order of arrival. From Rajput
et al. 2023, "Recommender Systems with Generative Retrieval" (TIGER), section 3.1, with k-means instead of its RQ-VAE.

Plain k-means on residuals with some hundred dimensions puts most of them into the one centroid near zero: of 3,686
products, 62 % had codes of their own. Further levels therefore compare directions, in a few dimensions: those in which
items with equal codes so far differ most, relative to all items (Fisher's discriminant, within prefixes over in all).
Then 96 % have codes of their own.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.recommend.semantic_ids.codes import Codes

LEVELS = 3

MAX_CODES = 256
"""Maximum default number of centroids of a level."""

ITEMS_PER_CODE = 8
"""Minimum mean number of items per centroid of the first level, by default: small catalogues have fewer codes."""

SAMPLE_PER_CODE = 100
"""Maximum number of vectors to fit a centroid on: more change the residual error in its third digit (faiss: 256)."""

AXES = 6
"""Dimensions that further levels compare in. With more, fewer items have codes of their own; with fewer, residuals
shrink less."""

_ITERATIONS = 20
_ROWS = 20_000
_ZERO_LENGTH = 1e-5


def default_code_count(items: int) -> int:
    """Default number of centroids of a level: an eighth of the items, at least 2 and at most 256."""
    return max(2, min(MAX_CODES, items // ITEMS_PER_CODE))


@dataclass(frozen=True)
class Codebooks:
    """The centroids of every level.

    Attributes:
        means: (levels, codes, dim) float32, mean of each code: of the vectors, then of the residuals.
        axes: (levels - 1, dim, p) float32, the dimensions that further levels compare in.
        centroids: (levels - 1, codes, p) float32, centroids of the directions in these dimensions.
        errors: mean squared length of the residuals of the fitted unit vectors after each level: 1 means that nothing
            is explained, 0 everything.
    """

    means: NDArray[np.float32]
    axes: NDArray[np.float32]
    centroids: NDArray[np.float32]
    errors: tuple[float, ...]

    @classmethod
    def fit(
        cls,
        vectors: Vectors,
        *,
        levels: int = LEVELS,
        codes: int | None = None,
        seed: int = 0,
        sample_per_code: int = SAMPLE_PER_CODE,
    ) -> Codebooks:
        """Fit centroids by k-means, level by level.

        Args:
            vectors: (n, dim) unit rows; rows of zeros (items without a vector) are left out.
            levels: 1 to 8.
            codes: centroids of a level, 2 to 65,536; by default `default_code_count` of the number of vectors.
            seed: of the sample and of the first centroids; the same seed gives the same codebooks.
            sample_per_code: maximum number of vectors to fit a centroid on.

        Raises:
            QueryError: a number is out of range, or there are fewer vectors than codes.
        """
        known = np.flatnonzero(np.abs(vectors).max(axis=1) > 0)
        count = default_code_count(len(known)) if codes is None else codes
        if not 1 <= levels <= 8:
            raise QueryError(f"{levels} levels are out of range; give 1 to 8")
        if not 2 <= count <= 65_536:
            raise QueryError(f"{count} codes a level are out of range; give 2 to 65,536")
        if len(known) < count:
            raise QueryError(f"{len(known)} items with a vector are too few for {count} codes; give fewer codes")
        size = min(len(known), sample_per_code * count)
        drawn = np.random.default_rng(seed).choice(known, size, replace=False)
        rest = vectors[np.sort(drawn)].astype(np.float32)
        chosen: list[NDArray[np.int64]] = []
        means, axes, centroids, errors = [], [], [], []
        for level in range(levels):
            compared = rest
            if level:
                axes.append(_discriminant_axes(_unit(rest), np.stack(chosen, axis=1)))
                compared = _unit(_unit(rest) @ axes[-1])
            book = _k_means(compared, count, seed + level)
            code = _nearest(compared, book)
            if level:
                centroids.append(book)
            sums = np.zeros((count, rest.shape[1]), dtype=np.float32)
            np.add.at(sums, code, rest)
            means.append(sums / np.maximum(np.bincount(code, minlength=count), 1)[:, None].astype(np.float32))
            rest = rest - means[-1][code]
            chosen.append(code)
            errors.append(float(np.mean(np.einsum("nd,nd->n", rest, rest))))
        width = min(AXES, rest.shape[1])
        return cls(
            np.stack(means),
            np.array(axes, dtype=np.float32).reshape(levels - 1, rest.shape[1], width),
            np.array(centroids, dtype=np.float32).reshape(levels - 1, count, width),
            tuple(errors),
        )

    @property
    def levels(self) -> int:
        """Number of levels."""
        return int(self.means.shape[0])

    @property
    def codes(self) -> int:
        """Number of centroids of a level."""
        return int(self.means.shape[1])

    def encode(self, vectors: Vectors, levels: int | None = None) -> Codes:
        """Encode unit vectors: (n, levels) int32 codes, -1 in a row for a vector of zeros.

        Args:
            vectors: (n, dim) float32.
            levels: number of first levels; all by default.

        Raises:
            QueryError: the vectors have another dimension than the codebooks.
        """
        if vectors.shape[1] != self.means.shape[2]:
            raise QueryError(
                f"the codebooks have {self.means.shape[2]} dimensions, the vectors {vectors.shape[1]}; "
                "fit again: firstsight semantic-ids fit"
            )
        depth = self.levels if levels is None else levels
        codes = np.full((len(vectors), depth), -1, dtype=np.int32)
        for start in range(0, len(vectors), _ROWS):
            part = vectors[start : start + _ROWS]
            known = np.flatnonzero(np.abs(part).max(axis=1) > 0)
            rest = part[known].astype(np.float32)
            for level in range(depth):
                if level:
                    code = _nearest(_unit(_unit(rest) @ self.axes[level - 1]), self.centroids[level - 1])
                else:
                    code = _nearest(rest, self.means[0])
                codes[start + known, level] = code
                rest = rest - self.means[level][code]
        return codes


def _nearest(rows: NDArray[np.float32], book: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n,) index of the centroid nearest to each row; the row's own length does not change it and is left out."""
    return np.asarray(np.argmin(np.einsum("cd,cd->c", book, book) - 2 * (rows @ book.T), axis=1))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1; rows near zero become zeros, since rounding errors have no direction."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > _ZERO_LENGTH, rows / np.maximum(length, _ZERO_LENGTH), 0).astype(np.float32)


def _discriminant_axes(rows: NDArray[np.float32], prefixes: NDArray[np.int64]) -> NDArray[np.float32]:
    """(dim, p) dimensions in which rows with equal prefixes differ most, relative to all rows."""
    _, group, sizes = np.unique(prefixes, axis=0, return_inverse=True, return_counts=True)
    means = np.zeros((len(sizes), rows.shape[1]))
    np.add.at(means, group, rows)
    within = rows - (means / sizes[:, None])[group]
    total = rows.T.astype(np.float64) @ rows / len(rows)
    dim = len(total)
    ridge = (1e-3 * np.trace(total) / dim + 1e-9) * np.eye(dim)
    count = min(AXES, dim)
    _, axes = linalg.eigh(within.T @ within / len(rows), total + ridge, subset_by_index=[dim - count, dim - 1])
    return np.ascontiguousarray(axes[:, ::-1], dtype=np.float32)


def _k_means(rows: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """(count, dim) centroids."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    means = KMeans(count, n_init=1, max_iter=_ITERATIONS, random_state=seed)
    with warnings.catch_warnings():  # with fewer distinct rows than codes, some codes stay unused
        warnings.simplefilter("ignore", ConvergenceWarning)
        means.fit(rows)
    return np.ascontiguousarray(means.cluster_centers_, dtype=np.float32)
