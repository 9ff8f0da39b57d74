"""Searches of users: what they typed and when, as models and evaluations take them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Searches:
    """One user's searches, oldest first.

    Attributes:
        texts: (s,) queries.
        times: (s,) int64 microseconds since 1970, ascending.
    """

    texts: NDArray[np.object_]
    times: NDArray[np.int64]

    @classmethod
    def none(cls) -> Searches:
        """No searches."""
        return cls(np.empty(0, dtype=object), np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.texts)

    def before(self, time_us: int) -> Searches:
        """The searches before a moment."""
        end = int(np.searchsorted(self.times, time_us, side="left"))
        return Searches(self.texts[:end], self.times[:end])

    def merge(self, other: Searches) -> Searches:
        """These searches and others, in the order of time."""
        texts, times = np.concatenate([self.texts, other.texts]), np.concatenate([self.times, other.times])
        order = np.argsort(times, kind="stable")
        return Searches(texts[order], times[order])


@dataclass(frozen=True)
class SearchLog:
    """The searches of many users, sorted by user and time.

    Attributes:
        users: (s,) int64, indices into `Interactions.user_ids`, ascending.
        texts: (s,) queries.
        times: (s,) int64 microseconds since 1970, ascending within a user.
        clicked: (s,) rows of the clicked items; -1 for a search without a click.
    """

    users: NDArray[np.int64]
    texts: NDArray[np.object_]
    times: NDArray[np.int64]
    clicked: NDArray[np.int64]

    @classmethod
    def none(cls) -> SearchLog:
        """No searches."""
        numbers = np.empty(0, dtype=np.int64)
        return cls(numbers, np.empty(0, dtype=object), numbers, numbers)

    def __len__(self) -> int:
        return len(self.texts)

    def of_user(self, user: int) -> Searches:
        """The searches of one user, given as an index into `Interactions.user_ids`."""
        start, end = np.searchsorted(self.users, [user, user + 1])
        return Searches(self.texts[start:end], self.times[start:end])
