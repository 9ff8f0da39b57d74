"""Cross-fitted model of rewards, for doubly robust estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.items import Places

FOLDS = 5

_PRIOR = 3.0  # expected responses that an item's lift is shrunk by
_PENALTY = 1.0


@dataclass(frozen=True)
class RewardModel:
    """Probability of a response to an item in a slot: ridge regression on the slot's rate, lifts, and the score.

    The rate of a slot is its share of responses. The lift of an item is its responses over those that the rates of its
    slots expect, shrunk towards the lift of its kind. No estimate needs the model to be right: it only makes doubly
    robust estimates more precise.
    """

    rates: NDArray[np.float64]  # (k,)
    lifts: NDArray[np.float64]  # (items,)
    kind_lifts: NDArray[np.float64]  # (items,) lift of the item's kind
    weights: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        slots: NDArray[np.int64],
        places: Places,
        scores: NDArray[np.float64],
        rewards: NDArray[np.float64],
        *,
        kinds: NDArray[np.int64],
        k: int,
    ) -> RewardModel:
        """Fit to shown items.

        Args:
            slots, places, scores, rewards: (n,) of the shown items.
            kinds: (items,) kind of every item, as a number.
            k: number of slots.
        """
        overall = float(rewards.mean()) if len(rewards) else 0.0
        shown = np.bincount(slots, minlength=k)
        rates = (np.bincount(slots, weights=rewards, minlength=k) + _PRIOR * overall) / (shown + _PRIOR)
        expected = np.bincount(places, weights=rates[slots], minlength=len(kinds))
        got = np.bincount(places, weights=rewards, minlength=len(kinds))
        by_kind = (np.bincount(kinds, weights=got) + _PRIOR) / (np.bincount(kinds, weights=expected) + _PRIOR)
        kind_lifts = by_kind[kinds]
        lifts = (got + _PRIOR * kind_lifts) / (expected + _PRIOR)
        # an item's own response must not explain itself
        left = np.maximum(expected[places] - rates[slots], 0)
        others = (got[places] - rewards + _PRIOR * kind_lifts[places]) / (left + _PRIOR)
        x = _features(rates[slots], others, kind_lifts[places], scores)
        gram = x.T @ x + _PENALTY * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, x.T @ rewards)
        return cls(rates, lifts, kind_lifts, np.asarray(weights, dtype=np.float64))

    def predict(self, slots: NDArray[np.int64], places: Places, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected reward of items in slots, 0 to 1; arguments broadcast."""
        rates = self.rates[np.minimum(slots, len(self.rates) - 1)]
        x = _features(rates, self.lifts[places], self.kind_lifts[places], scores)
        return np.asarray(np.clip(x @ self.weights, 0.0, 1.0))


def _features(
    rates: NDArray[np.float64], lifts: NDArray[np.float64], kinds: NDArray[np.float64], scores: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rate of the slot, alone and times the lifts and the score, which is cut at five standard deviations."""
    rates, lifts, kinds, scores = np.broadcast_arrays(rates, lifts, kinds, np.clip(scores, -5, 5))
    return np.stack([rates, rates * lifts, rates * kinds, rates * scores, scores / 100], axis=-1)
