"""The policy of one slate: which item each slot shows, and with which probability."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.items import Places
from firstsight.recommend.slates.exploration import OpenGroup
from firstsight.recommend.slates.interests.interest_ranking import Ranking
from firstsight.recommend.slates.slate_composer import RankedSlate, SlateComposer, Slot


@dataclass(frozen=True)
class SlatePolicy:
    """The ranked slate of a user at a time, and the items that exploration may show instead.

    Attributes:
        ranked: the slate of the ranking.
        opened: slots that may explore, with their open items; none without exploration.
        ranking: of all items for the user.
        composer: of the ranked slate.
    """

    ranked: RankedSlate
    opened: list[OpenGroup]
    ranking: Ranking
    composer: SlateComposer

    @cached_property
    def _group_of(self) -> dict[int, OpenGroup]:
        return {int(slot): group for group in self.opened for slot in group.slots}

    def __len__(self) -> int:
        return len(self.ranked.slots)

    def ranked_propensity(self, slot: int) -> float:
        """The probability that a slot, counted from 0, shows its ranked item."""
        group = self._group_of.get(slot)
        return 1.0 if group is None else group.ranked_probability

    def probability(self, slot: int, place: int) -> float:
        """The probability that a slot, counted from 0, shows an item; 0 for a slot that the slate does not have."""
        if slot >= len(self):
            return 0.0
        if self.ranked.slots[slot].place == place:
            return self.ranked_propensity(slot)
        group = self._group_of.get(slot)
        return 0.0 if group is None else float(group.probabilities[group.places == place].sum())

    def chances(self, slot: int) -> tuple[Places, NDArray[np.float64]]:
        """The items that a slot can show, the ranked one first, and their probabilities, which sum to 1."""
        group, ranked = self._group_of.get(slot), self.ranked.slots[slot].place
        if group is None:
            return np.array([ranked], dtype=np.int64), np.ones(1)
        own = self.ranked_propensity(slot)
        return np.concatenate([[ranked], group.places]), np.concatenate([[own], group.probabilities])

    def draw(self, rng: np.random.Generator) -> list[Slot]:
        """Draw a slate."""
        slots = list(self.ranked.slots)
        for group in self.opened:
            kept = group.ranked_probability
            for n in group.slots.tolist():
                slot = slots[n]  # `replace` takes several times as long
                slots[n] = Slot(slot.place, slot.score, slot.source, slot.because, slot.explore, kept)
        for group in self.opened:
            for n, item in group.draw(rng):
                place = int(group.places[item])
                source, because = self.composer.explored_source(place, is_new=bool(group.is_new[item]))
                slots[n] = replace(
                    slots[n],
                    place=place,
                    score=float(self.ranking.relevance[place]),
                    source=source,
                    because=because,
                    explore=True,
                    propensity=float(group.probabilities[item]),
                    replaces=slots[n].place,
                )
        return slots
