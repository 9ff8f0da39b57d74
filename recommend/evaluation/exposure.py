"""Fairness of exposure: the share of the slots of rankings that each group of items gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.evaluation.measures import cluster_bootstrap
from firstsight.recommend.items import ItemSpace, Places
from firstsight.records import Record
from firstsight.storage.item_values import ItemValue, find_item_values, known_values, read_item_values
from firstsight.storage.store import Store

MAX_GROUPS = 20
"""Maximum number of groups of a column that are reported on their own, the largest ones; the rest is `OTHER`."""

OTHER, NO_VALUE = "other", "no value"
NEW_ITEMS, KIND, SELLER = "new items", "kind", "seller"

DEFAULT_COLUMNS = (SELLER, "language", "category")
"""Columns, facts and tags that are measured by default, if they exist."""


@dataclass(frozen=True, eq=False)
class ItemGroups:
    """One way to divide the items of a space into groups.

    Attributes:
        name: column of the catalogue, "kind", or "new items".
        groups: (g,) names.
        codes: (items,) int64, index of each item's group.
    """

    name: str
    groups: tuple[str, ...]
    codes: NDArray[np.int64]

    @classmethod
    def by_value(cls, name: str, values: Sequence[object], *, max_groups: int = MAX_GROUPS) -> ItemGroups:
        """Group items by a value: the groups with the most items on their own, the others together.

        Args:
            name: name of the column.
            values: one for each item of the space; None, NaN and "" are the group `NO_VALUE`.
            max_groups: maximum number of groups on their own.
        """
        texts = [None if value is None or value != value or value == "" else str(value) for value in values]
        sizes = Counter(text for text in texts if text is not None)
        largest = sorted(sizes, key=lambda text: (-sizes[text], text))[:max_groups]
        rest = [OTHER] * (len(sizes) > len(largest)) + [NO_VALUE] * (None in texts)
        code_of: dict[str | None, int] = {text: code for code, text in enumerate(largest)}
        other = len(largest)
        code_of[None] = len(largest) + len(rest) - 1
        codes = np.array([code_of.get(text, other) for text in texts], dtype=np.int64)
        return cls(name, (*largest, *rest), codes)

    @classmethod
    def by_newness(cls, popularity: NDArray[np.int64]) -> ItemGroups:
        """Group items into new ones, without an event in the training data, and known ones.

        Args:
            popularity: (items,) number of users of each item in the training data.
        """
        return cls(NEW_ITEMS, ("new", "known"), (popularity > 0).astype(np.int64))


@dataclass(frozen=True)
class GroupExposure(Record):
    """Exposure of one group of items, with 95 % bootstrap intervals over users.

    Attributes:
        group: its name.
        share: share of the slots, 0 to 1.
        low, high: ends of its interval.
        discounted_share: share of the slots with slot j weighted by 1 / log2(1 + j): first slots are seen more.
        discounted_low, discounted_high: ends of its interval.
        catalogue_share: the group's share of the items.
        event_share: the group's share of the training events; NaN if there are none.
    """

    group: str
    share: float
    low: float
    high: float
    discounted_share: float
    discounted_low: float
    discounted_high: float
    catalogue_share: float
    event_share: float


@dataclass(frozen=True)
class Exposure(Record):
    """Exposure of the groups of one division of the items.

    Attributes:
        by: name of the division: a column, "kind", or "new items".
        k: number of slots of a ranking.
        groups: the largest in the catalogue first; "other" and "no value" last.
    """

    by: str
    k: int
    groups: tuple[GroupExposure, ...]

    def to_dict(self) -> dict[str, object]:
        """The shares as JSON fields, rounded to four digits."""
        plain = Record.to_dict(self)
        for group in plain["groups"]:
            group.update({name: round(value, 4) for name, value in group.items() if isinstance(value, float)})
        return plain


@dataclass(frozen=True, eq=False)
class ShownItems:
    """Rankings of one draw, and what their exposure is compared with.

    Attributes:
        rankings: (rankings, k) rows of the space, best first; -1 for an empty slot.
        divisions: of the items of the space into groups.
        users: (rankings,) number of the user of each ranking.
        events: (items,) number of training events of each item; None: not known.
        candidates: (c,) rows that could be shown; None for all items.
    """

    rankings: Places
    divisions: Sequence[ItemGroups]
    users: NDArray[np.int64]
    events: NDArray[np.int64] | None = None
    candidates: Places | None = None


def measure_exposure(
    rankings: Places,
    divisions: Sequence[ItemGroups],
    *,
    users: NDArray[np.int64] | None = None,
    events: NDArray[np.int64] | None = None,
) -> tuple[Exposure, ...]:
    """Measure the share of slots that each group gets, by number and weighted by position.

    The weight of a position is the logarithmic discount of NDCG, as in Singh and Joachims, "Fairness of exposure in
    rankings", KDD 2018, section 3. A group's exposure is fair by their demographic parity if it equals its share of the
    catalogue, and by Biega et al., "Equity of attention", SIGIR 2018, if it equals its share of relevance, which the
    share of events approximates.

    Args:
        rankings: (rankings, k) rows of the space, best first; -1 for an empty slot.
        divisions: of the same items into groups.
        users: (rankings,) number of the user of each ranking: users are drawn for the intervals. By default each
            ranking is drawn by itself.
        events: (items,) number of training events of each item; without them there is no share of events.

    Returns:
        One exposure for each division.

    Raises:
        QueryError: the rankings are empty, or the users are not one for each ranking.
    """
    drawn = np.arange(len(rankings)) if users is None else users
    return measure_exposure_of_draws([ShownItems(rankings, divisions, drawn, events)])


def measure_exposure_of_draws(draws: Sequence[ShownItems]) -> tuple[Exposure, ...]:
    """Measure exposure as `measure_exposure` does, over the rankings of several draws, as means over all slots.

    Args:
        draws: with equal names of divisions and groups; the groups of an item may differ between draws, as new items
            do.

    Raises:
        QueryError: the rankings are empty, or the users are not one for each ranking.
    """
    for draw in draws:
        if len(draw.users) != len(draw.rankings):
            raise QueryError(f"{len(draw.users)} users do not match {len(draw.rankings)} rankings")
    if not any((draw.rankings >= 0).any() for draw in draws):
        raise QueryError("the rankings show no item, so no group has exposure")
    divisions = draws[0].divisions
    slots = [
        np.concatenate([np.append(draw.divisions[n].codes, -1)[draw.rankings] for draw in draws])
        for n in range(len(divisions))
    ]
    shares = _measure_slots(
        slots, [len(division.groups) for division in divisions], np.concatenate([draw.users for draw in draws])
    )
    found = []
    for n, division in enumerate(divisions):
        size = len(division.groups)
        catalogue = np.mean([_share_of_items(draw, n, size) for draw in draws], axis=0)
        of_events = np.mean([_share_of_events(draw, n, size) for draw in draws], axis=0)
        share, interval, discounted, discounted_interval = shares[n]
        groups = tuple(
            GroupExposure(
                name,
                float(share[group]),
                float(interval[0, group]),
                float(interval[1, group]),
                float(discounted[group]),
                float(discounted_interval[0, group]),
                float(discounted_interval[1, group]),
                float(catalogue[group]),
                float(of_events[group]),
            )
            for group, name in enumerate(division.groups)
        )
        found.append(Exposure(division.name, draws[0].rankings.shape[1], groups))
    return tuple(found)


def _share_of_items(draw: ShownItems, division: int, size: int) -> NDArray[np.float64]:
    codes = draw.divisions[division].codes
    shown = codes if draw.candidates is None else codes[draw.candidates]
    return np.asarray(np.bincount(shown, minlength=size) / max(len(shown), 1))


def _share_of_events(draw: ShownItems, division: int, size: int) -> NDArray[np.float64]:
    if draw.events is None or not draw.events.sum():
        return np.full(size, np.nan)
    by_group = np.bincount(draw.divisions[division].codes, weights=draw.events, minlength=size)
    return np.asarray(by_group / draw.events.sum())


_Shares = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _measure_slots(slots: Sequence[NDArray[np.int64]], sizes: Sequence[int], users: NDArray[np.int64]) -> list[_Shares]:
    """Shares of slots (rankings, k) with known groups, -1 for an empty slot, for each division.

    For each: shares (g,), their intervals (2, g), discounted shares (g,), their intervals (2, g).
    """
    if not slots:
        return []
    k = slots[0].shape[1]
    clusters = np.unique(users, return_inverse=True)[1]
    count = int(clusters.max()) + 1
    weights = np.stack([np.ones(k), 1 / np.log2(np.arange(2, k + 2))])
    sums, totals = [], []
    for codes, size in zip(slots, sizes, strict=True):
        shown = codes >= 0
        cells = (clusters[:, None] * size + codes)[shown]
        for weight in weights:
            of_slot = np.broadcast_to(weight, codes.shape)
            by_cell = np.bincount(cells, weights=of_slot[shown], minlength=count * size).astype(np.float64)
            by_group = by_cell.reshape(count, size)
            sums.append(by_group)
            totals.append(np.broadcast_to(by_group.sum(axis=1, keepdims=True), by_group.shape))
    sums_of_user, totals_of_user = np.concatenate(sums, axis=1), np.concatenate(totals, axis=1)
    shares = sums_of_user.sum(axis=0) / totals_of_user.sum(axis=0)
    intervals = np.nanquantile(cluster_bootstrap(sums_of_user, totals_of_user), [0.025, 0.975], axis=0)
    found: list[_Shares] = []
    start = 0
    for size in sizes:
        plain, discounted = slice(start, start + size), slice(start + size, start + 2 * size)
        found.append((shares[plain], intervals[:, plain], shares[discounted], intervals[:, discounted]))
        start += 2 * size
    return found


def read_item_groups(store: Store, space: ItemSpace, columns: Sequence[str] | None = None) -> list[ItemGroups]:
    """Divide the items of a database by kind, if there are several, and by columns, facts and tags.

    Args:
        store: the database.
        space: its items.
        columns: names of columns, or of facts and tags such as `colour` and `tags.category`; by default `seller`,
            `language` and `category`, if they exist and have several values.

    Raises:
        QueryError: there is no such column or fact.
    """
    known = sorted(store.column_kinds())

    def missing(name: str) -> QueryError:
        return QueryError(
            f"there is no column {name!r} to measure exposure by; the catalogue has {known_values(store, known)}"
        )

    if columns is None:
        chosen = find_item_values(store, DEFAULT_COLUMNS, known, None)
    else:
        chosen = find_item_values(store, [name for name in columns if name != KIND], known, missing)
    kinds = [ItemGroups.by_value(KIND, space.kinds.tolist())] * (len(set(space.kinds.tolist())) > 1)
    divisions = [ItemGroups.by_value(value.name, _values(store, space, value)) for value in chosen]
    if columns is None:  # a shop with one language has no slices by language
        divisions = [division for division in divisions if len(division.groups) > 1 or division.name == SELLER]
    return kinds + divisions


def _values(store: Store, space: ItemSpace, value: ItemValue) -> list[object]:
    """Values in the order of the space."""
    read = dict(read_item_values(store, value))
    return [read.get(item_id) for item_id in space.item_ids.tolist()]
