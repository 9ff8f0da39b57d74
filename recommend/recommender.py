"""The protocol of models that rank items for users."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places


class Recommender(Protocol):
    """A model that ranks items for users from their events: what evaluation compares."""

    name: str

    def fit(self, train: Interactions) -> None:
        """Learn from events; items of the space without events are cold ones."""

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) how well each candidate suits each user, the higher the better, finite.

        The users need not be those of `fit`; a model folds their events in. An empty history has an answer as well.
        """
