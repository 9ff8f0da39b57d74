"""Slates for users: from the items of a space, the events of all users, and one user's history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.recommend.events.interactions import DAY_US, History, Interactions
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.ranking.item_content import ItemContent
from firstsight.recommend.ranking.unfitted_ranking import unfitted_ranking
from firstsight.recommend.ranking.weighted_terms import WeightedTerms
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.recommend.slates.exploration import Exploration, ExplorationOutcomes
from firstsight.recommend.slates.interests.interest_ranking import InterestRecommender, Ranking
from firstsight.recommend.slates.interests.interests import InterestSettings
from firstsight.recommend.slates.rules.group_limits import GroupRules
from firstsight.recommend.slates.rules.slate_copies import CopyCodes
from firstsight.recommend.slates.rules.slate_products import SlateProducts, top_places
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.recommend.slates.slate_composer import SlateComposer, Slot
from firstsight.recommend.slates.slate_policy import SlatePolicy

NEAREST_EVENTS = 3
"""Number of a user's events nearest to an item that decide how interested the user is in it."""


_MAX_SEEN = 100  # last events whose near-duplicates are left out


@dataclass(frozen=True)
class RankedUser:
    """A user who is probably interested in an item.

    Attributes:
        user: index into `Interactions.user_ids`.
        score: mean cosine of the item and its three nearest events of the user, -1 to 1; missing events count as 0.
        because: row of the nearest event's item.
    """

    user: int
    score: float
    because: int


