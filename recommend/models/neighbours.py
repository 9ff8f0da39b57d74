"""Item-based neighbours: "users who chose this also chose that", directly from the events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places

DAMPING = 20.0
"""Users added to the count of each item: without them, two users who agree by chance would look like similarity."""

MAX_USERS = 2_000
"""Maximum number of users that one history is compared with, the nearest ones. It limits the time for popular items."""


class ItemNeighbours:
    """Damped cosine between the users of two items, summed over a user's history.

    Works for users outside the events, too. Items without events score 0.
    Source: Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms", WWW 2001, with counts
    damped as in Bell and Koren, "Improved Neighborhood-based Collaborative Filtering", KDD Cup 2007.
    """

    name = "neighbours"

    def __init__(self, interactions: Interactions | None = None) -> None:
        if interactions is not None:
            self.fit(interactions)

    def fit(self, train: Interactions) -> None:
        """Arrange the events for access by item and by user."""
        matrix = train.matrix()
        matrix.data[:] = 1.0
        self._by_user = matrix
        self._by_item = matrix.tocsc()
        self._norm: NDArray[np.float32] = 1 / np.sqrt(np.diff(self._by_item.indptr) + DAMPING).astype(np.float32)

    def score(self, history: History) -> NDArray[np.float32]:
        """(n,) sums of the similarities of each item to the items of the history, 0 or more."""
        places = np.unique(history.items)
        indptr, indices = self._by_item.indptr, self._by_item.indices
        spans = [indices[indptr[place] : indptr[place + 1]] for place in places]
        users = np.concatenate(spans) if spans else np.zeros(0, dtype=np.int32)
        if not len(users):
            return np.zeros(len(self._norm), dtype=np.float32)
        norms = np.repeat(self._norm[places], [len(span) for span in spans])
        near, where = np.unique(users, return_inverse=True)
        weight = np.bincount(where, weights=norms)
        if len(near) > MAX_USERS:
            kept = np.argpartition(-weight, MAX_USERS)[:MAX_USERS]
            near, weight = near[kept], weight[kept]
        rows = self._by_user.indptr
        lengths = rows[near + 1] - rows[near]
        offsets = np.repeat(rows[near] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        touched = self._by_user.indices[np.arange(lengths.sum()) + offsets]
        sums = np.bincount(touched, weights=np.repeat(weight, lengths), minlength=len(self._norm))
        return (sums * self._norm).astype(np.float32)

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) values of `score`."""
        return np.stack([self.score(history)[candidates] for history in users])
