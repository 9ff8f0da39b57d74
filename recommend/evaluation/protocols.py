"""Ways to hold events out: for items nobody has clicked, for users nobody knows, and for the time to come.

Every protocol ranks all candidates, never a sample of them (Krichene and Rendle, "On sampled metrics for item
recommendation", KDD 2020), and takes what a user has had to do with already out of the ranking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.evaluation.measures import rank
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places
from firstsight.recommend.recommender import Recommender

USERS_PER_BATCH = 512


@dataclass(frozen=True)
class Split:
    """What a model may learn from, and what it is then asked.

    Attributes:
        protocol: "item-cold", "user-cold" or "time".
        train: what `fit` gets.
        users: (u,) the users asked about, places in `train.user_ids`, ascending.
        histories: what is known of each of them.
        targets: what each of them had to do with afterwards: distinct places, ascending, none of the history, at
            least one.
        candidates: (c,) places to rank, ascending.
        cold: (items,) bool, items of the space without an event in `train`.
    """

    protocol: str
    train: Interactions
    users: NDArray[np.int64]
    histories: list[History]
    targets: list[Places]
    candidates: Places
    cold: NDArray[np.bool_]

    def rank(self, model: Recommender, k: int) -> Places:
        """The k best candidates of each user by a fitted model, none of its own history: (u, k) places, -1 for none."""
        column = np.full(len(self.train.space), -1, dtype=np.int64)
        column[self.candidates] = np.arange(len(self.candidates))
        parts = [np.empty((0, k), dtype=np.int64)]
        for start in range(0, len(self.histories), USERS_PER_BATCH):
            histories = self.histories[start : start + USERS_PER_BATCH]
            scores = np.array(model.scores(histories, self.candidates), dtype=np.float32)
            for row, history in enumerate(histories):
                own = column[history.items]
                scores[row, own[own >= 0]] = -np.inf
            parts.append(rank(scores, self.candidates, k))
        return np.concatenate(parts)


def item_cold(interactions: Interactions, *, share: float = 0.2, seed: int = 0) -> Split:
    """Items that nobody has clicked: a share of all items loses every event, and only they are ranked.

    Users are those with an event on an item that keeps its events, which is their history, and one on a cold item.

    Args:
        share: of the items of the space, drawn by `seed`; above 0, below 1.

    Raises:
        QueryError: the share is out of range, or no user is left to ask.
    """
    _check_share(share)
    n = len(interactions.space)
    drawn = np.random.default_rng(seed).permutation(n)[: max(1, round(share * n))]
    cold = np.zeros(n, dtype=bool)
    cold[drawn] = True
    train = interactions.where(~cold[interactions.items])
    later = interactions.where(cold[interactions.items])
    users = np.intersect1d(train.users, later.users)
    return _make_split("item-cold", train, users, train, later, np.flatnonzero(cold))


def user_cold(
    interactions: Interactions, *, first: int, share: float = 0.2, min_events: int | None = None, seed: int = 0
) -> Split:
    """Users that nobody knows: of held-out users the first events are known, and the rest are to be found.

    All items are ranked. The model learns from the other users alone.

    Args:
        first: how many events are known, 0 or more.
        share: of the users with enough events, drawn by `seed`; above 0, below 1.
        min_events: events that a user must have to be drawn, `first` + 1 by default; the same number for several values of
            `first` compares them over the same users.

    Raises:
        QueryError: a value is out of range, or no user is left to ask.
    """
    _check_share(share)
    if first < 0:
        raise QueryError(f"a history of the first {first} events cannot be; take 0 or more")
    counts = np.bincount(interactions.users, minlength=len(interactions.user_ids))
    enough = np.flatnonzero(counts >= max(first + 1, min_events or 0))
    held = np.sort(np.random.default_rng(seed).permutation(enough)[: max(1, round(share * len(enough)))])
    is_held = np.zeros(len(interactions.user_ids), dtype=bool)
    is_held[held] = True
    starts = np.searchsorted(interactions.users, np.arange(len(counts)))
    early = np.arange(len(interactions)) - starts[interactions.users] < first
    of_held = is_held[interactions.users]
    train = interactions.where(~of_held)
    known, later = interactions.where(of_held & early), interactions.where(of_held & ~early)
    return _make_split("user-cold", train, held, known, later, np.arange(len(interactions.space)))


def global_time(interactions: Interactions, *, share: float = 0.2, cut_us: int | None = None) -> Split:
    """The time to come: the model learns from the events before one moment, for all users, and finds those after it.

    All items are ranked, those that appear after the cut as well; users who appear after it have an empty history.

    Args:
        share: of the events that lie after the cut, about; above 0, below 1.
        cut_us: the cut itself, microseconds since 1970, in place of `share`.

    Raises:
        QueryError: the share is out of range, or no user is left to ask.
    """
    _check_share(share)
    if cut_us is None:
        if not len(interactions):
            raise QueryError("there are no events to cut; add some first: firstsight events add FILE")
        cut_us = int(np.quantile(interactions.times, 1 - share, method="higher"))
    train = interactions.where(interactions.times < cut_us)
    later = interactions.where(interactions.times >= cut_us)
    return _make_split("time", train, np.unique(later.users), train, later, np.arange(len(interactions.space)))


def _make_split(
    protocol: str,
    train: Interactions,
    users: NDArray[np.int64],
    known: Interactions,
    later: Interactions,
    candidates: Places,
) -> Split:
    histories = [known.history(user) for user in users.tolist()]
    targets = [
        np.setdiff1d(later.history(user).items, history.items)
        for user, history in zip(users.tolist(), histories, strict=True)
    ]
    asked = [n for n, target in enumerate(targets) if len(target)]
    if not asked:
        raise QueryError(f"the {protocol} protocol leaves no user with something to find; it needs more events")
    return Split(
        protocol,
        train,
        users[asked],
        [histories[n] for n in asked],
        [targets[n] for n in asked],
        candidates,
        train.popularity() == 0,
    )


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise QueryError(f"a share of {share} cannot be held out; take one between 0 and 1, such as 0.2")
