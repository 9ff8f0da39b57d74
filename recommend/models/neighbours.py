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
    """Damped cosine between the users of two items, summed over a user's history; strong preferences count more.

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
        self._by_user = train.strengths()
        self._by_item = self._by_user.tocsc()
        squares = np.asarray(self._by_item.power(2).sum(axis=0), dtype=np.float64).ravel()
        self._norm = 1 / np.sqrt(squares + DAMPING, dtype=np.float64).astype(np.float32)

    def score(self, history: History) -> NDArray[np.float32]:
        """(n,) sums of the similarities of each item to the items of the history, 0 or more."""
        places, strengths = history.strengths()
        indptr = self._by_item.indptr
        spans = [slice(indptr[place], indptr[place + 1]) for place in places]
        users = np.concatenate([self._by_item.indices[span] for span in spans] or [np.zeros(0, dtype=np.int32)])
        if not len(users):
            return np.zeros(len(self._norm), dtype=np.float32)
        own = (self._norm[places] * strengths).astype(np.float32)
        norms = np.repeat(own, [span.stop - span.start for span in spans])
        norms *= np.concatenate([self._by_item.data[span] for span in spans])
        near, where = np.unique(users, return_inverse=True)
        weight = np.bincount(where, weights=norms)
        if len(near) > MAX_USERS:
            kept = np.argpartition(-weight, MAX_USERS)[:MAX_USERS]
            near, weight = near[kept], weight[kept]
        rows = self._by_user.indptr
        lengths = rows[near + 1] - rows[near]
        offsets = np.repeat(rows[near] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        events = np.arange(lengths.sum()) + offsets
        shares = np.repeat(weight, lengths) * self._by_user.data[events]
        sums = np.bincount(self._by_user.indices[events], weights=shares, minlength=len(self._norm))
        return (sums * self._norm).astype(np.float32)

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) values of `score`."""
        return np.stack([self.score(history)[candidates] for history in users])
