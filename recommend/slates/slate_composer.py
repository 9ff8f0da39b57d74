"""Composition of a slate: which item goes into which slot, under quotas, caps and shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.models.score_scaling import KindScale
from firstsight.recommend.slates.exploration import Exploration, explored_slots
from firstsight.recommend.slates.interest_ranking import Ranking
from firstsight.recommend.slates.slate_copies import CopyCodes
from firstsight.recommend.slates.slate_products import SlateProducts, top_places
from firstsight.recommend.slates.slate_settings import SlateSettings
from firstsight.retrieval.ranking.fusion import RRF_K

Source = Literal["recent", "lasting", "long_tail", "neighbours", "popular", "newest", "new", "nearby"]
"""Reason for an item. Ranked items: an interest, similar users, popularity, or its date if there are no events at all.
Explored items: "new" was hardly shown yet, "nearby" is from a cluster next to those of the user."""

_POOL = 10  # candidates by relevance for each slot
_MIN_POOL = 200
_PER_INTEREST = 50
_MAX_AFFINITY_GAP = 0.5  # standard deviations: an item of an interest may be nearer to another one by this much
_MIN_SHARED_COSINE = 0.6  # cosine of two interests from which they share their candidates
_MIN_AFFINITY_SHARE = 0.5  # minimum share of the nearest candidate's affinity, for an item to be of an interest
_MIN_AFFINITY = 1.0  # standard deviations above the mean cosine, for an item to be of an interest at all


@dataclass(frozen=True)
class Slot:
    """One item of a slate.

    Attributes:
        place: its row of the space.
        score: its relevance, in standard deviations of its kind.
        source: the reason for it.
        because: row of the history's item that names the interest: the nearest recent one, or the medoid; -1 for none.
        explore: whether exploration chose it.
        propensity: the probability that this slot holds this item, given the draws before it: share * draw for an
            explored item, and 1 - share for a ranked one.
    """

    place: int
    score: float
    source: Source
    because: int
    explore: bool
    propensity: float


class SlateComposer:
    """Fills the slots of one slate."""

    def __init__(
        self,
        space: ItemSpace,
        kinds: KindScale,
        ranking: Ranking,
        allowed: NDArray[np.bool_],
        settings: SlateSettings,
        *,
        caps: NDArray[np.int64] | None = None,
        products: SlateProducts | None = None,
        exploration: Exploration | None = None,
        copies: CopyCodes | None = None,
        shown_before: Places | None = None,
        rng: np.random.Generator,
    ) -> None:
        """
        Args:
            space: the items.
            kinds: of the items.
            ranking: of the items for this user.
            allowed: (n,) whether an item may be shown to this user now.
            settings: of the slate.
            caps: (n,) the value of the capped column as a number; -1 for no value, which is not capped.
            products: of the items; the slate gets one variant of each. None for every item.
            exploration: None for a slate that only follows the ranking.
            copies: near-duplicates of the items; the slate gets one item of each group. None for every item.
            shown_before: items whose near-duplicates exploration leaves out too.
            rng: chooses the slots that explore.
        """
        self._space, self._ranking, self._allowed, self._settings = space, ranking, allowed, settings
        self._all_kinds = kinds
        self._caps, self._products, self._exploration, self._rng = caps, products, exploration, rng
        self._taken_products: set[int] = set()
        self._taken_caps: dict[int, int] = {}
        self._pool = candidate_pool(ranking, allowed, kinds, settings, products)
        self._vectors = space.vectors[self._pool]
        self._kinds = kinds.codes[self._pool]
        self._value = self._values()
        self._available = np.ones(len(self._pool), dtype=bool)
        self._nearest = np.zeros(len(self._pool), dtype=np.float32)
        self._members = _members(ranking, self._pool)
        self._copies = copies
        self._taken = [] if shown_before is None else [int(place) for place in np.unique(shown_before)]
        self._shown_vectors: list[NDArray[np.float32]] = []

    def fill(self) -> list[Slot]:
        """Fill the slots in order; slots of a kind with too few items are left out."""
        settings = self._settings
        counts = settings.counts()
        kinds = spread(counts, settings.k)
        explored = explored_slots(settings.k, settings.explore if self._exploration else 0.0, self._rng)
        quota_kinds = self._all_kinds.codes_of(counts)
        slots: list[Slot | None] = [None] * settings.k
        general = 1.0 - self._ranking.personal_share
        shares = [general, *(interest.share * self._ranking.personal_share for interest in self._ranking.interests)]
        taken = np.zeros(len(shares))
        for n in [*np.flatnonzero(~explored), *np.flatnonzero(explored)]:
            if explored[n]:
                slots[n] = self._explore(self._allowed & self._of_kind(kinds[n], quota_kinds, self._all_kinds.codes))
            if slots[n] is None:
                slots[n] = self._next(self._of_kind(kinds[n], quota_kinds, self._kinds), np.asarray(shares), taken)
        return [slot for slot in slots if slot is not None]

    def _next(self, fitting: NDArray[np.bool_], shares: NDArray[np.float64], taken: NDArray[np.float64]) -> Slot | None:
        """Take the best remaining item of the interest that is furthest behind its share (Sainte-Laguë)."""
        fitting = fitting & self._available
        if not fitting.any():
            return None
        for group in np.argsort(-shares / (2 * taken + 1), kind="stable"):
            of = fitting if group == 0 else fitting & self._members[group - 1]
            if of.any():
                taken[group] += 1
                break
        diversity = self._settings.diversity
        value = (1 - diversity) * self._value - diversity * self._nearest if diversity else self._value
        best = int(np.argmax(np.where(of, value, -np.inf)))
        place = int(self._pool[best])
        self._take(place)
        source, because = self._find_source(place, int(group) - 1)
        share = self._settings.explore if self._exploration else 0.0
        return Slot(place, float(self._ranking.relevance[place]), source, because, False, 1.0 - share)

    def _explore(self, fitting: NDArray[np.bool_]) -> Slot | None:
        assert self._exploration is not None
        fitting = fitting.copy()
        # the slate has these items already, or their near-duplicates, or their cap is reached
        fitting[self._pool[~self._available]] = False
        while (drawn := self._exploration.draw(fitting)) is not None:
            if self._fits(drawn.place):
                self._take(drawn.place)
                score = float(self._ranking.relevance[drawn.place])
                source: Source = "new" if drawn.is_new else "nearby"
                because = self._find_source(drawn.place, -1)[1]
                return Slot(drawn.place, score, source, because, True, drawn.propensity * self._settings.explore)
        return None

    def _take(self, place: int) -> None:
        """Put an item into the slate, and remove near-duplicates and capped items from the pool."""
        vector = self._space.vectors[place]
        self._shown_vectors.append(vector)
        cosines = self._vectors @ vector
        np.maximum(self._nearest, cosines, out=self._nearest)
        self._available &= cosines < self._settings.near_duplicate
        self._available[self._pool == place] = False
        self._taken.append(place)
        if self._copies is not None:
            codes = self._copies(np.array([place, *self._pool]))
            self._available &= codes[1:] != codes[0]
        if self._caps is not None and self._settings.cap is not None and self._caps[place] >= 0:
            value = int(self._caps[place])
            self._taken_caps[value] = self._taken_caps.get(value, 0) + 1
            if self._taken_caps[value] >= self._settings.cap:
                self._available &= self._caps[self._pool] != value
        if self._products is not None and self._products.codes[place] >= 0:
            product = int(self._products.codes[place])
            self._taken_products.add(product)
            self._available &= self._products.codes[self._pool] != product

    def _fits(self, place: int) -> bool:
        """Whether an item from outside the pool is no variant or copy of the slate's items, and within the cap."""
        if self._products is not None and int(self._products.codes[place]) in self._taken_products:
            return False
        if self._caps is not None and self._settings.cap is not None:
            value = int(self._caps[place])
            if value >= 0 and self._taken_caps.get(value, 0) >= self._settings.cap:
                return False
        if self._copies is not None:
            codes = self._copies(np.array([place, *self._taken]))
            if codes[0] in codes[1:]:
                return False
        vector = self._space.vectors[place]
        return (
            not self._shown_vectors
            or float((np.stack(self._shown_vectors) @ vector).max()) < self._settings.near_duplicate
        )

    def _find_source(self, place: int, interest: int) -> tuple[Source, int]:
        ranking = self._ranking
        if interest < 0 and len(ranking.interests):
            nearest = int(np.argmax(ranking.affinity[:, place]))
            interest = nearest if ranking.affinity[nearest, place] >= _MIN_AFFINITY else -1
            if ranking.popularity[place] > ranking.personal[place]:
                return "popular", -1
        if interest >= 0:
            chosen = ranking.interests[interest]
            if chosen.kind != "recent":
                return chosen.kind, chosen.medoid
            # recent events may have nothing in common, so one name for all of them would explain nothing
            cosines = self._space.vectors[chosen.members] @ self._space.vectors[place]
            return chosen.kind, int(chosen.members[np.argmax(cosines)])
        if ranking.by_newest:
            return "newest", -1
        return ("neighbours" if len(ranking.interests) else "popular"), -1

    def _values(self) -> NDArray[np.float32]:
        """(pool,) relevance from 0 to 1, so that diversity can be weighed against cosines."""
        relevance = self._ranking.relevance[self._pool]
        if self._settings.merge == "rank":
            value = np.zeros(len(relevance), dtype=np.float32)
            for kind in np.unique(self._kinds):
                rows = np.flatnonzero(self._kinds == kind)
                order = rows[np.argsort(-relevance[rows], kind="stable")]
                value[order] = (RRF_K + 1) / (RRF_K + 1 + np.arange(len(rows)))
            return value
        low, high = relevance.min(initial=np.inf), relevance.max(initial=-np.inf)
        return np.asarray((relevance - low) / max(float(high - low), 1e-9), dtype=np.float32)

    def _of_kind(self, kind: str | None, quota_kinds: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        if kind is None:
            return ~np.isin(codes, quota_kinds) if len(quota_kinds) else np.ones(len(codes), dtype=bool)
        code = self._all_kinds.codes_of([kind])
        return np.asarray(codes == code[0]) if len(code) else np.zeros(len(codes), dtype=bool)


def candidate_pool(
    ranking: Ranking,
    allowed: NDArray[np.bool_],
    kinds: KindScale,
    settings: SlateSettings,
    products: SlateProducts | None = None,
) -> Places:
    """Collect the candidates of a slate: the most relevant items of every kind, and the nearest of every interest.

    With `products`, only the best variant of each product counts, so that a product with many fills no pool.
    """
    size = max(_MIN_POOL, _POOL * settings.k)
    by_kind = bool(settings.quotas) or settings.merge == "rank"
    parts = []
    for code in range(len(kinds.names)) if by_kind else [None]:
        fitting = np.flatnonzero(allowed if code is None else allowed & (kinds.codes == code))
        parts.append(top_places(ranking.relevance, fitting, size, products))
    for affinity in ranking.affinity:
        for level in (5.0, 4.0, 3.0, 2.0, -np.inf):  # few items are above a high level, and few are quick to sort
            near = np.flatnonzero(affinity > level)
            near = near[allowed[near]]
            if len(near if products is None else products.first_of_each(near)) >= _PER_INTEREST:
                break
        parts.append(top_places(affinity, near, _PER_INTEREST, products))
    return np.unique(np.concatenate(parts)).astype(np.int64)


def spread(counts: Mapping[str, int], k: int) -> list[str | None]:
    """Choose the kind of each of k slots, spreading kinds evenly (Sainte-Laguë); None for a kind without quota."""
    quotas: dict[str | None, int] = {None: k - sum(counts.values())}
    quotas.update(counts.items())
    taken: dict[str | None, int] = dict.fromkeys(quotas, 0)
    order: list[str | None] = []
    for _ in range(k):
        kind = max(
            (kind for kind in quotas if taken[kind] < quotas[kind]),
            key=lambda kind: quotas[kind] / (2 * taken[kind] + 1),
        )
        taken[kind] += 1
        order.append(kind)
    return order


def _members(ranking: Ranking, places: Places) -> NDArray[np.bool_]:
    """(interests, pool) whether a candidate is of an interest: near to it, and almost as near as to any other.

    Interests in the same direction, such as the last events and the cluster around them, share their candidates.
    """
    affinity = ranking.affinity[:, places]
    if not affinity.size:
        return np.zeros(affinity.shape, dtype=bool)
    vectors = np.stack([interest.vector for interest in ranking.interests])
    shared = vectors @ vectors.T >= _MIN_SHARED_COSINE
    near = affinity >= np.maximum(_MIN_AFFINITY, _MIN_AFFINITY_SHARE * affinity.max(axis=1, keepdims=True))
    best = np.stack([affinity[~same].max(axis=0, initial=-np.inf) for same in shared])
    return np.asarray(near & (affinity >= best - _MAX_AFFINITY_GAP))
