"""Items that follow an item: which items users chose soon after it, in the order of their events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from firstsight.recommend.events.interactions import History, Interactions

DISTANCE = 5
"""Number of events after an item that follow it; one at distance d counts 1 / d."""

DAMPING = 5.0
"""Added to the sum of each item: without it, a single pair of rare items would look like a rule."""

DECAY = 0.6
"""Factor of the weight of an event of the history with every newer event."""

LAST_EVENTS = 10

MAX_EVENTS = 2_000_000
"""Number of newest events that pairs are counted of."""


class Followers:
    """Damped cosine of the counts of two items, one after the other: item-based neighbours with a direction."""

    def __init__(self, events: Interactions) -> None:
        """
        Args:
            events: of all users, in any order.
        """
        newest = np.argsort(events.times, kind="stable")[-MAX_EVENTS:]
        order = newest[np.argsort(events.users[newest], kind="stable")]
        users, items = events.users[order], events.items[order]
        rows, columns, counts = [], [], []
        for distance in range(1, DISTANCE + 1):
            same = users[distance:] == users[:-distance]
            rows.append(items[:-distance][same])
            columns.append(items[distance:][same])
            counts.append(np.full(int(same.sum()), 1 / distance))
        n = len(events.space)
        pairs = (np.concatenate(counts), (np.concatenate(rows), np.concatenate(columns)))
        matrix = sparse.csr_array(sparse.coo_array(pairs, shape=(n, n)).tocsr())
        before, after = (1 / np.sqrt(np.asarray(matrix.sum(axis=axis)).ravel() + DAMPING) for axis in (1, 0))
        matrix.data *= np.repeat(before, np.diff(matrix.indptr)) * after[matrix.indices]
        self._matrix = matrix

    def score(self, history: History) -> NDArray[np.float32]:
        """(n,) weighted sums of how an item follows the last items of a history, 0 or more."""
        recent = history.items[-LAST_EVENTS:]
        indptr = self._matrix.indptr
        spans = [slice(indptr[place], indptr[place + 1]) for place in recent]
        n = self._matrix.shape[0]
        if not spans:
            return np.zeros(n, dtype=np.float32)
        weights = DECAY ** np.arange(len(recent))[::-1]
        values = np.concatenate([self._matrix.data[s] * weight for s, weight in zip(spans, weights, strict=True)])
        columns = np.concatenate([self._matrix.indices[span] for span in spans])
        return np.bincount(columns, weights=values, minlength=n).astype(np.float32)
