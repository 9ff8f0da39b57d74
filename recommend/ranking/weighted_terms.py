"""Terms and weights together: scores of every item, and what each term adds to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History
from firstsight.recommend.ranking.ranking_weights import RankingWeights
from firstsight.recommend.ranking.terms import ScoreTerms


class WeightedTerms:
    """Terms with their weights: scores and what each term adds to them. It only reads, so threads may share it."""

    def __init__(self, terms: ScoreTerms, weights: RankingWeights) -> None:
        self.terms, self.weights = terms, weights
        self.names: tuple[str, ...] = tuple(name for name in terms.names if name in weights.names)
        self._rows = [row for row, name in enumerate(terms.names) if name in weights.names]

    def contributions(self, history: History) -> NDArray[np.float32]:
        """(terms, n) what each term of `names` adds to the score of every item."""
        values = self.terms.values(history)
        if len(self._rows) < len(values):
            values = values[self._rows]
        for row, name in zip(values, self.names, strict=True):
            row[:] = self.weights.contribution(name, row, self.terms.cold, len(history))
        return values

    def score(self, history: History) -> NDArray[np.float32]:
        """(n,) sums of the contributions: log odds of the next event, up to a constant."""
        return np.asarray(self.contributions(history).sum(axis=0))
