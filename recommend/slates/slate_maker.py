"""Slates for users: a space of items, what is known of everybody, and one user's history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import DAY_US, History, Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.recommender import Recommender
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.exploration import Exploration, ExplorationOutcomes
from firstsight.recommend.slates.interest_ranking import InterestRecommender, Ranking
from firstsight.recommend.slates.interests import InterestSettings
from firstsight.recommend.slates.slate_composer import SlateComposer, Slot
from firstsight.recommend.slates.slate_settings import SlateSettings

NEAREST_EVENTS = 3
"""Events nearest to an item that say how much a user would want it."""


@dataclass(frozen=True)
class RankedUser:
    """A user who would want an item.

    Attributes:
        user: place in `Interactions.user_ids`.
        score: mean cosine of the item to the three events nearest to it, -1 to 1; fewer events count as cosine 0.
        because: the place of the nearest.
    """

    user: int
    score: float
    because: int


class SlateMaker:
    """Makes slates over one state of a database; reading only, so that threads may share it."""

    def __init__(
        self,
        space: ItemSpace,
        interactions: Interactions | None = None,
        *,
        clusters: Clusters | None = None,
        model: Recommender | None = None,
        outcomes: ExplorationOutcomes | None = None,
        interest_settings: InterestSettings | None = None,
    ) -> None:
        """
        Args:
            interactions: everybody's events; without them content alone decides.
            clusters: of the index: for long-tail interests and exploration, which there is none of without.
            model: a fitted model that scores items without events.
            outcomes: what logged exploration came to.
        """
        self.space, self.interactions, self.clusters = space, interactions, clusters
        self._outcomes = outcomes or ExplorationOutcomes.none(len(space), len(clusters) if clusters else 0)
        self.recommender = InterestRecommender(space, clusters=clusters, model=model, settings=interest_settings)
        if interactions is not None and len(interactions):
            self.recommender.fit(interactions)

    def rank(self, history: History, now_us: int) -> Ranking:
        """How well every item suits a user; see `InterestRecommender.rank`."""
        return self.recommender.rank(history, now_us)

    def allowed(self, history: History, settings: SlateSettings, now_us: int) -> NDArray[np.bool_]:
        """(n,) what may be shown to a user now: showable items that the user has not just had to do with."""
        allowed = self.space.showable(now_us, age=settings.age)
        days = settings.repeat_after_days
        seen = history.items if days is None else history.items[history.times > now_us - days * DAY_US]
        allowed[seen] = False
        return allowed

    def slate(
        self,
        history: History,
        settings: SlateSettings,
        *,
        now_us: int,
        rng: np.random.Generator,
        caps: NDArray[np.int64] | None = None,
    ) -> tuple[list[Slot], Ranking]:
        """The slots of a slate in order, fewer than k where items are too few; and the ranking they were taken from.

        Args:
            history: may be empty: popular items, and new ones by exploration.
            now_us: microseconds since 1970.
            rng: of exploration; the same state gives the same slate.
            caps: (n,) the value of the capped column as a number, -1 for none.
        """
        ranking = self.rank(history, now_us)
        allowed = self.allowed(history, settings, now_us)
        exploration = None
        if settings.explore > 0 and self.clusters is not None:
            exploration = Exploration.open(
                self.clusters,
                history,
                allowed=allowed,
                counts=self.recommender.counts,
                personal=ranking.personal,
                outcomes=self._outcomes,
                rng=rng,
            )
        composer = SlateComposer(
            *(self.space, self.recommender.kinds, ranking, allowed, settings),
            caps=caps,
            exploration=exploration,
            rng=rng,
        )
        return composer.fill(), ranking

    def similar(
        self, place: int, k: int, *, now_us: int, kinds: Iterable[str] = (), near_duplicate: float = 1.0
    ) -> list[tuple[int, float]]:
        """What sits next to an item by content alone: places and cosines, best first, itself left out.

        Args:
            kinds: only these; any where there are none.
            near_duplicate: the cosine from which two of them show the same, and only the nearer one stays.
        """
        cosines = self.space.vectors @ self.space.vectors[place]
        allowed = self.space.showable(now_us) & self.space.has_vector
        allowed[place] = False
        wanted = list(kinds)
        if wanted:
            allowed &= np.isin(self.recommender.kinds.codes, self.recommender.kinds.codes_of(wanted))
        fitting = np.flatnonzero(allowed)
        size = min(len(fitting), 10 * k + 100)
        fitting = fitting[np.argpartition(-cosines[fitting], size - 1)[:size]] if size else fitting
        found: list[int] = []
        for one in fitting[np.argsort(-cosines[fitting], kind="stable")]:
            beside = self.space.vectors[found] @ self.space.vectors[one]
            if not len(found) or float(beside.max()) < near_duplicate or near_duplicate >= 1:
                found.append(int(one))
            if len(found) == k:
                break
        return [(one, float(cosines[one])) for one in found]

    def rank_users(self, place: int, k: int) -> list[RankedUser]:
        """The users who would want an item, by the events of theirs that are nearest to it, best first.

        Users who have had to do with the item already are left out. Content alone decides, so that an item nobody has
        clicked is answered as one that everybody has.
        """
        events = self.interactions
        if events is None or not len(events):
            return []
        cosines = self.space.vectors @ self.space.vectors[place]
        key = np.unique(events.users * len(self.space) + events.items)
        users, items = key // len(self.space), key % len(self.space)
        order = np.lexsort((items, -cosines[items], users))
        users, items = users[order], items[order]
        first = np.searchsorted(users, np.arange(len(events.user_ids)))
        near = np.arange(len(users)) - first[users] < NEAREST_EVENTS
        scores = np.bincount(users[near], weights=cosines[items[near]], minlength=len(first)) / NEAREST_EVENTS
        asked = np.bincount(users, minlength=len(first)) > 0
        asked[users[items == place]] = False
        scores[~asked] = -np.inf
        best = np.argsort(-scores, kind="stable")[: min(k, int(asked.sum()))]
        return [RankedUser(int(user), float(scores[user]), int(items[first[user]])) for user in best]
