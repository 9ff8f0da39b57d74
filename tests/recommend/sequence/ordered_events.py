"""Synthetic logs whose order matters: each item has one successor, and all items are equally popular."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.recommender import NextItem
from firstsight.recommend.sequence.sequence_settings import SequenceSettings

SMALL = SequenceSettings(
    layers=1, width=16, heads=2, events=8, dropout=0.0, content_dropout=0.0, batch=64, epochs=25, learning_rate=1e-2
)
"""A model that trains in a second."""


def random_space(items: int = 24, *, dim: int = 16, seed: int = 0) -> ItemSpace:
    """Items without any likeness, so that content alone says nothing about what comes next."""
    vectors = np.random.default_rng(seed).normal(size=(items, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ItemSpace.of([f"i{n:03d}" for n in range(items)], vectors.astype(np.float32))


def successors(space: ItemSpace, *, seed: int = 0) -> NDArray[np.int64]:
    """(n,) the item that follows each item."""
    circle = np.random.default_rng(seed).permutation(len(space))
    follows = np.empty_like(circle)
    follows[circle] = np.roll(circle, -1)
    return follows


def ordered_log(
    space: ItemSpace, users: int = 150, *, events: int = 6, first_day: int = 0, seed: int = 0
) -> Interactions:
    """Each user starts anywhere and follows the successors, a day for each event."""
    rng = np.random.default_rng([seed, first_day])
    follows = successors(space)
    items = np.empty((users, events), dtype=np.int64)
    items[:, 0] = rng.integers(0, len(space), users)
    for column in range(1, events):
        items[:, column] = follows[items[:, column - 1]]
    times = 1_700_000_000_000_000 + (first_day + np.tile(np.arange(events), users)) * 86_400_000_000
    ids = np.array([f"u{first_day}-{n:03d}" for n in np.repeat(np.arange(users), events)], dtype=object)
    return Interactions.of(space, ids, items.reshape(-1), times)


def next_items(log: Interactions) -> list[NextItem]:
    """The last event of each user, after the others."""
    return [
        NextItem(history.first(len(history) - 1), int(history.items[-1])) for history in log.histories() if len(history)
    ]


def hit_rate(scores: NDArray[np.float32], samples: list[NextItem], k: int = 1) -> float:
    """Share of the samples whose item is among the first k."""
    own = scores[np.arange(len(samples)), [sample.item for sample in samples]]
    return float(((scores > own[:, None]).sum(axis=1) < k).mean())
