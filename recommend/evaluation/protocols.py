"""Protocols that hold events out: for new items, for new users, and for the future.

Every protocol ranks all candidates, never a sample of them (Krichene and Rendle, "On sampled metrics for item
recommendation", KDD 2020). Items of a user's history are not ranked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.evaluation.measures import rank
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places
from firstsight.recommend.recommender import Recommender

USERS_PER_BATCH = 512
_SCORES_PER_BATCH = 16_000_000  # 64 MB, several times over while a model computes them


@dataclass(frozen=True)
class Split:
    """One division of the events into training data and targets.

    Attributes:
        protocol: "item-cold", "user-cold" or "time".
        train: events for `fit`.
        users: (u,) the evaluated users, indices into `train.user_ids`, ascending.
        histories: the known events of each of these users.
        targets: items of the held-out events of each: distinct rows, ascending, at least one, none of the history.
        candidates: (c,) rows to rank, ascending.
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
        """Rank the k best candidates of each user with a fitted model: (u, k) rows, -1 for none.

        Items of a user's history are left out.
        """
        return rank_for_histories(model, self.histories, self.candidates, k)


def item_cold(interactions: Interactions, *, share: float = 0.2, seed: int = 0) -> Split:
    """Hold out items as new ones: a share of all items loses its events, and only these items are ranked.

    The users have an event on a cold item, and one on an item that keeps its events; the latter are their history.

    Args:
        interactions: the events.
        share: share of the items to hold out, above 0, below 1.
        seed: of the draw.

    Raises:
        QueryError: the share is out of range, or no user is left.
    """
    _check_share(share)
    n = len(interactions.space)
    drawn = np.random.default_rng(seed).permutation(n)[: max(1, round(share * n))]
    cold = np.zeros(n, dtype=bool)
    cold[drawn] = True
    searches = interactions.searches
    # a search that led to a held-out item would tell it
    told = (searches.clicked >= 0) & cold[searches.clicked]
    train = interactions.where(~cold[interactions.items], ~told)
    later = interactions.where(cold[interactions.items])
    users = np.intersect1d(train.users, later.users)
    return _make_split("item-cold", train, users, train, later, np.flatnonzero(cold))


def user_cold(
    interactions: Interactions, *, first: int, share: float = 0.2, min_events: int | None = None, seed: int = 0
) -> Split:
    """Hold out users as new ones: their first events are known, and the model must find the others.

    All items are ranked. The model learns from the other users only.

    Args:
        interactions: the events.
        first: number of known events, 0 or more.
        share: share of the users with enough events to hold out, above 0, below 1.
        min_events: minimum number of events of a held-out user, `first` + 1 by default. The same number for several
            values of `first` compares them over the same users.
        seed: of the draw.

    Raises:
        QueryError: a value is out of range, or no user is left.
    """
    _check_share(share)
    if first < 0:
        raise QueryError(f"a history of the first {first} events is out of range; take 0 or more")
    counts = np.bincount(interactions.users, minlength=len(interactions.user_ids))
    enough = np.flatnonzero(counts >= max(first + 1, min_events or 0))
    held = np.sort(np.random.default_rng(seed).permutation(enough)[: max(1, round(share * len(enough)))])
    is_held = np.zeros(len(interactions.user_ids), dtype=bool)
    is_held[held] = True
    starts = np.searchsorted(interactions.users, np.arange(len(counts)))
    early = np.arange(len(interactions)) - starts[interactions.users] < first
    of_held = is_held[interactions.users]
    searches = interactions.searches
    next_us = np.zeros(len(counts), dtype=np.int64)  # of the first event to find
    next_us[held] = interactions.times[starts[held] + first]
    train = interactions.where(~of_held, ~is_held[searches.users])
    known = interactions.where(of_held & early, is_held[searches.users] & (searches.times < next_us[searches.users]))
    later = interactions.where(of_held & ~early)
    return _make_split("user-cold", train, held, known, later, np.arange(len(interactions.space)))


def global_time(interactions: Interactions, *, share: float = 0.2, cut_us: int | None = None) -> Split:
    """Hold out the future: the model learns from all events before one moment, and must find those after it.

    All items are ranked, also those that first appear after the cut. Users who first appear after it have an empty
    history.

    Args:
        interactions: the events.
        share: approximate share of the events after the cut, above 0, below 1.
        cut_us: the cut itself in microseconds since 1970, instead of `share`.

    Raises:
        QueryError: the share is out of range, there are no events, or no user is left.
    """
    _check_share(share)
    if cut_us is None:
        if not len(interactions):
            raise QueryError("there are no events to divide; add some first: firstsight events add FILE")
        cut_us = int(np.quantile(interactions.times, 1 - share, method="higher"))
    train = interactions.where(interactions.times < cut_us, interactions.searches.times < cut_us)
    later = interactions.where(interactions.times >= cut_us)
    return _make_split("time", train, np.unique(later.users), train, later, np.arange(len(interactions.space)))


def rank_for_histories(
    model: Recommender, histories: Sequence[History], candidates: Places, k: int, *, leave_out_history: bool = True
) -> Places:
    """Rank the k best candidates for each history with a fitted model.

    Args:
        model: the model.
        histories: of u users.
        candidates: (c,) rows to rank, ascending, at least one.
        k: length of a ranking.
        leave_out_history: exclude items of a history from its ranking.

    Returns:
        (u, k) rows, -1 for none.
    """
    column = np.full(int(candidates[-1]) + 1, -1, dtype=np.int64)
    column[candidates] = np.arange(len(candidates))
    batch = max(1, min(USERS_PER_BATCH, _SCORES_PER_BATCH // len(candidates)))
    parts = [np.empty((0, k), dtype=np.int64)]
    for start in range(0, len(histories), batch):
        batch_histories = list(histories[start : start + batch])
        scores = np.array(model.scores(batch_histories, candidates), dtype=np.float32)
        if leave_out_history:
            for row, history in enumerate(batch_histories):
                own = column[history.items[history.items < len(column)]]
                scores[row, own[own >= 0]] = -np.inf
        parts.append(rank(scores, candidates, k))
    return np.concatenate(parts)


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
    kept = [n for n, target in enumerate(targets) if len(target)]
    if not kept:
        raise QueryError(f"the {protocol} protocol leaves no user with an item to find; it needs more events")
    return Split(
        protocol,
        train,
        users[kept],
        [histories[n] for n in kept],
        [targets[n] for n in kept],
        candidates,
        train.popularity() == 0,
    )


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise QueryError(f"a share of {share} cannot be held out; take one between 0 and 1, such as 0.2")
