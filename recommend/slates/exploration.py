"""Exploration: some slots of a ranked slate are overwritten by new items, or by items of clusters next to the user's.

The ranked slate of k slots is composed first, and nothing that is drawn changes it. A slot that explores shows another
item in place of its ranked one; every other slot keeps its item. Everything below is computed before anything is drawn:

1. Open items. New items of the user's clusters and all items of the clusters next to them, the best of each cluster.
   An open item fits the whole ranked slate and all other open items: no cap could be broken, none is a variant or a
   near-duplicate of another. So any set of open items can be shown together.
2. Open slots. Slots that hold a floor do not explore. The others are grouped by the kind of their quota.
3. Shares of the open items of a group, q_i, sum to 1: the cluster's Thompson share over the number of its open items.

Then, for each group with s slots, the number of exploring slots is m = floor(s * explore + u) with u uniform in [0, 1).
Item i is drawn with probability pi_i(m) = min(1, lambda * q_i), where lambda makes the sum m, by systematic sampling
(Madow 1949), which draws exactly m different items. They go to m random slots in random order. By symmetry,

    P(slot n holds item i) = sum over m of P(m) * pi_i(m) / s,
    P(slot n holds its ranked item) = 1 - sum over i of P(slot n holds item i).

These marginal probabilities are the propensities: exact, given the user's context, and not dependent on other draws. An
open item is never in the ranked slate, so no item has a second way into a slot. With nothing open the ranked item
stays, with probability 1.

Estimates from such logs: the sum over slots of reward * P_target(item) / propensity has the target's value as its
expectation, by linearity, however the draws of different slots depend on each other, if the reward of a slot depends on
its item and not on the other slots' items. The dependence only enters the variance: errors are computed over users.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.rules.group_limits import GroupRules
from firstsight.recommend.slates.rules.slate_copies import CopyCodes
from firstsight.recommend.slates.rules.slate_products import SlateProducts
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.recommend.slates.slate_composer import RankedSlate, SlateComposer

NEIGHBOURS = 3
"""Number of nearest clusters that are open to exploration, for each of the user's own clusters."""

MAX_NEW_ITEM_SLOTS = 100
"""Number of slots after which an item without events is no longer new."""

ITEMS_PER_CLUSTER = 10
"""Maximum number of open items of a cluster: those that suit the user best, with equal chances."""

MAX_OPEN_ITEMS = 200
"""Number of open items from which each cluster gives fewer, but at least two."""

DRAWS = 256
"""Draws from the posterior of every cluster. A cluster's share is its share of wins; one more draw is shared equally,
so that no open item has probability 0."""

COMPARED_DIMENSIONS = 64
"""Coordinates by which open items are compared first."""

_POSTERIOR_SEED = 1  # fixed: propensities must not depend on draws that no log has


@dataclass(frozen=True)
class ExplorationOutcomes:
    """Outcomes of earlier exploration.

    Attributes:
        shown: (n,) number of logged slots with each item, in any slate.
        successes, failures: (clusters,) number of explored slots whose item the user did or did not respond to.
    """

    shown: NDArray[np.int64]
    successes: NDArray[np.int64]
    failures: NDArray[np.int64]

    @classmethod
    def none(cls, items: int, clusters: int) -> ExplorationOutcomes:
        """Outcomes before anything was logged."""
        return cls(*(np.zeros(n, dtype=np.int64) for n in (items, clusters, clusters)))


