"""Composition of the ranked slate: which item goes into which slot, under quotas, caps, floors and shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.models.score_scaling import KindScale
from firstsight.recommend.slates.interests.interest_ranking import Ranking
from firstsight.recommend.slates.rules.exact_selection import select_exactly
from firstsight.recommend.slates.rules.group_limits import GroupRules
from firstsight.recommend.slates.rules.slate_copies import CopyCodes
from firstsight.recommend.slates.rules.slate_products import SlateProducts
from firstsight.recommend.slates.rules.slate_rules import SlateRules
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.recommend.slates.slate_candidates import (
    MIN_AFFINITY,
    candidate_pool,
    candidate_values,
    interest_members,
)

Source = Literal[
    "recent", "lasting", "long_tail", "short_term", "long_term", "neighbours", "popular", "newest", "new", "nearby"
]
"""Reason for an item. Ranked items: an interest, similar users, popularity, or its date if there are no events at all.
Explored items: "new" was hardly shown yet, "nearby" is from a cluster next to those of the user."""

_WIDER = 4  # factor of the candidates in a next round, if slots stayed empty


@dataclass(frozen=True)
class Slot:
    """One item of a slate.

    Attributes:
        place: its row of the space.
        score: its relevance, in standard deviations above the mean item.
        source: the reason for it.
        because: row of the history's item that names the interest: the nearest recent one, or the medoid; -1 for none.
        explore: whether exploration chose it.
        propensity: the probability that this slot holds this item, for this user at this time: see
            `firstsight.recommend.slates.exploration`.
        replaces: row of the ranked item that exploration overwrote; -1 for a ranked item.
    """

    place: int
    score: float
    source: Source
    because: int
    explore: bool
    propensity: float
    replaces: int = -1


@dataclass(frozen=True)
class RankedSlate:
    """The slate of the ranking alone.

    Attributes:
        slots: in order, at most k.
        kinds: the kind of each slot's quota; None for a slot of a kind without quota.
        missing: number of items that floors lack, by group.
    """

    slots: list[Slot]
    kinds: list[str | None]
    missing: Mapping[str, int]


class SlateComposer:
    """Composes the ranked slate. Nothing is drawn: the same input gives the same slate."""

    def __init__(
        self,
        space: ItemSpace,
        kinds: KindScale,
        ranking: Ranking,
        allowed: NDArray[np.bool_],
        settings: SlateSettings,
        *,
        groups: GroupRules | None = None,
        products: SlateProducts | None = None,
        copies: CopyCodes | None = None,
        shown_before: Places | None = None,
    ) -> None:
        """
        Args:
            space: the items.
            kinds: of the items.
            ranking: of the items for this user.
            allowed: (n,) whether an item may be shown to this user now.
            settings: of the slate.
            groups: caps and floors; None for none.
            products: of the items; the slate gets one variant of each. None for every item.
            copies: near-duplicates of the items; the slate gets one item of each group. None for every item.
            shown_before: items whose near-duplicates the slate does not get.
        """
        self._space, self._ranking, self._allowed, self._settings = space, ranking, allowed, settings
        self._kinds, self._groups, self._products, self._copies = kinds, groups, products, copies
        self._shown_before = np.zeros(0, dtype=np.int64) if shown_before is None else np.unique(shown_before)
        self._slot_kinds = spread(settings.counts(), settings.k)
        self._quota_codes = {int(kinds.codes_of([kind])[0]): kind for kind in settings.counts() if kind in kinds.names}

    def fill(self) -> RankedSlate:
        """Fill the slots in order; slots of a kind with too few items are left out.

        If slots or floors lack items, more candidates are tried, up to all allowed items. If a floor still lacks items,
        because the best items of one group leave no slots for another, the items of the slate are selected together.
        """
        widen = 1
        while True:
            arguments = (self._ranking, self._allowed, self._kinds, self._settings, self._products, self._groups)
            pool = candidate_pool(*arguments, widen=widen)
            candidates = _Candidates(self, pool)
            chosen = candidates.compose()
            if not self._lacks_items(chosen) or not self._can_widen(pool):
                break
            widen *= _WIDER
        if self._groups is not None and self._lacking_floors(chosen):
            capacities = Counter(self._slot_kinds)
            selected = select_exactly(
                *(self._space, pool, candidates.usable, candidates.values, candidates.slot_kinds, capacities),
                groups=self._groups,
                products=self._products,
                copy_codes=candidates.copy_codes,
                near_duplicate=self._settings.near_duplicate,
            )
            again = _Candidates(self, pool).compose(selected)
            if sum(self._lacking_floors(again).values()) < sum(self._lacking_floors(chosen).values()):
                chosen = again
        filled = [
            (kind, place, group) for kind, (place, group) in zip(self._slot_kinds, chosen, strict=True) if place >= 0
        ]
        sources = self._find_sources([place for _, place, _ in filled], [group for _, _, group in filled])
        slots = [
            Slot(place, float(self._ranking.relevance[place]), source, because, False, 1.0)
            for (_, place, _), (source, because) in zip(filled, sources, strict=True)
        ]
        return RankedSlate(slots, [kind for kind, _, _ in filled], self._lacking_floors(chosen))

    def slot_kinds(self, places: Places) -> list[str | None]:
        """The kind of slot that each item fits: its kind if that has a quota, else None."""
        if not self._quota_codes:
            return [None] * len(places)
        return [self._quota_codes.get(code) for code in self._kinds.codes[places].tolist()]

    def explored_source(self, place: int, *, is_new: bool) -> tuple[Source, int]:
        """The reason for an explored item, and the item of the history that is nearest to it in taste."""
        return "new" if is_new else "nearby", self._find_sources([place], [-1])[0][1]

    def _lacks_items(self, chosen: list[tuple[int, int]]) -> bool:
        return any(place < 0 for place, _ in chosen) or bool(self._lacking_floors(chosen))

    def _can_widen(self, pool: Places) -> bool:
        """Whether more items are allowed than the pool has; with products, one variant of each."""
        allowed = np.flatnonzero(self._allowed)
        return len(pool) < len(allowed if self._products is None else self._products.first_of_each(allowed))

    def _lacking_floors(self, chosen: list[tuple[int, int]]) -> dict[str, int]:
        floors = () if self._groups is None else self._groups.floors
        places = [place for place, _ in chosen if place >= 0]
        lacking = {group: slots - int(mask[places].sum()) for group, mask, slots in floors}
        return {group: count for group, count in lacking.items() if count > 0}

    def _find_sources(self, places: list[int], groups: list[int]) -> list[tuple[Source, int]]:
        """The reason for each item; `groups` are the interests that brought them, -1 for the general part."""
        ranking, vectors = self._ranking, self._space.vectors
        found: list[tuple[Source, int]] = []
        if not ranking.interests:
            return [("newest" if ranking.by_newest else "popular", -1)] * len(places)
        affinity = ranking.affinity[:, places]
        nearest, popular = affinity.argmax(axis=0), ranking.popularity[places] > ranking.personal[places]
        near = affinity.max(axis=0) >= MIN_AFFINITY
        members = [n for n, interest in enumerate(ranking.interests) if interest.kind == "recent"]
        # recent events may have nothing in common, so one name for all of them would explain nothing
        recent = {n: vectors[ranking.interests[n].members] @ vectors[places].T for n in members}
        for n, group in enumerate(groups):
            if group < 0 and popular[n]:
                found.append(("popular", -1))
                continue
            interest = group if group >= 0 else int(nearest[n]) if near[n] else -1
            if interest < 0:
                found.append(("newest" if ranking.by_newest else "neighbours", -1))
            elif interest in recent:
                closest = ranking.interests[interest].members[int(recent[interest][:, n].argmax())]
                found.append(("recent", int(closest)))
            else:
                found.append((ranking.interests[interest].kind, ranking.interests[interest].medoid))
        return found


class _Candidates:
    """The candidates of one round, and the slots that they fill."""

    def __init__(self, composer: SlateComposer, pool: Places) -> None:
        settings, space, groups = composer._settings, composer._space, composer._groups
        self._settings, self._pool, self._slots = settings, pool, composer._slot_kinds
        kinds = composer._kinds.codes[pool]
        self.values = candidate_values(composer._ranking.relevance[pool], kinds, settings)
        self.slot_kinds, self._has_quotas = composer.slot_kinds(pool), bool(composer._quota_codes)
        self._gone = bytearray(len(pool))
        self.copy_codes: dict[int, int] | None = None
        if composer._copies is not None:
            codes = composer._copies(np.concatenate([composer._shown_before, pool])).tolist()
            own = codes[len(composer._shown_before) :]
            shown = set(codes[: len(composer._shown_before)])
            self.copy_codes = dict(zip(pool.tolist(), own, strict=True))
            self._gone[:] = bytes(code in shown for code in own)
        self.usable = np.frombuffer(self._gone, dtype=np.uint8) == 0  # no near-duplicate of an item shown before
        self._rules = SlateRules(
            *(space, settings.near_duplicate, settings.k),
            groups=groups,
            products=composer._products,
            copy_codes=self.copy_codes,
        )
        ranking = composer._ranking
        general = 1.0 - ranking.personal_share
        self._shares = np.array([general, *(one.share * ranking.personal_share for one in ranking.interests)])
        self._members = interest_members(ranking, pool)
        self._order = np.argsort(-self.values, kind="stable")
        self._lists: dict[tuple[int, str | None], list[int]] = {}
        self._vectors = space.vectors[pool] if settings.diversity else None
        self._nearest = np.zeros(len(pool), dtype=np.float32)
        self._floors = [] if groups is None else [(mask[pool], slots) for _, mask, slots in groups.floors]
        self._counts = [0] * len(self._floors)  # items that were taken or are reserved, by floor
        self._reserved: list[int] = []  # the best first

    def compose(self, reserved: list[int] | None = None) -> list[tuple[int, int]]:
        """Fill the slots: rows of the space and numbers of interests, -1 for the general part; (-1, -1) for no item.

        Args:
            reserved: candidates that the slate must have; by default the best of those that floors need.
        """
        for candidate in self._needed_by_floors() if reserved is None else reserved:
            self._reserve(candidate)
        left = Counter(self._slots)
        taken = np.zeros(len(self._shares))
        chosen: list[tuple[int, int]] = []
        for kind in self._slots:
            candidate, group = self._next(kind, left[kind], taken)
            left[kind] -= 1
            if candidate < 0:
                chosen.append((-1, -1))
                continue
            taken[group] += 1
            self._take(candidate)
            chosen.append((int(self._pool[candidate]), group - 1))
        return chosen

    def _next(self, kind: str | None, left: int, taken: NDArray[np.float64]) -> tuple[int, int]:
        """The best remaining item of the interest that is furthest behind its share (Sainte-Laguë), and its group."""
        groups = np.argsort(-self._shares / (2 * taken + 1), kind="stable").tolist()
        waiting = [candidate for candidate in self._reserved if self.slot_kinds[candidate] == kind]
        must = len(waiting) >= left
        for group in groups:
            for candidate in self._fitting(group, kind):
                if candidate in waiting or (not must and self._fits(candidate)):
                    return candidate, group
        return (waiting[0], 0) if must and waiting else (-1, -1)

    def _fitting(self, group: int, kind: str | None) -> Iterator[int]:
        """Candidates of an interest for a kind of slot, the best first."""
        if (group, kind) not in self._lists:
            order = self._order if group == 0 else self._order[self._members[group - 1][self._order]]
            fitting = order.tolist()
            if self._has_quotas:
                fitting = [n for n in fitting if self.slot_kinds[n] == kind]
            self._lists[group, kind] = fitting
        candidates, gone = self._lists[group, kind], self._gone
        if self._vectors is not None and candidates:
            diversity, rows = self._settings.diversity, np.array(candidates)
            values = (1 - diversity) * self.values[rows] - diversity * self._nearest[rows]
            candidates = rows[np.argsort(-values, kind="stable")].tolist()
        return (candidate for candidate in candidates if not gone[candidate])

    def _fits(self, candidate: int) -> bool:
        if self._rules.fits(int(self._pool[candidate])):
            return True
        if not self._reserved:  # a reserved item can still be released
            self._gone[candidate] = 1
        return False

    def _take(self, candidate: int) -> None:
        self._gone[candidate] = 1
        place = int(self._pool[candidate])
        if candidate in self._reserved:
            self._reserved.remove(candidate)
        else:
            self._rules.add(place)
            self._count(candidate, 1)
            self._release()
        if self._vectors is not None:
            row = np.flatnonzero(self._pool == place)[0]
            np.maximum(self._nearest, self._vectors @ self._vectors[row], out=self._nearest)

    def _needed_by_floors(self) -> Iterator[int]:
        """The best candidates that fill the floors, those of the smallest group first."""
        capacities = Counter(self._slots)
        for n in sorted(range(len(self._floors)), key=lambda n: int(self._floors[n][0].sum())):
            mask, slots = self._floors[n]
            for candidate in self._order[mask[self._order]].tolist():
                if self._counts[n] >= slots:
                    break
                kind = self.slot_kinds[candidate]
                if (
                    candidate not in self._reserved
                    and capacities[kind]
                    and self._rules.fits(int(self._pool[candidate]))
                ):
                    capacities[kind] -= 1
                    yield candidate

    def _reserve(self, candidate: int) -> None:
        self._rules.add(int(self._pool[candidate]))
        self._count(candidate, 1)
        self._reserved.append(candidate)
        self._reserved.sort(key=lambda n: (-self.values[n], n))

    def _release(self) -> None:
        """Give up the worst reserved item that no floor needs any more."""
        for candidate in reversed(self._reserved):
            floors = zip(self._floors, self._counts, strict=True)
            if all(count - bool(mask[candidate]) >= slots for (mask, slots), count in floors):
                self._reserved.remove(candidate)
                self._rules.remove(int(self._pool[candidate]))
                self._count(candidate, -1)
                return

    def _count(self, candidate: int, change: int) -> None:
        for n, (mask, _) in enumerate(self._floors):
            self._counts[n] += change * bool(mask[candidate])


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
