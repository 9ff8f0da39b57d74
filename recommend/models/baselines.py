"""What any recommender has to beat: chance, popularity, the mean of a history, and item-to-item weights."""

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
"""Items with the most users, that EASE has weights of: it inverts a dense matrix of them (200 MB, a minute)."""


class RandomOrder:
    """Chance: every user has an order of their own, the same at every call."""

    name = "random"

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed

    def fit(self, train: Interactions) -> None:
        """Learns nothing."""

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) uniform in 0 to 1."""
        rows = np.empty((len(users), len(candidates)), dtype=np.float32)
        for row, history in zip(rows, users, strict=True):
            who = hashlib.blake2b(history.items.tobytes() + history.times.tobytes(), digest_size=8).digest()
            row[:] = np.random.default_rng([self._seed, int.from_bytes(who)]).random(len(candidates))
        return rows


class Popularity:
    """How many users an item has had: the same for everybody, and nothing for a cold item."""

    name = "popularity"

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] | None = None

    def fit(self, train: Interactions) -> None:
        """Count users."""
        self._counts = train.popularity()

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) counts.

        Raises:
            QueryError: it was not fitted.
        """
        counts = _fitted(self._counts, self.name)[candidates].astype(np.float32)
        return np.tile(counts, (len(users), 1))


class MeanProfile:
    """The cosine of a candidate to the mean of the user's history, as content-based systems often begin."""

    name = "mean profile"

    def __init__(self) -> None:
        self._space: ItemSpace | None = None

    def fit(self, train: Interactions) -> None:
        """Takes the vectors of the space."""
        self._space = train.space

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) cosines; 0 for an empty history.

        Raises:
            QueryError: it was not fitted.
        """
        vectors = _fitted(self._space, self.name).vectors
        profiles = np.zeros((len(users), vectors.shape[1]), dtype=np.float32)
        for profile, history in zip(profiles, users, strict=True):
            mean = history.weights @ vectors[history.items]
            profile[:] = mean / max(float(np.linalg.norm(mean)), 1e-9)
        return profiles @ vectors[candidates].T


class EASE:
    """Item-to-item weights in closed form: no hyperparameter but one, and hard to beat on warm items.

    Source: Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019, equation 8.
    """

    name = "EASE"

    def __init__(self, *, penalty: float = EASE_PENALTY, max_items: int = EASE_ITEMS) -> None:
        """Args:
        penalty: λ of the paper, above 0.
        max_items: items without weights are not told apart, as cold ones are not.
        """
        if penalty <= 0:
            raise QueryError(f"EASE cannot have a penalty of {penalty}; give one above 0, such as 100")
        self._penalty, self._most = penalty, max_items
        self._weights: NDArray[np.float32] | None = None
        self._column: Places = np.empty(0, dtype=np.int64)

    def fit(self, train: Interactions) -> None:
        """Solve for the weights of the items with events."""
        counts = train.popularity()
        known = np.sort(np.argsort(-counts, kind="stable")[: min(self._most, int(np.count_nonzero(counts)))])
        self._column = np.full(len(counts), -1, dtype=np.int64)
        self._column[known] = np.arange(len(known))
        seen = (train.matrix()[:, known] > 0).astype(np.float32)
        gram = (seen.T @ seen).toarray().astype(np.float64)
        inverse = np.linalg.inv(gram + self._penalty * np.eye(len(known)))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        self._weights = weights.astype(np.float32)

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) sums of the weights from the history; 0 for items without events.

        Raises:
            QueryError: it was not fitted.
        """
        weights = _fitted(self._weights, self.name)
        columns = self._column[candidates]
        asked = np.flatnonzero(columns >= 0)
        rows = np.zeros((len(users), len(candidates)), dtype=np.float32)
        for row, history in zip(rows, users, strict=True):
            seen = self._column[np.unique(history.items)]
            row[asked] = weights[seen[seen >= 0]].sum(axis=0)[columns[asked]]
        return rows


def _fitted(learned: T | None, name: str) -> T:
    if learned is None:
        raise QueryError(f"{name} has learned nothing yet; fit it first")
    return learned
