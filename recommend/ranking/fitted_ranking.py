"""A ranking by weighted terms, as a recommender that fits its weights to held-out next events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places
from firstsight.recommend.models.blend_scoring import BlendSettings
from firstsight.recommend.ranking.held_out_events import hold_out
from firstsight.recommend.ranking.item_content import ItemContent
from firstsight.recommend.ranking.ranking_weights import RankingWeights, TermWeight
from firstsight.recommend.ranking.terms import ScoreTerms, TermModels
from firstsight.recommend.ranking.unfitted_ranking import unfitted_weights
from firstsight.recommend.ranking.weight_fitting import WeightFit, fit_cold_weights
from firstsight.recommend.ranking.weighted_terms import WeightedTerms
from firstsight.recommend.recommender import NextItem, Recommender

MAX_SELECTED = 8_000
"""Maximum number of samples that `FittedRanking.select` fits weights to."""


class FittedRanking:
    """The ranking of `recommend`: terms fitted on events, and weights fitted on next events."""

    name = "recommend"

    def __init__(
        self,
        content: ItemContent,
        choose: Callable[[Interactions], BlendSettings],
        *,
        fit_sequence: Callable[[Interactions], Recommender] | None = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            content: of the items.
            choose: chooses the settings of the blend for events.
            fit_sequence: fits a model of the order of events; without it, there is no such term.
            seed: of everything that is drawn.
        """
        self._content, self._choose, self._fit_sequence, self._seed = content, choose, fit_sequence, seed
        self._train: Interactions | None = None
        self._settings = BlendSettings()
        self._ranking: WeightedTerms | None = None

    def fit(self, train: Interactions) -> None:
        """Take the events. Weights are fitted by `select`, or at the first scores on held-out events of these."""
        self._train, self._ranking = train, None
        self._settings = self._choose(train)

    def select(self, validation: Sequence[NextItem]) -> None:
        """Fit the weights to next events after those of `fit`; of more than `MAX_SELECTED`, this many are drawn.

        Raises:
            QueryError: the model is not fitted, or there are no samples.
        """
        train = self._fitted()
        if not validation:
            raise QueryError("there are no samples to fit weights to; give at least one history with its next item")
        terms = self._terms(train)
        drawn = np.random.default_rng(self._seed).permutation(len(validation))[:MAX_SELECTED]
        samples = [validation[row] for row in np.sort(drawn).tolist()]
        self._ranking = WeightedTerms(terms, self._fit_weights(train, terms, samples))

    @property
    def ranking(self) -> WeightedTerms:
        """The terms and weights; fixed weights if there are too few users to hold some out.

        Raises:
            QueryError: the model is not fitted, or has no events.
        """
        if self._ranking is None:
            train = self._fitted()
            try:
                held = hold_out(train, seed=self._seed)
            except QueryError:  # too few users
                terms = self._terms(train)
                self._ranking = WeightedTerms(terms, unfitted_weights(terms))
                return self._ranking
            earlier = self._terms(held.train)
            weights = self._fit_weights(held.train, earlier, held.samples)
            self._ranking = WeightedTerms(self._terms(train), weights)
        return self._ranking

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) scores.

        Raises:
            QueryError: the model is not fitted, or has no events.
        """
        ranking = self.ranking
        return np.stack([ranking.score(history)[candidates] for history in users])

    def _fit_weights(self, train: Interactions, terms: ScoreTerms, samples: Sequence[NextItem]) -> RankingWeights:
        def fit_cold() -> dict[str, TermWeight]:
            return fit_cold_weights(self._content, train, self._settings, seed=self._seed)

        return WeightFit(terms, samples, fit_cold, seed=self._seed).fit()

    def _fitted(self) -> Interactions:
        if self._train is None:
            raise QueryError("the ranking has no events yet; fit it first")
        return self._train

    def _terms(self, train: Interactions) -> ScoreTerms:
        sequence = None if self._fit_sequence is None else self._fit_sequence(train)
        return ScoreTerms(self._content, train, TermModels.fit(self._content, train, self._settings), sequence=sequence)
