"""Baselines that every recommender must beat: chance, popularity, the mean of a history, and item-to-item weights."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace, Places

T = TypeVar("T")

EASE_PENALTY = 100.0
EASE_ITEMS = 5_000
"""Maximum number of items with weights, the most popular ones: EASE inverts their dense matrix (200 MB, a minute)."""


class RandomOrder:
    """Chance: a random order for every user, the same at every call."""

    name = "random"

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed

    def fit(self, train: Interactions) -> None:
        """Do nothing: chance has nothing to learn."""

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) uniform numbers, 0 to 1."""
        rows = np.empty((len(users), len(candidates)), dtype=np.float32)
        for row, history in zip(rows, users, strict=True):
            digest = hashlib.blake2b(history.items.tobytes() + history.times.tobytes(), digest_size=8).digest()
            row[:] = np.random.default_rng([self._seed, int.from_bytes(digest)]).random(len(candidates))
        return rows


class Popularity:
    """Number of users of each item, strong preferences counting more: the same for everybody, 0 for a cold item."""

    name = "popularity"

    def __init__(self) -> None:
        self._counts: NDArray[np.float32] | None = None

    def fit(self, train: Interactions) -> None:
        """Sum the strengths of the users' preferences: without weights and types the number of users."""
        self._counts = np.asarray(train.strengths().sum(axis=0), dtype=np.float32).ravel()

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) counts.

        Raises:
            QueryError: the model is not fitted.
        """
        counts = _fitted(self._counts, self.name)[candidates]
        return np.tile(counts, (len(users), 1))


class MeanProfile:
    """Cosine of a candidate to the mean of the user's history, as in many first content-based systems."""

    name = "mean profile"

    def __init__(self) -> None:
        self._space: ItemSpace | None = None

    def fit(self, train: Interactions) -> None:
        """Take the vectors of the space."""
        self._space = train.space

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) cosines; 0 for an empty history.

        Raises:
            QueryError: the model is not fitted.
        """
        vectors = _fitted(self._space, self.name).vectors
        profiles = np.zeros((len(users), vectors.shape[1]), dtype=np.float32)
        for profile, history in zip(profiles, users, strict=True):
            mean = history.weights @ vectors[history.items]
            profile[:] = mean / max(float(np.linalg.norm(mean)), 1e-9)
        return profiles @ vectors[candidates].T


class EASE:
    """Item-to-item weights in closed form, with one hyperparameter; a strong baseline on warm items.

    Source: Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019, equation 8.
    """

    name = "EASE"

    def __init__(self, *, penalty: float = EASE_PENALTY, max_items: int = EASE_ITEMS) -> None:
        """
        Args:
            penalty: λ of the paper, above 0.
            max_items: number of items with weights, those with the most users; other items score 0, like cold ones.

        Raises:
            QueryError: the penalty is not above 0.
        """
        if penalty <= 0:
            raise QueryError(f"an EASE penalty of {penalty} is out of range; give one above 0, such as 100")
        self._penalty, self._max_items = penalty, max_items
        self._weights: NDArray[np.float32] | None = None
        self._column: Places = np.empty(0, dtype=np.int64)

    def fit(self, train: Interactions) -> None:
        """Solve for the weights of the items with events."""
        counts = train.popularity()
        known = np.sort(np.argsort(-counts, kind="stable")[: min(self._max_items, int(np.count_nonzero(counts)))])
        self._column = np.full(len(counts), -1, dtype=np.int64)
        self._column[known] = np.arange(len(known))
        seen = train.strengths()[:, known]
        gram = (seen.T @ seen).toarray().astype(np.float64)
        inverse = np.linalg.inv(gram + self._penalty * np.eye(len(known)))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        self._weights = weights.astype(np.float32)

    def item_weights(self) -> tuple[NDArray[np.float32], Places]:
        """Weights (m, m) from an event on one item to the score of another, and the (m,) rows of the items.

        Raises:
            QueryError: the model is not fitted.
        """
        return _fitted(self._weights, self.name), np.flatnonzero(self._column >= 0)

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) sums of the weights from the history; 0 for items without weights.

        Raises:
            QueryError: the model is not fitted.
        """
        weights = _fitted(self._weights, self.name)
        columns = self._column[candidates]
        weighted = np.flatnonzero(columns >= 0)
        rows = np.zeros((len(users), len(candidates)), dtype=np.float32)
        for row, history in zip(rows, users, strict=True):
            places, strengths = history.strengths()
            seen = self._column[places]
            chosen = weights[seen[seen >= 0]] * strengths[seen >= 0, None].astype(np.float32)
            row[weighted] = chosen.sum(axis=0)[columns[weighted]]
        return rows


def _fitted(learned: T | None, name: str) -> T:
    if learned is None:
        raise QueryError(f"{name} has no fitted values yet; fit it first")
    return learned
