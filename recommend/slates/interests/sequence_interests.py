"""Short- and long-term interests of the sequence model, in its space of projected items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.score_scaling import KindScale
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.recommend.slates.interests.content_scale import ContentScale
from firstsight.recommend.slates.interests.interests import Interest, InterestSettings


class SequenceInterests:
    """Finds the interests of users in the order of their events and searches. It only reads; threads may share it."""

    def __init__(self, space: ItemSpace, kinds: KindScale, model: SequenceRecommender, *, exact_items: int) -> None:
        """
        Args:
            space: the items.
            kinds: of the items.
            model: a trained model on the same items.
            exact_items: number of items up to which affinities are exact; see `ContentScale`.
        """
        self._model = model
        self._space = replace(space, vectors=model.item_vectors())
        self._scale = ContentScale(self._space, kinds, exact_items=exact_items)

    def interests(self, history: History, settings: InterestSettings) -> list[Interest]:
        """Find the short-term and the long-term interest of a user.

        Args:
            history: with at least one event; its searches count for the short-term interest.
            settings: shares of the slots.

        Returns:
            The state after the newest event or search, and the mean of the projected items of the history. Each names
            the item of the history with the highest cosine. Empty if no item of the history has a projected vector.
        """
        members = np.unique(history.items)
        members = members[self._space.has_vector[members]]
        if not len(members):
            return []
        vectors = self._model.user_vectors([history])
        found = []
        for kind, vector, share in (
            ("short_term", vectors.short_term[0], settings.short_term_share),
            ("long_term", vectors.long_term[0], settings.long_term_share),
        ):
            medoid = int(members[int(np.argmax(self._space.vectors[members] @ vector))])
            found.append(Interest(kind, vector, medoid, members, share, projected=True))  # type: ignore[arg-type]
        return found

    def affinity(self, interests: Sequence[Interest]) -> NDArray[np.float32]:
        """(interests, n) cosines of projected interests and items, in standard deviations of the item's kind."""
        return self._scale.affinity(np.stack([interest.vector for interest in interests]))
