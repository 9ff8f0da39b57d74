"""Ranking of all items for a user by weighted terms, with the interests that give slates their reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.models.score_scaling import KindScale, personal_share
from firstsight.recommend.ranking.item_content import EXACT_ITEMS, ItemContent
from firstsight.recommend.ranking.terms import is_general
from firstsight.recommend.ranking.unfitted_ranking import unfitted_ranking
from firstsight.recommend.ranking.weighted_terms import WeightedTerms
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.interests import (
    Interest,
    InterestSettings,
    combine_interests,
    lasting_interests,
    recent_interest,
)
from firstsight.recommend.slates.long_tail import long_tail_interests

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
        terms: names of the terms.
        contributions: (terms, n) what each term adds to the relevance of an item, relative to the mean item.
    """

    relevance: NDArray[np.float32]
    popularity: NDArray[np.float32]
    personal: NDArray[np.float32]
    interests: Sequence[Interest]
    affinity: NDArray[np.float32]
    personal_share: float
    by_newest: bool = False
    terms: Sequence[str] = ()
    contributions: NDArray[np.float32] | None = None

    def explain(self, place: int) -> dict[str, float]:
        """What each term adds to the relevance of an item, the largest first; they sum to its relevance."""
        if self.contributions is None:
            return {}
        added = dict(zip(self.terms, self.contributions[:, place].tolist(), strict=True))
        return dict(sorted(added.items(), key=lambda term: -abs(term[1])))


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
    """Ranks by weighted terms, and finds the interests of users, which give slates their reasons.

    The weights are those of a fitted ranking, or `unfitted_weights`.
    """

    name = "interests"

    def __init__(
        self,
        space: ItemSpace,
        ranking: WeightedTerms | None = None,
        *,
        clusters: Clusters | None = None,
        settings: InterestSettings | None = None,
    ) -> None:
        """
        Args:
            space: the items.
            ranking: of the items; by default newness and content, without any events.
            clusters: of the whole index, for long-tail interests; without them there are no such interests.
            settings: of interests.
        """
        self.space, self.clusters = space, clusters
        self.settings = settings or InterestSettings()
        self.kinds = KindScale(space.kinds)
        self.ranking = unfitted_ranking(ItemContent(space)) if ranking is None else ranking

    @property
    def counts(self) -> NDArray[np.int64]:
        """(n,) number of users of each item."""
        return self.ranking.terms.counts

    @cached_property
    def _content(self) -> ContentScale:
        return ContentScale(self.space, self.kinds, exact_items=EXACT_ITEMS)

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
        interests = self.interests(history, now_us) if len(history) else []
        affinity = np.zeros((0, len(self.space)), dtype=np.float32)
        if interests:
            affinity = self._content.affinity(np.stack([interest.vector for interest in interests]))
        contributions = self.ranking.contributions(history)
        contributions -= contributions.mean(axis=1, keepdims=True)
        relevance = contributions.sum(axis=0)
        spread = max(float(relevance.std()), 1e-9)
        contributions /= spread
        relevance /= spread
        general = [row for row, name in enumerate(self.ranking.names) if is_general(name)]
        popularity = contributions[general].sum(axis=0)
        any_events = bool(self.counts.any())
        share = personal_share(len(history)) if any_events else float(bool(interests))
        return Ranking(
            relevance,
            popularity,
            relevance - popularity,
            interests,
            affinity,
            share,
            by_newest=not any_events and not interests,
            terms=self.ranking.names,
            contributions=contributions,
        )

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
