"""Held-out next events: what a ranking is fitted on, and what decides whether it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.recommender import NextItem

HELD_OUT_SHARE = 0.1
"""Share of the newest events that a log with times holds out."""

MAX_SAMPLES = 4_000
MAX_SAMPLES_PER_USER = 20
SHORT_HISTORIES = (0, 1, 2, 3, 5, 10)
"""Numbers of events to which histories are cut as well, so that weights know users with few events."""

_SAME_START = 0.5  # share of the users with the same first moment, from which times are only an order


@dataclass(frozen=True)
class HeldOutEvents:
    """Events for the term models, and the next events that they have not seen.

    Attributes:
        train: earlier events.
        samples: histories and the item that came next, of `users`.
        users: (s,) indices into `train.user_ids`.
    """

    train: Interactions
    samples: list[NextItem]
    users: NDArray[np.int64]


def hold_out(interactions: Interactions, *, max_samples: int = MAX_SAMPLES, seed: int = 0) -> HeldOutEvents:
    """Hold out the newest events: after one moment, or each user's last event if times are only an order.

    Histories of samples reach up to the held-out event, as they do when slates are made: events after the cut that
    came before it count.

    Args:
        interactions: the events.
        max_samples: a larger log is sampled.
        seed: of the sample.

    Raises:
        QueryError: no event with an earlier one of another user is left.
    """
    kept = _last_events(interactions) if has_order_only(interactions) else _newest_events(interactions)
    train = interactions.where(~kept)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(kept))
    order = np.argsort(interactions.users[rows], kind="stable")
    users = interactions.users[rows[order]]
    number = np.arange(len(users)) - np.searchsorted(users, users)  # random order within each user
    rows = rows[order][number < MAX_SAMPLES_PER_USER]
    rows = np.sort(rng.permutation(rows)[:max_samples])
    if not len(train) or not len(rows):
        raise QueryError("there are too few events to hold some out; add more events: firstsight events add FILE")
    starts = np.searchsorted(interactions.users, interactions.users[rows])
    samples = []
    for row, start in zip(rows.tolist(), starts.tolist(), strict=True):
        history = interactions.history(int(interactions.users[row]))
        samples.append(NextItem(history.first(row - start), int(interactions.items[row])))
    return HeldOutEvents(train, samples, interactions.users[rows])


def has_order_only(interactions: Interactions) -> bool:
    """Whether times only order the events of each user: most users begin at the same moment."""
    if not len(interactions):
        return False
    first = interactions.times[np.unique(interactions.users, return_index=True)[1]]
    return bool(np.mean(first == first.min()) > _SAME_START)


def shorten(samples: Sequence[NextItem], *, seed: int = 0) -> list[NextItem]:
    """The samples with their last few events alone: drawn lengths below their own; none of an empty history."""
    rng = np.random.default_rng(seed)
    shortened = []
    for sample in samples:
        shorter = [k for k in SHORT_HISTORIES if k < len(sample.history)]
        if shorter:
            k = int(rng.choice(shorter))
            history = sample.history.last(k) if k else History.of(np.empty(0, dtype=np.int64))
            shortened.append(NextItem(history, sample.item))
    return shortened


def _newest_events(interactions: Interactions) -> NDArray[np.bool_]:
    cut_us = np.quantile(interactions.times, 1 - HELD_OUT_SHARE, method="higher")
    return np.asarray(interactions.times >= cut_us)


def _last_events(interactions: Interactions) -> NDArray[np.bool_]:
    """The last event of each user with two or more."""
    users = interactions.users
    is_last = np.append(users[1:] != users[:-1], True)
    is_first = np.insert(users[1:] != users[:-1], 0, True)
    return np.asarray(is_last & ~is_first)
