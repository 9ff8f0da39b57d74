"""Collaborative factors of items by alternating least squares, and the folding-in of users.

Source: Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008. `implicit` fits the
factors. Folding in is the paper's closed form (equation 4) with NumPy, so that serving needs no extra.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from firstsight.errors import QueryError
from firstsight.extras import requires
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places
from firstsight.threads import single_threaded_blas

FACTORS = 64
ITERATIONS = 15
REGULARIZATION = 1.0


@dataclass(frozen=True)
class Factors:
    """Factors of every item of a space, and the constants to fold users in.

    Attributes:
        items: (n, f) float32; zeros for an item without events or content.
        gram: (f, f) float64, gram matrix of the items that the model was fitted on: the items users did not choose.
        mean_user: (f,) float64, the mean of all users; replaces the factors of a user without events.
        alpha: confidence of an event of weight 1.
    """

    items: NDArray[np.float32]
    gram: NDArray[np.float64]
    mean_user: NDArray[np.float64]
    alpha: float

    def fold_in(self, histories: Sequence[History]) -> NDArray[np.float64]:
        """Compute factors of users from their events: (users, f)."""
        ridge = self.gram + REGULARIZATION * np.eye(len(self.gram))
        folded = np.tile(self.mean_user, (len(histories), 1))
        for row, history in enumerate(histories):
            places, inverse = np.unique(history.items, return_inverse=True)
            chosen = self.items[places].astype(np.float64)
            if not chosen.any():
                continue
            confidence = self.alpha * np.bincount(inverse, weights=history.weights)
            more = np.maximum(confidence - 1, 0)  # never negative: the gram matrix does not contain cold items
            folded[row] = np.linalg.solve(ridge + (chosen * more[:, None]).T @ chosen, confidence @ chosen)
        return folded

    def scores(self, histories: Sequence[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) inner products of the factors of users and items."""
        return (self.fold_in(histories) @ self.items[candidates].T.astype(np.float64)).astype(np.float32)


def fit_factors(
    train: Interactions,
    *,
    factors: int = FACTORS,
    alpha: float = 1.0,
    iterations: int = ITERATIONS,
    seed: int = 0,
) -> Factors:
    """Fit factors of the items with events; other items get zeros.

    Args:
        train: the events.
        factors: maximum number of factors; there are fewer with few users or items.
        alpha: confidence of an event of weight 1, above 0.
        iterations: of alternating least squares.
        seed: of the first factors.

    Raises:
        QueryError: there are no events.
        OptionalDependencyError: implicit is not installed.
    """
    if not len(train):
        raise QueryError("there are no events to learn from; add some first: firstsight events add FILE")
    with requires("recommend", "a model with collaborative factors"):
        from implicit.als import AlternatingLeastSquares

    warm = train.popularity() > 0
    users = np.unique(train.users)
    width = max(4, min(factors, int(warm.sum()) // 2, len(users) // 2))
    with single_threaded_blas():  # implicit has its own threads, and warns about those of BLAS
        model = AlternatingLeastSquares(
            factors=width, regularization=REGULARIZATION, alpha=alpha, iterations=iterations, random_state=seed
        )
        model.fit(sparse.csr_matrix(train.matrix()), show_progress=False)
    items = np.where(warm[:, None], np.asarray(model.item_factors, dtype=np.float32), np.float32(0))
    return Factors(items, gram_of(items), np.asarray(model.user_factors, dtype=np.float64)[users].mean(axis=0), alpha)


def gram_of(items: NDArray[np.float32]) -> NDArray[np.float64]:
    """(f, f) sum of the outer products of the items' factors."""
    return np.asarray(items.T.astype(np.float64) @ items.astype(np.float64))


class ALS:
    """Collaborative factors alone; all cold items have equal scores."""

    name = "ALS"

    def __init__(self, *, factors: int = FACTORS, alpha: float = 1.0, seed: int = 0) -> None:
        self._factors, self._alpha, self._seed = factors, alpha, seed
        self._fitted: Factors | None = None

    def fit(self, train: Interactions) -> None:
        """Learn factors; see `fit_factors`."""
        self._fitted = fit_factors(train, factors=self._factors, alpha=self._alpha, seed=self._seed)

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) inner products; 0 for cold items.

        Raises:
            QueryError: the model is not fitted.
        """
        if self._fitted is None:
            raise QueryError("ALS has no factors yet; fit it first")
        return self._fitted.scores(users, candidates)
