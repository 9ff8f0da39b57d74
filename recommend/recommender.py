"""The protocol of models that rank items for users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class NextItem:
    """A history and the item that came next: one sample of the protocol `next`.

    Attributes:
        history: events before it; may be empty.
        item: row of the space.
    """

    history: History
    item: int


class SelectsOnNextItems(Recommender, Protocol):
    """A recommender that selects settings or weights on validation samples, after `fit` on other events."""

    def select(self, validation: Sequence[NextItem]) -> None:
        """Select on samples that `fit` did not see. Without this call, `fit` must select on its own events."""