@dataclass(frozen=True)
class OpenGroup:
    """Slots of one kind that may explore, and the items that are open to them.

    Attributes:
        slots: (s,) numbers of the slots.
        places: (o,) rows of the open items.
        is_new: (o,) whether an item has no events and was hardly shown.
        shares: (o,) q_i, positive; they sum to 1.
        explore: share of slots that explore.
    """

    slots: NDArray[np.int64]
    places: Places
    is_new: NDArray[np.bool_]
    shares: NDArray[np.float64]
    explore: float

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """(o,) the probability that a slot of the group holds each item; the same for all its slots."""
        expected = len(self.slots) * self.explore
        fewer = int(np.floor(expected))
        more = expected - fewer
        mixed = (1 - more) * inclusion(self.shares, fewer) + more * inclusion(self.shares, fewer + 1)
        return np.asarray(mixed / len(self.slots))

    @cached_property
    def ranked_probability(self) -> float:
        """The probability that a slot of the group keeps its ranked item."""
        return max(0.0, 1.0 - float(self.probabilities.sum()))

    def draw(self, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Draw the slots that explore and their items: pairs of a slot and an index into `places`."""
        count = int(np.floor(len(self.slots) * self.explore + rng.random()))
        if not count:
            return []
        order = rng.permutation(len(self.places))
        ends = np.cumsum(inclusion(self.shares, count)[order])
        points = rng.random() + np.arange(round(float(ends[-1])))
        drawn = order[np.minimum(np.searchsorted(ends, points, side="right"), len(order) - 1)]
        slots = rng.permutation(self.slots)[: len(drawn)]
        return list(zip(slots.tolist(), rng.permutation(drawn).tolist(), strict=True))


def inclusion(shares: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Probabilities min(1, lambda * share) that sum to `count`, or to the number of items if that is smaller."""
    if count >= len(shares):
        return np.ones(len(shares))
    certain = np.zeros(len(shares), dtype=bool)
    while True:
        factor = (count - certain.sum()) / max(float(shares[~certain].sum()), 1e-300)
        probabilities = np.where(certain, 1.0, shares * factor)
        beyond = probabilities > 1
        if not beyond.any():
            return np.asarray(probabilities)
        certain |= beyond


class Exploration:
    """Open items of the slates over one state of a database. Threads may share it.

    A cluster's success rate has a Beta(1 + successes, 1 + failures) posterior. Source: Chapelle and Li, "An Empirical
    Evaluation of Thompson Sampling", NeurIPS 2011. The choice probabilities have no closed form. Here they are the
    shares of `DRAWS` draws that each cluster wins, and a cluster is drawn with exactly these shares.
    """

    def __init__(self, space: ItemSpace, clusters: Clusters, counts: NDArray[np.int64], outcomes: ExplorationOutcomes):
        """
        Args:
            space: the items.
            clusters: of the items.
            counts: (n,) number of users of each item.
            outcomes: of earlier exploration.
        """
        self._space, self._clusters, self._outcomes = space, clusters, outcomes
        self._new = (counts == 0) & (outcomes.shown < MAX_NEW_ITEM_SLOTS)

    @cached_property
    def _rates(self) -> NDArray[np.float64]:
        """(clusters, draws) draws from the posterior success rates."""
        good, bad = self._outcomes.successes, self._outcomes.failures
        rng = np.random.default_rng(_POSTERIOR_SEED)
        return np.ascontiguousarray(rng.beta(1 + good, 1 + bad, (DRAWS, len(self._clusters))).T)

    @cached_property
    def _members(self) -> list[Places]:
        """Items of each cluster, in ascending order."""
        order = np.argsort(self._clusters.labels, kind="stable")
        ends = np.searchsorted(self._clusters.labels[order], np.arange(len(self._clusters) + 1))
        return [order[start:end] for start, end in pairwise(ends)]

    @cached_property
    def _new_members(self) -> list[Places]:
        return [places[self._new[places]] for places in self._members]

    def open(
        self,
        history: History,
        ranked: RankedSlate,
        composer: SlateComposer,
        *,
        allowed: NDArray[np.bool_],
        personal: NDArray[np.float32],
        settings: SlateSettings,
        groups: GroupRules | None = None,
        products: SlateProducts | None = None,
        copies: CopyCodes | None = None,
        shown_before: Places | None = None,
    ) -> list[OpenGroup]:
        """Find the slots that may explore, and their open items.

        Args:
            history: of the user; if it is empty, new items of all clusters are open.
            ranked: the ranked slate.
            composer: of the ranked slate.
            allowed: (n,) whether an item may be shown to this user.
            personal: (n,) the user's own scores.
            settings: of the slate.
            groups: caps and floors.
            products: of the items; no variant of a product of the slate is open.
            copies: near-duplicates of the items; none of an item of the slate is open.
            shown_before: items whose near-duplicates are not open either.
        """
        slots = _free_slots(ranked, groups)
        if not len(slots) or not settings.explore:
            return []
        places = self._candidates(history, allowed, personal, int(np.ceil(2 * settings.k * settings.explore)))
        places = places[~np.isin(places, [slot.place for slot in ranked.slots])]
        fitting = self._fitting(places, ranked, settings, groups, products, copies, shown_before)
        kinds, slot_kinds = np.array(composer.slot_kinds(fitting)), np.array(ranked.kinds)[slots]
        opened = []
        for kind in dict.fromkeys(ranked.kinds):
            own, of_kind = fitting[kinds == kind], slots[slot_kinds == kind]
            if len(own) and len(of_kind):
                opened.append(OpenGroup(of_kind, own, self._new[own], self._shares(own), settings.explore))
        return opened

    def _candidates(
        self, history: History, allowed: NDArray[np.bool_], personal: NDArray[np.float32], needed: int
    ) -> Places:
        """New items of the user's clusters and all items of the clusters next to them: the best of each, best first."""
        labels = np.unique(self._clusters.labels[history.items])
        own = labels[labels >= 0].tolist() if len(history) else list(range(len(self._clusters)))
        near = set(self._clusters.nearest[own, :NEIGHBOURS].ravel().tolist()) - set(own) if len(history) else set()
        parts = [self._new_members[label] for label in own] + [self._members[label] for label in sorted(near)]
        parts = [part for part in parts if len(part)]
        if not parts:
            return np.zeros(0, dtype=np.int64)
        places = np.concatenate(parts)
        losses = np.where(allowed[places], -personal[places], np.inf)
        starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
        clusters = int((np.minimum.reduceat(losses, starts[:-1]) < np.inf).sum())
        size = min(max(ITEMS_PER_CLUSTER, needed), max(MAX_OPEN_ITEMS, 2 * needed) // max(clusters, 1))
        size = max(size, 2)
        rows = [
            start + losses[start:end].argpartition(size)[:size] if end - start > size else np.arange(start, end)
            for start, end in pairwise(starts)
        ]
        chosen = np.concatenate(rows)
        chosen = chosen[losses[chosen] < np.inf]
        return np.asarray(places[chosen[np.argsort(losses[chosen], kind="stable")]])

    def _fitting(
        self,
        places: Places,
        ranked: RankedSlate,
        settings: SlateSettings,
        groups: GroupRules | None,
        products: SlateProducts | None,
        copies: CopyCodes | None,
        shown_before: Places | None,
    ) -> Places:
        """The items that fit the ranked slate and each other; of two that do not, the better one or none."""
        shown = np.array([slot.place for slot in ranked.slots], dtype=np.int64)
        places = places[~self._is_near(shown, places, settings.near_duplicate)]
        if copies is not None and len(places):
            before = shown if shown_before is None else np.concatenate([shown, np.unique(shown_before)])
            codes = copies(np.concatenate([before, places]))
            own = codes[len(before) :]
            places = places[(_earlier_equal(own) == 0) & ~np.isin(own, codes[: len(before)])]
        if products is not None:
            own = products.codes[places]
            places = places[(own < 0) | ((_earlier_equal(own) == 0) & ~np.isin(own, products.codes[shown]))]
        for cap_codes, most in () if groups is None else groups.caps:
            own, taken = cap_codes[places], cap_codes[shown]
            counts = np.bincount(taken[taken >= 0], minlength=int(own.max(initial=-1)) + 1)
            places = places[(own < 0) | (counts[own] + _earlier_equal(own) < most)]
        return places

    def _is_near(self, shown: Places, places: Places, near_duplicate: float) -> NDArray[np.bool_]:
        """(p,) whether an item is a near-duplicate of a shown one, or of an earlier one that is none of those.

        For unit vectors, the product of some coordinates bounds the product of the others (Cauchy and Schwarz), so few
        items have to be compared in full.
        """
        every = np.concatenate([shown, places])
        some = self._space.vectors[:, :COMPARED_DIMENSIONS][every]
        left = np.maximum(1 - np.einsum("nd,nd->n", some, some), 0)
        bounded = np.concatenate([some, np.sqrt(left)[:, None]], axis=1)
        bounds = bounded @ bounded.T
        np.fill_diagonal(bounds, -1)
        suspects = np.flatnonzero(bounds.max(axis=1, initial=-1) >= near_duplicate - 1e-4)  # room for rounding
        is_near = np.zeros(len(every), dtype=bool)
        if len(suspects):
            vectors = self._space.vectors[every[suspects]]
            same = vectors @ vectors.T >= near_duplicate
            first = int(np.searchsorted(suspects, len(shown)))
            to_shown = same[first:, :first].any(axis=1)
            to_earlier = np.triu(same[first:, first:], 1)[~to_shown].any(axis=0)
            is_near[suspects[first:]] = to_shown | to_earlier
        return is_near[len(shown) :]

    def _shares(self, places: Places) -> NDArray[np.float64]:
        """(o,) shares of open items: the Thompson share of the cluster, divided among its items."""
        own = self._clusters.labels[places]
        counts = np.bincount(own)
        labels = np.flatnonzero(counts)
        rates = self._rates[labels]
        wins = (rates == rates.max(axis=0)).sum(axis=1) + 1 / len(labels)  # no two draws are equal
        shares = np.zeros(len(counts))
        shares[labels] = wins / wins.sum() / counts[labels]
        return shares[own]


def _earlier_equal(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) number of equal codes before each one."""
    order = np.argsort(codes, kind="stable")
    arranged = codes[order]
    first = np.searchsorted(arranged, arranged)
    counts = np.empty(len(codes), dtype=np.int64)
    counts[order] = np.arange(len(codes)) - first
    return counts


def _free_slots(ranked: RankedSlate, groups: GroupRules | None) -> NDArray[np.int64]:
    """Slots that may explore: the last items that fill a floor stay."""
    held: set[int] = set()
    places = np.array([slot.place for slot in ranked.slots], dtype=np.int64)
    for _, mask, slots in () if groups is None else groups.floors:
        members = np.flatnonzero(mask[places]).tolist() if len(places) else []
        already = sum(n in held for n in members)
        free = [n for n in members if n not in held]
        held.update(free[::-1][: max(slots - already, 0)])
    return np.array([n for n in range(len(ranked.slots)) if n not in held], dtype=np.int64)
