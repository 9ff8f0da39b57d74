"""A recommender that uses the collaborative factors of a blend alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places
from firstsight.recommend.models.blend import Blend
from firstsight.recommend.models.cold_start_model import ColdStartModel


class FactorRecommender:
    """The collaborative part of a blend. Interests already compare content, and comparing it again is slow."""

    name = "factors"

    def __init__(self, model: ColdStartModel | Blend) -> None:
        self._model = model

    def fit(self, train: Interactions) -> None:
        """Fit the model to other events."""
        self._model.fit(train)

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) scores of the factors; those of items without events are mapped from content."""
        return self._model.collaborative(users, candidates)
