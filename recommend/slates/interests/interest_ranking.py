"""Ranking of all items for a user by weighted terms, with the interests that give slates their reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.models.score_scaling import KindScale, personal_share
from firstsight.recommend.ranking.item_content import EXACT_ITEMS, ItemContent
from firstsight.recommend.ranking.terms import is_general
from firstsight.recommend.ranking.unfitted_ranking import unfitted_ranking
from firstsight.recommend.ranking.weighted_terms import WeightedTerms
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.recommend.slates.interests.content_scale import ContentScale
from firstsight.recommend.slates.interests.interests import (
    Interest,
    InterestSettings,
    combine_interests,
    lasting_interests,
    recent_interest,
)
from firstsight.recommend.slates.interests.long_tail import long_tail_interests
from firstsight.recommend.slates.interests.sequence_interests import SequenceInterests


@dataclass(frozen=True)
class Ranking:
    """Scores of every item for one user.

    Attributes:
        relevance: (n,) float32 in standard deviations, higher is better: popularity + personal.
        popularity: (n,) the part that is the same for everybody.
        personal: (n,) the user's own part.
        interests: of the user, with shares that sum to 1; none for a user without history.
        affinity: (interests, n) cosines of each interest, in standard deviations of the item's kind; those of the
            sequence model are compared in its space of projected items.
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
        """Contributions of the terms to the relevance of an item, the largest first; they sum to its relevance."""
        if self.contributions is None:
            return {}
        added = dict(zip(self.terms, self.contributions[:, place].tolist(), strict=True))
        return dict(sorted(added.items(), key=lambda term: -abs(term[1])))


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
        sequence: SequenceRecommender | None = None,
        settings: InterestSettings | None = None,
    ) -> None:
        """
        Args:
            space: the items.
            ranking: of the items; by default newness and content, without any events.
            clusters: of the whole index, for long-tail interests; without them there are no such interests.
            sequence: a trained sequence model, for its short- and long-term interest; without it there are none.
            settings: of interests.
        """
        self.space, self.clusters = space, clusters
        self.settings = settings or InterestSettings()
        self.kinds = KindScale(space.kinds)
        self._sequence = sequence
        self.ranking = unfitted_ranking(ItemContent(space)) if ranking is None else ranking

    @property
    def counts(self) -> NDArray[np.int64]:
        """(n,) number of users of each item."""
        return self.ranking.terms.counts

    @cached_property
    def _content(self) -> ContentScale:
        return ContentScale(self.space, self.kinds, exact_items=EXACT_ITEMS)

    @cached_property
    def _sequence_interests(self) -> SequenceInterests | None:
        if self._sequence is None:
            return None
        return SequenceInterests(self.space, self.kinds, self._sequence, exact_items=EXACT_ITEMS)

    def interests(self, history: History, now_us: int) -> list[Interest]:
        """Find a user's interests, with shares that sum to 1; none if no item of the history has a vector."""
        recent = recent_interest(self.space, history, self.settings)
        lasting = lasting_interests(self.space, history, now_us, self.settings)
        long_tail = long_tail_interests(self.clusters, history, now_us, self.settings) if self.clusters else []
        sequence = self._sequence_interests.interests(history, self.settings) if self._sequence_interests else []
        return combine_interests(recent, lasting, long_tail, self.settings, sequence)

    def rank(self, history: History, now_us: int) -> Ranking:
        """Score every item for a user.

        Args:
            history: events of the user; if it is empty, popularity alone decides.
            now_us: microseconds since 1970; ages of events are relative to it.
        """
        interests = self.interests(history, now_us) if len(history) else []
        affinity = self._affinity(interests)
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

    def _affinity(self, interests: list[Interest]) -> NDArray[np.float32]:
        affinity = np.zeros((len(interests), len(self.space)), dtype=np.float32)
        own = [row for row, interest in enumerate(interests) if not interest.projected]
        projected = [row for row, interest in enumerate(interests) if interest.projected]
        if own:
            affinity[own] = self._content.affinity(np.stack([interests[row].vector for row in own]))
        if projected and self._sequence_interests is not None:
            affinity[projected] = self._sequence_interests.affinity([interests[row] for row in projected])
        return affinity

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) relevance, at the time of each user's last event."""
        return np.stack([self.rank(user, _last_event_time(user)).relevance[candidates] for user in users])


def _last_event_time(history: History) -> int:
    return int(history.times[-1]) if len(history) else 0
