"""Interactions of users with items: the form of events that every model and every evaluation takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from firstsight.recommend.events.searches import Searches, SearchLog
from firstsight.recommend.items import ItemSpace, Places

DAY_US = 86_400_000_000

MAX_STRENGTH = 5.0
"""Largest strength of one user's preference for an item: one event with a huge weight must not decide alone."""


@dataclass(frozen=True)
class History:
    """One user's events on items of a space, oldest first.

    Attributes:
        items: (k,) rows of the space; an item may occur several times.
        times: (k,) int64 microseconds since 1970, ascending.
        weights: (k,) float64, positive: weight of the event times weight of its type.
        types: (k,) int8, indices into `event_types.EVENT_TYPES`.
        searches: the user's queries; a query with a clicked item is an event on the item, too.
    """

    items: Places
    times: NDArray[np.int64]
    weights: NDArray[np.float64]
    types: NDArray[np.int8]
    searches: Searches = field(default_factory=Searches.none)

    @classmethod
    def of(cls, items: Places, times: NDArray[np.int64] | None = None) -> History:
        """Make a history of items in order, with weight 1; without times, one second lies between two events."""
        when = np.arange(len(items), dtype=np.int64) * 1_000_000 if times is None else times
        return cls(np.asarray(items, dtype=np.int64), when, np.ones(len(items)), np.zeros(len(items), dtype=np.int8))

    def __len__(self) -> int:
        return len(self.items)

    def strengths(self) -> tuple[Places, NDArray[np.float64]]:
        """Distinct items, ascending, and the largest weight of each, at most `MAX_STRENGTH`."""
        places, inverse = np.unique(self.items, return_inverse=True)
        strongest = np.zeros(len(places))
        np.maximum.at(strongest, inverse, self.weights)
        return places, np.minimum(strongest, MAX_STRENGTH)

    def last(self, k: int) -> History:
        """The k newest events, with all searches."""
        kept = slice(max(0, len(self.items) - k), None)
        return History(self.items[kept], self.times[kept], self.weights[kept], self.types[kept], self.searches)

    def first(self, k: int) -> History:
        """The k oldest events, and the searches before the next one."""
        if k >= len(self):
            return self
        earlier = self.searches.before(int(self.times[k]))
        return History(self.items[:k], self.times[:k], self.weights[:k], self.types[:k], earlier)

    def before(self, time_us: int) -> History:
        """The events and searches before a moment."""
        end = int(np.searchsorted(self.times, time_us, side="left"))
        earlier = self.searches.before(time_us)
        return History(self.items[:end], self.times[:end], self.weights[:end], self.types[:end], earlier)


