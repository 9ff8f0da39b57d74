"""Weights of a ranking: how much each score term counts, for warm and for cold items, by the length of a history."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.models.score_scaling import personal_share
from firstsight.records import Record

COLD_PRIOR = "cold prior"
"""Term of cold items with the value 1: its weight stands for the popularity that a cold item does not have."""


@dataclass(frozen=True)
class TermWeight(Record):
    """Weight of one term: `base + by_share * k / (k + 5)` for a history of k events."""

    base: float
    by_share: float = 0.0

    def at(self, events: int) -> float:
        """The weight for a history of so many events."""
        return self.base + self.by_share * personal_share(events)


@dataclass(frozen=True)
class RankingWeights(Record):
    """Weights of the terms of a ranking, by the term's name. A term without a weight does not count.

    Attributes:
        warm: for items with events.
        cold: for items without events; `COLD_PRIOR` places them among the warm ones.
    """

    warm: Mapping[str, TermWeight] = field(default_factory=dict)
    cold: Mapping[str, TermWeight] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The terms that have a weight, in the order of `warm`, then those of `cold` alone."""
        return tuple(dict.fromkeys([*self.warm, *self.cold]))

    def contribution(
        self, name: str, values: NDArray[np.float32], cold: NDArray[np.bool_], events: int
    ) -> NDArray[np.float32]:
        """Weigh one term: (n,) what it adds to the score of each item.

        Args:
            name: of the term.
            values: (n,) of the term.
            cold: (n,) whether an item has no events.
            events: number of events of the history.
        """
        none = TermWeight(0.0)
        warm_weight, cold_weight = (of.get(name, none).at(events) for of in (self.warm, self.cold))
        return values * np.where(cold, np.float32(cold_weight), np.float32(warm_weight))

    def to_json(self) -> str:
        """The weights as JSON; `from_json` reads it."""
        return json.dumps(
            {part: {name: asdict(weight) for name, weight in getattr(self, part).items()} for part in ("warm", "cold")}
        )

    @classmethod
    def from_json(cls, text: str) -> RankingWeights:
        """Read weights.

        Raises:
            ValueError: the text is no JSON of weights, or a weight is not finite.
        """
        read = json.loads(text)
        if not isinstance(read, dict) or set(read) != {"warm", "cold"}:
            raise ValueError("weights have the parts warm and cold")
        return cls(_weights(read["warm"]), _weights(read["cold"]))


def _weights(read: Any) -> dict[str, TermWeight]:
    if not isinstance(read, dict):
        raise ValueError("weights are an object with a weight for each term")
    weights = {}
    for name, weight in read.items():
        if not isinstance(weight, dict) or set(weight) != {"base", "by_share"}:
            raise ValueError(f"the weight of {name!r} is no pair of base and by_share")
        values = {part: float(value) for part, value in weight.items() if isinstance(value, (int, float))}
        if len(values) < 2 or not all(map(math.isfinite, values.values())):
            raise ValueError(f"the weight of {name!r} is not finite")
        weights[str(name)] = TermWeight(**values)
    return weights
