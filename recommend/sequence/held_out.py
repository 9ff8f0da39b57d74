"""Hold out the last events of some users, to stop training and to compare models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.events.searches import Searches
from firstsight.recommend.recommender import NextItem

MIN_SAMPLES = 20
"""Fewer held-out samples say nothing about a model."""


def hold_out_next_items(
    interactions: Interactions,
    *,
    share: float = 0.2,
    limit: int = 5_000,
    after_us: int | None = None,
    seed: int = 0,
) -> tuple[Interactions, list[NextItem]]:
    """Hold out the last event of a share of the users.

    Only users with an event before it are drawn.

    Args:
        interactions: the events.
        share: of the users, 0 to 1.
        limit: maximum number of users.
        after_us: hold out only events after this moment, in microseconds since 1970: a model that starts from an
            earlier version has seen those before. None for any event.
        seed: of the draw.

    Returns:
        The other events, and one sample for each drawn user; all events and no samples if they would be fewer than
        `MIN_SAMPLES`.
    """
    ends = np.flatnonzero(np.append(interactions.users[1:] != interactions.users[:-1], True))
    starts = np.append(-1, ends[:-1]) + 1
    eligible = ends[ends > starts]
    if after_us is not None:
        eligible = eligible[interactions.times[eligible] > after_us]
    count = min(limit, round(share * len(eligible)))
    if count < MIN_SAMPLES:
        return interactions, []
    drawn = np.sort(np.random.default_rng(seed).choice(eligible, count, replace=False))
    kept = np.ones(len(interactions), dtype=bool)
    kept[drawn] = False
    samples = []
    for row in drawn:
        history = interactions.history(int(interactions.users[row]))
        end = int(np.searchsorted(history.searches.times, interactions.times[row], side="right"))
        searches = Searches(history.searches.texts[:end], history.searches.times[:end])  # with that of a search click
        earlier = replace(history.first(len(history) - 1), searches=searches)
        samples.append(NextItem(earlier, int(interactions.items[row])))
    return interactions.where(kept), samples
