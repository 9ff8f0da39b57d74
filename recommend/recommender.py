"""The protocol of models that rank items for users."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places


class Recommender(Protocol):
    """A model that ranks items for users by their events; evaluations compare recommenders."""

    name: str

    def fit(self, train: Interactions) -> None:
        """Learn from events. Items of the space without events are cold items."""

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """Score each candidate for each user: (users, candidates) finite numbers, higher is better.

        The users may be unknown to `fit`: a model folds their events in. A user with an empty history has scores, too.
        """
