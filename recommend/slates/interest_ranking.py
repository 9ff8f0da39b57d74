"""Ranking of all items for a user: interests, neighbours and popularity on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.models.neighbours import ItemNeighbours
from firstsight.recommend.models.score_scaling import KindScale, personal_share
from firstsight.recommend.recommender import Recommender
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.interests import (
    Interest,
    InterestSettings,
    combine_interests,
    lasting_interests,
    recent_interest,
)
from firstsight.recommend.slates.long_tail import long_tail_interests

CONTENT_SHARE = 0.5
"""Weight of content against neighbours: measured on two catalogues, see docs/recommend.md."""

PROFILE_SHARE = 0.5
"""Weight of the mean of a history against the nearest interest: it prefers items that suit the whole history."""

EXACT_ITEMS = 20_000
"""Number of items up to which interests are compared with all items in full."""

DIMENSIONS = 64
"""Principal directions that larger spaces are compared in first."""

EXACT_ITEMS_PER_INTEREST = 300
"""Number of items of each interest that are then compared in full: the nearest by their principal directions."""


@dataclass(frozen=True)
class Ranking:
    """Scores of every item for one user.

    Attributes:
        relevance: (n,) float32 in standard deviations, higher is better: popularity + personal.
        popularity: (n,) the part that is the same for everybody.
        personal: (n,) the user's own part.
        interests: of the user, with shares that sum to 1; none for a user without history.
        affinity: (interests, n) cosines of each interest, in standard deviations of the item's kind.
        personal_share: share of slots for interests: k / (k + 5).
        by_newest: there are no events at all, so the part for everybody is the newness of an item.
    """

    relevance: NDArray[np.float32]
    popularity: NDArray[np.float32]
    personal: NDArray[np.float32]
    interests: Sequence[Interest]
    affinity: NDArray[np.float32]
    personal_share: float
    by_newest: bool = False


class ContentScale:
    """Cosines in standard deviations of an item's kind, from moments that are computed once.

    A narrow interest is near to few items and a broad one to many. Standardised cosines make the nearest items of both
    comparable, and products with videos, too. Above `EXACT_ITEMS`, all items are compared in `DIMENSIONS` principal
    directions first, then the items near an interest in full: reading every vector takes most of the time.
    """

    def __init__(self, space: ItemSpace, kinds: KindScale, *, exact_items: int) -> None:
        self._space, self._codes = space, kinds.codes
        known = space.has_vector
        self._unknown = np.flatnonzero(~known)
        dim = space.vectors.shape[1]
        self._means: list[Vectors] = []
        self._spreads: list[Vectors] = []
        total = np.zeros((dim, dim), dtype=np.float32)
        for code in range(len(kinds.names)):
            rows = space.vectors[known & (kinds.codes == code)]
            mean = rows.mean(axis=0) if len(rows) else np.zeros(dim, np.float32)
            products = rows.T @ rows
            total += products
            self._means.append(mean)
            self._spreads.append(products / max(len(rows), 1) - np.outer(mean, mean))
        self._exact = len(space) <= exact_items or dim <= DIMENSIONS
        self._directions: Vectors = np.linalg.eigh(total)[1][:, ::-1][:, :DIMENSIONS].astype(np.float32)
        self._reduced = np.zeros((0, 0), np.float32) if self._exact else (space.vectors @ self._directions)

    def affinity(self, vectors: Vectors) -> NDArray[np.float32]:
        """Standardised cosines of unit rows (m, dim) with all items: (m, n)."""
        means = np.stack([vectors @ mean for mean in self._means], axis=1)
        variances = np.stack([((vectors @ s) * vectors).sum(axis=1) for s in self._spreads], axis=1)
        spreads = np.sqrt(np.maximum(variances, 1e-8))
        if self._exact:
            affinity = self._scaled(vectors @ self._space.vectors.T, means, spreads, self._codes)
        else:
            affinity = self._scaled((vectors @ self._directions) @ self._reduced.T, means, spreads, self._codes)
            near = np.unique(np.concatenate([_top_places(row, EXACT_ITEMS_PER_INTEREST) for row in affinity]))
            cosines = vectors @ self._space.vectors[near].T
            affinity[:, near] = self._scaled(cosines, means, spreads, self._codes[near])
        affinity[:, self._unknown] = 0.0
        return affinity

    @staticmethod
    def _scaled(
        cosines: NDArray[np.float32], means: NDArray[np.float32], spreads: NDArray[np.float32], codes: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        if means.shape[1] == 1:
            cosines -= means
            cosines /= spreads
        else:
            cosines -= np.take(means, codes, axis=1)
            cosines *= np.take(1 / spreads, codes, axis=1)
        return cosines


class InterestRecommender:
    """Ranks by the user's interests, by the choices of similar users, and by popularity for users with few events.

    Each part is standardised within each kind of item. With k events, the user's own part (neighbours + .5 * content)
    has the weight k / (k + 5) and popularity the rest. Items without events get a collaborative score from `model`;
    without a model, only content scores them.
    """

    name = "interests"

    def __init__(
        self,
        space: ItemSpace,
        *,
        clusters: Clusters | None = None,
        model: Recommender | None = None,
        settings: InterestSettings | None = None,
    ) -> None:
        """
        Args:
            space: the items.
            clusters: of the whole index, for long-tail interests; without them there are no such interests.
            model: a fitted model that scores items without events.
            settings: of interests.
        """
        self.space, self.clusters, self.model = space, clusters, model
        self.settings = settings or InterestSettings()
        self.kinds = KindScale(space.kinds)
        self.counts = np.zeros(len(space), dtype=np.int64)
        self._popularity = np.zeros(len(space), dtype=np.float32)
        self._neighbours: ItemNeighbours | None = None

    def fit(self, train: Interactions) -> None:
        """Take the events for popularity and neighbours; nothing else is fitted."""
        self.counts = train.popularity()
        # the square root evens out the variance of counts. The long tail of plain counts outweighs the user's own part
        # (docs/evaluation.md); the logarithm makes popularity too weak for films
        self._popularity = self.kinds.standardise(np.sqrt(self.counts))
        self._neighbours = ItemNeighbours(train) if len(train) else None

    @cached_property
    def _content(self) -> ContentScale:
        return ContentScale(self.space, self.kinds, exact_items=EXACT_ITEMS)

    @cached_property
    def _newness(self) -> NDArray[np.float32]:
        """(n,) newness of an item within its kind; items of unknown age count as the oldest."""
        return self.kinds.standardise(np.unique(self.space.created, return_inverse=True)[1].astype(np.float64))

    def interests(self, history: History, now_us: int) -> list[Interest]:
        """Find a user's interests, with shares that sum to 1; none if no item of the history has a vector."""
        recent = recent_interest(self.space, history, self.settings)
        lasting = lasting_interests(self.space, history, now_us, self.settings)
        long_tail = long_tail_interests(self.clusters, history, now_us, self.settings) if self.clusters else []
        return combine_interests(recent, lasting, long_tail, self.settings)

    def rank(self, history: History, now_us: int) -> Ranking:
        """Score every item for a user.

        Args:
            history: events of the user; if it is empty, popularity alone decides.
            now_us: microseconds since 1970; ages of events are relative to it.
        """
        n = len(self.space)
        interests = self.interests(history, now_us) if len(history) else []
        affinity = np.zeros((0, n), dtype=np.float32)
        own = np.zeros(n, dtype=np.float32)
        if interests:
            profile = self.space.vectors[history.items].mean(axis=0)
            profile /= max(float(np.linalg.norm(profile)), 1e-9)
            affinity = self._content.affinity(np.stack([*(interest.vector for interest in interests), profile]))
            affinity, profile_affinity = affinity[:-1], affinity[-1]
            own = self.kinds.standardise(affinity.max(axis=0), self.space.has_vector)
            own += PROFILE_SHARE * self.kinds.standardise(profile_affinity, self.space.has_vector)
        if self._neighbours is not None and len(history):
            own *= CONTENT_SHARE
            own += self._collaborative(history)
        share = personal_share(len(history)) if self._neighbours is not None else float(bool(interests))
        personal = share * self.kinds.standardise(own)
        by_newest = self._neighbours is None and not interests
        general = self._newness if by_newest else (1 - share) * self._popularity
        popularity = np.asarray(general, dtype=np.float32)
        return Ranking(popularity + personal, popularity, personal, interests, affinity, share, by_newest)

    def _collaborative(self, history: History) -> NDArray[np.float32]:
        assert self._neighbours is not None
        score = self.kinds.standardise(self._neighbours.score(history))
        cold = self.counts == 0
        if self.model is not None and cold.any():
            places = np.flatnonzero(cold)
            known = np.zeros(len(score), dtype=np.float32)
            known[places] = self.model.scores([history], places)[0]
            score[places] = self.kinds.standardise(known, cold)[places]
        return score

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) relevance, at the time of each user's last event."""
        return np.stack([self.rank(user, _last_event_time(user)).relevance[candidates] for user in users])


def _top_places(values: NDArray[np.float32], m: int) -> NDArray[np.int64]:
    """Indices of the m largest values, in any order. Few standard deviations are large, so few values are sorted."""
    for level in (5.0, 4.0, 3.0, 2.0, 1.0):
        near = np.flatnonzero(values > level)
        if len(near) >= m:
            return np.asarray(near[np.argpartition(-values[near], m - 1)[:m]])
    return np.asarray(np.argpartition(-values, min(m, len(values)) - 1)[:m])


def _last_event_time(history: History) -> int:
    return int(history.times[-1]) if len(history) else 0
