"""Synthetic events on synthetic unit vectors, where taste follows content."""

from __future__ import annotations

import numpy as np

from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import ItemSpace

DAY_US = 86_400_000_000
START_US = 1_700_000_000_000_000


def clustered_space(items: int, *, clusters: int = 6, dim: int = 16, spread: float = 0.35, seed: int = 0) -> ItemSpace:
    """Items around a few directions; item n belongs to cluster n % clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dim))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    vectors = centres[np.arange(items) % clusters] + spread * rng.normal(size=(items, dim)) / np.sqrt(dim)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ItemSpace.of([f"i{n:04d}" for n in range(items)], vectors.astype(np.float32))


def make_preference_log(
    space: ItemSpace, users: int, *, events: int = 12, clusters: int = 6, noise: float = 0.1, seed: int = 0
) -> Interactions:
    """Events of users who like one cluster each, with some random events."""
    rng = np.random.default_rng(seed)
    user_of_event = np.repeat(np.arange(users), events)
    liked = rng.integers(0, clusters, users)[user_of_event]
    per_cluster = len(space) // clusters
    items = liked + clusters * rng.integers(0, per_cluster, len(user_of_event))
    astray = rng.random(len(user_of_event)) < noise
    items[astray] = rng.integers(0, len(space), int(astray.sum()))
    ids = np.array([f"u{n:03d}" for n in user_of_event], dtype=object)
    times = START_US + rng.integers(0, 30 * DAY_US, len(user_of_event))
    return Interactions.of(space, ids, items.astype(np.int64), times)
