"""How well every item suits a user: interests, neighbours and popularity on one scale."""

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
"""What content counts beside neighbours: measured on two catalogues, see docs/recommend.md."""

PROFILE_SHARE = 0.5
"""What the mean of a history counts beside its nearest interest: it breaks ties in favour of what suits all of it."""

EXACT_ITEMS = 20_000
DIMENSIONS = 64
EXACT_ITEMS_PER_INTEREST = 300
"""Items of each interest that are, the nearest by their principal directions."""


@dataclass(frozen=True)
class Ranking:
    """What one user's history says of every item.

    Attributes:
        relevance: (n,) float32 standard deviations, the higher the better.
        popularity: (n,) the part of it that is everybody's.
        personal: (n,) the part that is the user's own.
        interests: of the user, their shares summing to 1; none for a user without history.
        affinity: (interests, n) each interest's cosines in standard deviations of its kind of item.
        personal_share: of slots that go to interests: k / (k + 5).
        by_newest: nothing is known of anybody, so that the part that is everybody's is how new an item is.
    """

    relevance: NDArray[np.float32]
    popularity: NDArray[np.float32]
    personal: NDArray[np.float32]
    interests: Sequence[Interest]
    affinity: NDArray[np.float32]
    personal_share: float
    by_newest: bool = False


class ContentScale:
    """Cosines in standard deviations of an item's kind, from moments that are taken once.

    A narrow interest is near to few items and a broad one to many: so standardised, the nearest items of both compare,
    and so do products with videos. Above `EXACT_ITEMS`, all items are compared in their `DIMENSIONS` principal
    directions first, and those that come near an interest in full: reading every vector is what takes the time.
    """

    def __init__(self, space: ItemSpace, kinds: KindScale, *, exact_items: int) -> None:
        self._space, self._codes = space, kinds.codes
        known = space.has_vector
        self._unknown = np.flatnonzero(~known)
        dim = space.vectors.shape[1]
        self._means: list[Vectors] = []
        self._spreads: list[Vectors] = []
        whole = np.zeros((dim, dim), dtype=np.float32)
        for code in range(len(kinds.names)):
            rows = space.vectors[known & (kinds.codes == code)]
            mean = rows.mean(axis=0) if len(rows) else np.zeros(dim, np.float32)
            products = rows.T @ rows
            whole += products
            self._means.append(mean)
            self._spreads.append(products / max(len(rows), 1) - np.outer(mean, mean))
        self._exact = len(space) <= exact_items or dim <= DIMENSIONS
        self._directions: Vectors = np.linalg.eigh(whole)[1][:, ::-1][:, :DIMENSIONS].astype(np.float32)
        self._reduced = np.zeros((0, 0), np.float32) if self._exact else (space.vectors @ self._directions)

    def affinity(self, vectors: Vectors) -> NDArray[np.float32]:
        """(m, dim) unit rows to (m, n)."""
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
    """Ranks by a user's interests, by what users like them chose, and by popularity for who is hardly known.

    Each part is standardised within each kind of item. With k events, the user's own part (neighbours + .5 * content)
    counts k / (k + 5) and popularity the rest. Items without events have a collaborative score from `model`, where one
    is given, and content alone where none is.
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
            clusters: of the whole index, for interests that recency loses; none are found without.
            model: a fitted model that knows items without events.
        """
        self.space, self.clusters, self.model = space, clusters, model
        self.settings = settings or InterestSettings()
        self.kinds = KindScale(space.kinds)
        self.counts = np.zeros(len(space), dtype=np.int64)
        self._popularity = np.zeros(len(space), dtype=np.float32)
        self._neighbours: ItemNeighbours | None = None

    def fit(self, train: Interactions) -> None:
        """Take events: popularity is their users, and neighbours are read from them as they are."""
        self.counts = train.popularity()
        # the square root evens out the variance of counts; the plain number's tail outweighs what is known of a user
        # (docs/evaluation.md), and with the logarithm popularity is too weak for films
        self._popularity = self.kinds.standardise(np.sqrt(self.counts))
        self._neighbours = ItemNeighbours(train) if len(train) else None

    @cached_property
    def _content(self) -> ContentScale:
        return ContentScale(self.space, self.kinds, exact_items=EXACT_ITEMS)

    @cached_property
    def _newness(self) -> NDArray[np.float32]:
        """(n,) how new an item is among its kind; items of an unknown age count as the oldest."""
        return self.kinds.standardise(np.unique(self.space.created, return_inverse=True)[1].astype(np.float64))

    def interests(self, history: History, now_us: int) -> list[Interest]:
        """A user's interests, shares summing to 1; none where no item of the history has a vector."""
        recent = recent_interest(self.space, history, self.settings)
        lasting = lasting_interests(self.space, history, now_us, self.settings)
        lost = long_tail_interests(self.clusters, history, now_us, self.settings) if self.clusters else []
        return combine_interests(recent, lasting, lost, self.settings)

    def rank(self, history: History, now_us: int) -> Ranking:
        """Score every item for a user.

        Args:
            history: what is known of the user; may be empty, and then the answer is popularity.
            now_us: microseconds since 1970, from which ages of events count.
        """
        n = len(self.space)
        interests = self.interests(history, now_us) if len(history) else []
        affinity = np.zeros((0, n), dtype=np.float32)
        own = np.zeros(n, dtype=np.float32)
        if interests:
            profile = self.space.vectors[history.items].mean(axis=0)
            profile /= max(float(np.linalg.norm(profile)), 1e-9)
            affinity = self._content.affinity(np.stack([*(one.vector for one in interests), profile]))
            affinity, whole = affinity[:-1], affinity[-1]
            own = self.kinds.standardise(affinity.max(axis=0), self.space.has_vector)
            own += PROFILE_SHARE * self.kinds.standardise(whole, self.space.has_vector)
        if self._neighbours is not None and len(history):
            own *= CONTENT_SHARE
            own += self._collaborative(history)
        share = personal_share(len(history)) if self._neighbours is not None else float(bool(interests))
        personal = share * self.kinds.standardise(own)
        by_newest = self._neighbours is None and not interests
        everybodys = self._newness if by_newest else (1 - share) * self._popularity
        popularity = np.asarray(everybodys, dtype=np.float32)
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
        """(users, candidates) relevance, each as of the user's last event."""
        return np.stack([self.rank(one, _last_event_time(one)).relevance[candidates] for one in users])


def _top_places(values: NDArray[np.float32], m: int) -> NDArray[np.int64]:
    """Places of the m largest, in no order; standard deviations, of which few are large, so that few are sorted."""
    for level in (5.0, 4.0, 3.0, 2.0, 1.0):
        near = np.flatnonzero(values > level)
        if len(near) >= m:
            return np.asarray(near[np.argpartition(-values[near], m - 1)[:m]])
    return np.asarray(np.argpartition(-values, min(m, len(values)) - 1)[:m])


def _last_event_time(history: History) -> int:
    return int(history.times[-1]) if len(history) else 0
