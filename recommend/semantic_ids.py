"""Semantic IDs: a few small numbers for an item, coarse to fine, so that items alike begin alike.

Residual k-means: the first level has the centroids of the vectors, each further level those of what the levels before
leave over. An item's code is the nearest centroid of every level; the codes of items that share all of them are told
apart by one more number, `copy`, given out in the order of arrival. From Rajput et al. 2023, "Recommender Systems with
Generative Retrieval" (TIGER), section 3.1, with k-means in the place of its RQ-VAE, as its section 4.2 compares.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.recommend.items import ItemSpace

Codes = NDArray[np.int32]
"""(n, levels) the centroid of each level; -1 throughout for an item without a vector."""

LEVELS = 3

MOST_CODES = 256
"""Centroids of a level."""

ITEMS_PER_CODE = 8
"""Items that a centroid of the first level stands for at least, in the mean: small catalogues have fewer codes."""

SAMPLE_PER_CODE = 100
"""Vectors that a centroid is fitted on, at most: more change the residual error in its third digit (faiss: 256)."""

_QUICK_SAMPLE = 32
_ITERATIONS = 20
_ROWS = 20_000


def codes_for(items: int) -> int:
    """How many centroids a level has by default: an eighth of the items, at most 256 and at least 2."""
    return max(2, min(MOST_CODES, items // ITEMS_PER_CODE))


@dataclass(frozen=True)
class Codebooks:
    """The centroids of every level.

    Attributes:
        centroids: (levels, codes, dim) float32.
        errors: mean squared length of what is left of the fitted unit vectors after each level: 1 means nothing was
            explained, 0 everything.
    """

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
            codes: centroids of a level, 2 to 65,536; `codes_for` the number of vectors by default.
            seed: of the sample and of the first centroids; the same seed gives the same codebooks.
            sample_per_code: vectors that a centroid is fitted on, at most.

        Raises:
            QueryError: a number out of range, or fewer vectors than codes.
        """
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        known = np.flatnonzero(np.abs(vectors).max(axis=1) > 0)
        count = codes_for(len(known)) if codes is None else codes
        if not 1 <= levels <= 8:
            raise QueryError(f"{levels} levels cannot be fitted; give 1 to 8")
        if not 2 <= count <= 65_536:
            raise QueryError(f"{count} codes a level cannot be fitted; give 2 to 65,536")
        if len(known) < count:
            raise QueryError(f"{len(known)} items with a vector are too few for {count} codes; give fewer codes")
        draw = np.random.default_rng(seed)
        size = min(len(known), sample_per_code * count)
        rest = vectors[np.sort(draw.choice(known, size, replace=False))].astype(np.float32)
        centroids, errors = [], []
        for level in range(levels):
            means = KMeans(count, n_init=1, max_iter=_ITERATIONS, random_state=seed + level, copy_x=True)
            with warnings.catch_warnings():  # fewer different rows than codes: the codes left over stay unused
                warnings.simplefilter("ignore", ConvergenceWarning)
                means.fit(rest)
            book = np.ascontiguousarray(means.cluster_centers_, dtype=np.float32)
            rest = rest - book[_nearest(rest, book)]
            centroids.append(book)
            errors.append(float(np.mean(np.einsum("nd,nd->n", rest, rest))))
        return cls(np.stack(centroids), tuple(errors))

    @property
    def levels(self) -> int:
        """How many levels there are."""
        return int(self.centroids.shape[0])

    @property
    def codes(self) -> int:
        """How many centroids a level has."""
        return int(self.centroids.shape[1])

    def encode(self, vectors: Vectors) -> Codes:
        """The codes of unit vectors: (n, levels) int32, -1 throughout for a row of zeros.

        Raises:
            QueryError: vectors of another dimension.
        """
        if vectors.shape[1] != self.centroids.shape[2]:
            raise QueryError(
                f"the codebooks are of {self.centroids.shape[2]} dimensions and the vectors of {vectors.shape[1]}; "
                "fit again: firstsight semantic-ids fit"
            )
        found = np.full((len(vectors), self.levels), -1, dtype=np.int32)
        for start in range(0, len(vectors), _ROWS):
            part = vectors[start : start + _ROWS]
            known = np.flatnonzero(np.abs(part).max(axis=1) > 0)
            rest = part[known].astype(np.float32)
            for level, book in enumerate(self.centroids):
                nearest = _nearest(rest, book)
                found[start + known, level] = nearest
                rest = rest - book[nearest]
        return found


def clusters(space: ItemSpace, codebooks: Codebooks | None = None) -> NDArray[np.int32]:
    """The cluster of every item: its code of the first level.

    Args:
        codebooks: those of the database, so that clusters stay the same while items come; fitted on the space itself
            where there are none, on 8,192 vectors at most (seconds, on one core).

    Returns:
        (n,) int32 in 0 … codes - 1; -1 for an item without a vector.
    """
    known = int(space.has_vector.sum())
    if codebooks is None:
        if known < 2:
            return np.where(space.has_vector, 0, -1).astype(np.int32)
        codebooks = Codebooks.fit(space.vectors, levels=1, sample_per_code=_QUICK_SAMPLE)
    return Codebooks(codebooks.centroids[:1], codebooks.errors[:1]).encode(space.vectors)[:, 0]


def count_copies(codes: Codes, before: Codes | None = None) -> NDArray[np.int32]:
    """The de-duplication number of items in the order of their arrival: how many of the same codes came before.

    Args:
        codes: (n, levels).
        before: (m, levels) of the items that came earlier.

    Returns:
        (n,) int32, 0 for the first of its codes.
    """
    whole = codes if before is None else np.concatenate([before, codes])
    if not len(whole):
        return np.zeros(0, dtype=np.int32)
    _, group, sizes = np.unique(whole, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    copies = np.empty(len(whole), dtype=np.int32)
    copies[order] = np.arange(len(whole)) - starts
    return copies[len(whole) - len(codes) :]


def uniqueness(codes: Codes) -> float:
    """The share of items whose codes no other item has, before the de-duplication number: 0 to 1."""
    known = codes[codes[:, 0] >= 0]
    if not len(known):
        return 0.0
    _, counts = np.unique(known, axis=0, return_counts=True)
    return float((counts == 1).sum() / len(known))


def _nearest(rows: NDArray[np.float32], book: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n,) the centroid nearest to each row; the length of a row itself does not matter to which it is."""
    return np.asarray(np.argmin(np.einsum("cd,cd->c", book, book) - 2 * (rows @ book.T), axis=1))
