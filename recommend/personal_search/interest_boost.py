"""The boost of one user in a search: how near each candidate is to what the user chose lately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import ItemSpace, Places
from firstsight.records import Record
from firstsight.retrieval.ranking.standard_scores import standardised

Interest = Literal["mean", "nearest"]
"""mean: cosine to the decayed mean of the last events; nearest: greatest cosine to one of them."""

LAST_EVENTS = 50
"""Number of a user's newest events that count."""

HALF_LIFE = 10.0
"""Events until the weight in the mean halves."""


@dataclass(frozen=True)
class BoostSettings(Record):
    """What a user's interest counts in a search.

    Attributes:
        interest: how a candidate is compared with the user's events.
        weight: boost of a candidate one standard deviation nearer than the mean candidate, 0 or more.
        bound: largest boost, and largest reduction, in standard deviations of the candidates' ranking scores.
    """

    interest: Interest = "mean"
    weight: float = 0.0
    bound: float = 1.0


@dataclass(frozen=True)
class UserBoost:
    """The boost for one user: a `firstsight.retrieval.personalisation.Personaliser`."""

    space: ItemSpace
    history: History
    settings: BoostSettings

    def boosts(self, item_ids: Sequence[str]) -> NDArray[np.float64]:
        """Boost of each item: (n,), between -bound and bound; 0 for an item without a vector or not in the space."""
        closeness = interest_cosines(self.space, self.history, self.space.places(item_ids), self.settings.interest)
        return bounded_boosts(closeness, self.settings.weight, self.settings.bound)


def bounded_boosts(closeness: NDArray[np.float64], weight: float, bound: float) -> NDArray[np.float64]:
    """Standardise closeness (n,) over its numbers, and turn it into boosts; NaN gives 0."""
    boosts = np.zeros(len(closeness))
    known = np.flatnonzero(~np.isnan(closeness))
    boosts[known] = np.clip(weight * standardised(closeness[known]), -bound, bound)
    return boosts


def interest_cosines(space: ItemSpace, history: History, places: Places, interest: Interest) -> NDArray[np.float64]:
    """Closeness of items to a history: (n,) cosines; NaN for an item without a vector, -1 as a place, or no history."""
    last = history.last(LAST_EVENTS)
    recent = space.vectors[last.items]
    usable = np.abs(recent).max(axis=1, initial=0) > 0
    closeness = np.full(len(places), np.nan)
    candidates = space.vectors[np.maximum(places, 0)]
    known = np.flatnonzero((places >= 0) & (np.abs(candidates).max(axis=1, initial=0) > 0))
    if not usable.any() or not len(known):
        return closeness
    if interest == "mean":
        age = np.arange(len(last))[::-1]
        mean = (last.weights * 0.5 ** (age / HALF_LIFE)) @ recent
        cosines = candidates[known] @ (mean / max(float(np.linalg.norm(mean)), 1e-9))
    else:
        cosines = (candidates[known] @ recent[usable].T).max(axis=1)
    closeness[known] = cosines
    return closeness