class SlateMaker:
    """Makes slates over one state of a database. It only reads, so threads may share it."""

    def __init__(
        self,
        space: ItemSpace,
        interactions: Interactions | None = None,
        *,
        clusters: Clusters | None = None,
        ranking: WeightedTerms | None = None,
        sequence: SequenceRecommender | None = None,
        outcomes: ExplorationOutcomes | None = None,
        interest_settings: InterestSettings | None = None,
    ) -> None:
        """
        Args:
            space: the items.
            interactions: events of all users; without them content alone decides.
            clusters: of the index; without them there are no long-tail interests and no exploration.
            ranking: terms and weights that score items; by default fixed weights, see `unfitted_ranking`.
            sequence: the sequence model in use, for its two interests; without it there are none.
            outcomes: of logged exploration.
            interest_settings: settings that divide histories into interests.
        """
        self.space, self.interactions, self.clusters = space, interactions, clusters
        self._outcomes = outcomes or ExplorationOutcomes.none(len(space), len(clusters) if clusters else 0)
        self.recommender = InterestRecommender(
            space,
            unfitted_ranking(ItemContent(space), interactions) if ranking is None else ranking,
            clusters=clusters,
            sequence=sequence,
            settings=interest_settings,
        )
        self._exploration = (
            None if clusters is None else Exploration(space, clusters, self.recommender.counts, self._outcomes)
        )

    def rank(self, history: History, now_us: int) -> Ranking:
        """Score every item for a user; see `InterestRecommender.rank`."""
        return self.recommender.rank(history, now_us)

    def allowed(
        self, history: History, settings: SlateSettings, now_us: int, products: SlateProducts | None = None
    ) -> NDArray[np.bool_]:
        """(n,) whether an item may be shown to a user now: it is showable, and the user has no recent event on it.

        With `products`, events on other variants of the item count too.
        """
        allowed = self.space.showable(now_us, age=settings.age)
        seen = self._seen(history, settings, now_us)
        allowed[seen] = False
        return allowed if products is None else allowed & ~products.variants_of(seen)

    @staticmethod
    def _seen(history: History, settings: SlateSettings, now_us: int) -> Places:
        """Items of the history that may not be shown again yet, the oldest event first."""
        days = settings.repeat_after_days
        return history.items if days is None else history.items[history.times > now_us - days * DAY_US]

    def policy(
        self,
        history: History,
        settings: SlateSettings,
        *,
        now_us: int,
        groups: GroupRules | None = None,
        products: SlateProducts | None = None,
        copies: CopyCodes | None = None,
    ) -> SlatePolicy:
        """Compose the ranked slate of a user, and find what exploration may show in its slots.

        Args:
            history: if it is empty, popular items and, by exploration, new ones.
            settings: of the slate.
            now_us: microseconds since 1970.
            groups: caps and floors; None for none.
            products: of the items; the slate gets one variant of each, and none of the products in the history. None
                for every item.
            copies: near-duplicates of the items; the slate gets one item of each group, and none of the groups in the
                history. None for every item.
        """
        ranking = self.rank(history, now_us)
        allowed = self.allowed(history, settings, now_us, products)
        seen = self._seen(history, settings, now_us)[-_MAX_SEEN:]
        composer = SlateComposer(
            *(self.space, self.recommender.kinds, ranking, allowed, settings),
            groups=groups,
            products=products,
            copies=copies,
            shown_before=seen,
        )
        ranked = composer.fill()
        opened = []
        if settings.explore > 0 and self._exploration is not None:
            opened = self._exploration.open(
                *(history, ranked, composer),
                allowed=allowed,
                personal=ranking.personal,
                settings=settings,
                groups=groups,
                products=products,
                copies=copies,
                shown_before=seen,
            )
        return SlatePolicy(ranked, opened, ranking, composer)

    def slate(
        self,
        history: History,
        settings: SlateSettings,
        *,
        now_us: int,
        rng: np.random.Generator,
        groups: GroupRules | None = None,
        products: SlateProducts | None = None,
        copies: CopyCodes | None = None,
    ) -> tuple[list[Slot], Ranking]:
        """Make a slate: its slots in order, fewer than k if there are too few items, and the ranking behind it.

        Args:
            rng: of exploration; the same state gives the same slate.
            history, settings, now_us, groups, products, copies: as for `policy`.
        """
        policy = self.policy(history, settings, now_us=now_us, groups=groups, products=products, copies=copies)
        return policy.draw(rng), policy.ranking

    def may_be_similar(
        self, place: int, now_us: int, kinds: Iterable[str] = (), products: SlateProducts | None = None
    ) -> NDArray[np.bool_]:
        """(n,) whether an item may be similar to an item: it has a vector and may be shown. Arguments as `similar`."""
        allowed = self.showable(now_us, kinds) & self.space.has_vector
        allowed[place] = False
        return allowed if products is None else allowed & ~products.variants_of(np.array([place]))

    def similar(
        self,
        place: int,
        k: int,
        *,
        now_us: int,
        kinds: Iterable[str] = (),
        near_duplicate: float = 1.0,
        products: SlateProducts | None = None,
    ) -> list[tuple[int, float]]:
        """Find the items with the nearest fused vectors: rows and cosines, best first, without the item itself.

        Args:
            place: row of the item.
            k: maximum number of results.
            now_us: microseconds since 1970; only items that may be shown then.
            kinds: only items of these kinds; all kinds by default.
            near_duplicate: cosine from which two results count as the same; only the nearer one is kept. 1 keeps all.
            products: of the items; one variant of each is found, and none of the item's own product. None for every
                item.
        """
        cosines = self.space.vectors @ self.space.vectors[place]
        allowed = self.may_be_similar(place, now_us, kinds, products)
        fitting = top_places(cosines, np.flatnonzero(allowed), 10 * k + 100, products)
        found: list[int] = []
        for candidate in fitting[np.argsort(-cosines[fitting], kind="stable")]:
            to_results = self.space.vectors[found] @ self.space.vectors[candidate]
            if not len(found) or float(to_results.max()) < near_duplicate or near_duplicate >= 1:
                found.append(int(candidate))
            if len(found) == k:
                break
        return [(result, float(cosines[result])) for result in found]

    def showable(self, now_us: int, kinds: Iterable[str] = (), *, age: int | None = None) -> NDArray[np.bool_]:
        """(n,) whether an item may be shown now and is of one of these kinds; by default of any kind."""
        showable = self.space.showable(now_us, age=age)
        only_kinds = list(kinds)
        if only_kinds:
            showable &= np.isin(self.recommender.kinds.codes, self.recommender.kinds.codes_of(only_kinds))
        return showable

    def rank_users(self, place: int, k: int, content: Vectors | None = None) -> list[RankedUser]:
        """Rank the users who are probably interested in an item, by their events nearest to it, best first.

        Users with an event on the item are left out. Content alone decides, so a new item works as well as a popular
        one.

        Args:
            place: row of the item.
            k: maximum number of users.
            content: (n, d) unit rows to compare; the items' vectors by default.
        """
        events = self.interactions
        if events is None or not len(events):
            return []
        vectors = self.space.vectors if content is None else content
        cosines = vectors @ vectors[place]
        key = np.unique(events.users * len(self.space) + events.items)
        users, items = key // len(self.space), key % len(self.space)
        order = np.lexsort((items, -cosines[items], users))
        users, items = users[order], items[order]
        first = np.searchsorted(users, np.arange(len(events.user_ids)))
        near = np.arange(len(users)) - first[users] < NEAREST_EVENTS
        scores = np.bincount(users[near], weights=cosines[items[near]], minlength=len(first)) / NEAREST_EVENTS
        eligible = np.bincount(users, minlength=len(first)) > 0
        eligible[users[items == place]] = False
        scores[~eligible] = -np.inf
        best = np.argsort(-scores, kind="stable")[: min(k, int(eligible.sum()))]
        return [RankedUser(int(user), float(scores[user]), int(items[first[user]])) for user in best]
