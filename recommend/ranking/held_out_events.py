"""Held-out events of users: what a ranking is fitted on, and what decides whether it is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.recommender import NextItem

HELD_OUT_SHARE = 0.2
"""Share of the users whose events are held out."""

MAX_SAMPLES = 4_000
MAX_SAMPLES_PER_USER = 20
SHORT_HISTORIES = (0, 1, 2, 3, 5, 10)
"""Numbers of events to which half of the histories are cut, so that weights know users with few events."""


@dataclass(frozen=True)
class HeldOutEvents:
    """Events for the term models, and samples of the users that they have not seen.

    Attributes:
        train: events of the other users.
        samples: histories and an item that came later, of `users`.
        users: (s,) indices into `train.user_ids`.
    """

    train: Interactions
    samples: list[NextItem]
    users: NDArray[np.int64]


def hold_out(interactions: Interactions, *, max_samples: int = MAX_SAMPLES, seed: int = 0) -> HeldOutEvents:
    """Hold out users: the first events of each are a history, and a later one is the item to find.

    A slate has room for many items, so any later event counts, not only the very next one. Half of the histories are
    short, see `SHORT_HISTORIES`; the others have any length.

    Args:
        interactions: the events.
        max_samples: a larger log is sampled.
        seed: of all draws.

    Raises:
        QueryError: there are fewer than two users.
    """
    rng = np.random.default_rng(seed)
    known = np.unique(interactions.users)
    held = np.zeros(len(interactions.user_ids), dtype=bool)
    held[rng.permutation(known)[: round(HELD_OUT_SHARE * len(known))]] = True
    train = interactions.where(~held[interactions.users])
    if not held.any() or not len(train):
        raise QueryError("there are too few users to hold some out; add more events: firstsight events add FILE")
    samples, users = [], []
    for user in rng.permutation(np.flatnonzero(held)).tolist():
        history = interactions.history(user)
        for number in range(min(len(history), MAX_SAMPLES_PER_USER)):
            short = [k for k in SHORT_HISTORIES if k < len(history)]
            k = int(rng.choice(short)) if number % 2 else int(rng.integers(len(history)))
            samples.append(NextItem(history.first(k), int(history.items[rng.integers(k, len(history))])))
            users.append(user)
        if len(samples) >= max_samples:
            break
    return HeldOutEvents(train, samples[:max_samples], np.array(users[:max_samples], dtype=np.int64))
