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
        """The searches of one user, given as an index into `Interactions.user_ids`; several clicks are one search."""
        start, end = np.searchsorted(self.users, [user, user + 1])
        texts, times = self.texts[start:end], self.times[start:end]
        place_of: dict[tuple[str, int], int] = {}
        for place, key in enumerate(zip(texts.tolist(), times.tolist(), strict=True)):
            place_of.setdefault(key, place)
        first = np.array(list(place_of.values()), dtype=np.int64)
        return Searches(texts[first], times[first])

    def where(self, mask: NDArray[np.bool_]) -> SearchLog:
        """The searches of a mask (s,)."""
        return SearchLog(self.users[mask], self.texts[mask], self.times[mask], self.clicked[mask])


def distinct_searches(
    users: NDArray[np.int64], times: NDArray[np.int64], queries: NDArray[np.int64], clicked: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Choose the rows of distinct searches: one for each clicked item of a search, one for a search without a click.

    Logs have a row for each shown result, all with the same user, time and query.

    Args:
        users, times: (r,), sorted.
        queries: (r,) a number for each text.
        clicked: (r,) a number for each item; -1 for no click.

    Returns:
        Indices of rows, ascending.
    """
    order = np.lexsort((np.arange(len(users)), clicked, clicked < 0, queries, times, users))
    same = np.ones(len(order), dtype=bool)
    for column in (users, times, queries):
        same[1:] &= column[order][1:] == column[order][:-1]
    same[:1] = False
    is_clicked = clicked[order] >= 0
    search = np.cumsum(~same) - 1
    has_click = is_clicked[np.flatnonzero(~same)][search] if len(order) else is_clicked
    repeated = same.copy()
    repeated[1:] &= clicked[order][1:] == clicked[order][:-1]
    return np.sort(order[np.where(has_click, is_clicked & ~repeated, ~same)])
