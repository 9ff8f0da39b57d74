"""The ranking with fixed weights as a recommender, so that evaluations show what a fit changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places
from firstsight.recommend.models.blend import Blend
from firstsight.recommend.ranking.item_content import ItemContent
from firstsight.recommend.ranking.unfitted_ranking import unfitted_ranking
from firstsight.recommend.ranking.weighted_terms import WeightedTerms


class UnfittedRecommender:
    """The ranking that `recommend` shows while no fitted ranking is in use, with a cold-start model."""

    name = "fixed weights"

    def __init__(self, content: ItemContent, fit_blend: Callable[[Interactions], Blend]) -> None:
        """
        Args:
            content: of the items.
            fit_blend: fits the blend whose factors rank cold items.
        """
        self._content, self._fit_blend = content, fit_blend
        self._ranking: WeightedTerms | None = None

    def fit(self, train: Interactions) -> None:
        """Count events and fit the blend; the weights stay."""
        self._ranking = unfitted_ranking(self._content, train, blend=self._fit_blend(train))

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) scores.

        Raises:
            QueryError: the model is not fitted.
        """
        if self._ranking is None:
            raise QueryError("the ranking has no events yet; fit it first")
        ranking = self._ranking
        return np.stack([ranking.score(history)[candidates] for history in users])