@dataclass(frozen=True)
class Interactions:
    """The events of many users on the items of one space, sorted by user and time; ties in the order of arrival.

    Attributes:
        space: the items.
        user_ids: (u,) sorted.
        users: (e,) int64, indices into `user_ids`, ascending.
        items: (e,) rows of the space.
        times: (e,) int64 microseconds since 1970, ascending within a user.
        weights: (e,) float64, positive: weight of the event times weight of its type.
        types: (e,) int8, indices into `event_types.EVENT_TYPES`.
        searches: of the same users.
    """

    space: ItemSpace
    user_ids: NDArray[np.object_]
    users: NDArray[np.int64]
    items: Places
    times: NDArray[np.int64]
    weights: NDArray[np.float64]
    types: NDArray[np.int8]
    searches: SearchLog = field(default_factory=SearchLog.none)

    @classmethod
    def of(
        cls,
        space: ItemSpace,
        users: NDArray[np.object_],
        items: Places,
        times: NDArray[np.int64],
        weights: NDArray[np.float64] | None = None,
        types: NDArray[np.int8] | None = None,
    ) -> Interactions:
        """Make interactions from parallel columns in any order; events on unknown items (-1) are left out."""
        known = items >= 0
        user_ids, codes = np.unique(users[known], return_inverse=True)
        all_weights = np.ones(len(items)) if weights is None else weights
        all_types = np.zeros(len(items), dtype=np.int8) if types is None else types
        order = np.lexsort((np.arange(len(codes)), times[known], codes))
        kept = np.flatnonzero(known)[order]
        return cls(space, user_ids, codes[order], items[kept], times[kept], all_weights[kept], all_types[kept])

    @classmethod
    def none(cls, space: ItemSpace) -> Interactions:
        """No events."""
        numbers = np.empty(0, dtype=np.int64)
        return cls.of(space, np.empty(0, dtype=object), numbers, numbers)

    def __len__(self) -> int:
        return len(self.items)

    def where(self, mask: NDArray[np.bool_], searches: NDArray[np.bool_] | None = None) -> Interactions:
        """The events of a mask. `user_ids` stays, with users who have no event left.

        Args:
            mask: (e,)
            searches: (s,) the searches to keep; all by default.
        """
        return replace(
            self,
            users=self.users[mask],
            items=self.items[mask],
            times=self.times[mask],
            weights=self.weights[mask],
            types=self.types[mask],
            searches=self.searches if searches is None else self.searches.where(searches),
        )

    def before(self, time_us: int) -> Interactions:
        """The events and searches before a moment, with the users who have such an event."""
        earlier = self.where(self.times < time_us, self.searches.times < time_us)
        kept = np.unique(earlier.users)
        code_of = np.full(len(self.user_ids), -1, dtype=np.int64)
        code_of[kept] = np.arange(len(kept))
        searches = earlier.searches.where(code_of[earlier.searches.users] >= 0)
        return replace(
            earlier,
            user_ids=self.user_ids[kept],
            users=code_of[earlier.users],
            searches=replace(searches, users=code_of[searches.users]),
        )

    def history(self, user: int) -> History:
        """The events of one user, given as an index into `user_ids`."""
        start, end = np.searchsorted(self.users, [user, user + 1])
        rows = slice(start, end)
        searches = self.searches.of_user(user)
        return History(self.items[rows], self.times[rows], self.weights[rows], self.types[rows], searches)

    def histories(self) -> list[History]:
        """The history of every user, in order."""
        return [self.history(user) for user in range(len(self.user_ids))]

    def matrix(self) -> sparse.csr_array:
        """(users, items) float32: sums of the weights of a user's events on an item."""
        shape = (len(self.user_ids), len(self.space))
        coordinates = (self.weights.astype(np.float32), (self.users, self.items))
        return sparse.csr_array(sparse.coo_array(coordinates, shape=shape).tocsr())

    def strengths(self) -> sparse.csr_array:
        """(users, items) float32: the largest weight of a user's events on an item, at most `MAX_STRENGTH`.

        Without weights and types it is 1 for each item that a user chose, however often.
        """
        if (self.weights == 1).all():
            matrix = self.matrix()
            matrix.data[:] = 1.0
            return matrix
        order = np.lexsort((self.weights, self.items, self.users))
        users, items = self.users[order], self.items[order]
        last = np.ones(len(order), dtype=bool)
        last[:-1] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
        strongest = np.minimum(self.weights[order][last], MAX_STRENGTH).astype(np.float32)
        shape = (len(self.user_ids), len(self.space))
        return sparse.csr_array(sparse.coo_array((strongest, (users[last], items[last])), shape=shape).tocsr())

    def popularity(self) -> NDArray[np.int64]:
        """(items,) number of users with an event on each item."""
        pairs = np.unique(self.users * len(self.space) + self.items)
        return np.bincount(pairs % len(self.space), minlength=len(self.space)).astype(np.int64)


def make_history(places: Places, now_us: int) -> History:
    """Make a history of items in order: the last event is now, and one minute lies between two events."""
    return History.of(places, now_us - np.arange(len(places), dtype=np.int64)[::-1] * 60_000_000)
