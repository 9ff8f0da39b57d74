"""Groups of near-duplicate items, made from pairs of them."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from firstsight.duplicates.item_pairs import DuplicatePair, DuplicateSettings, find_duplicates
from firstsight.records import Record
from firstsight.storage.store import Store


@dataclass(frozen=True)
class DuplicateGroup(Record):
    """An item and its near-duplicates. The evidence compares each of them with that item."""

    item_id: str
    duplicates: tuple[DuplicatePair, ...]  # each has the group's item_id as `other_id`

    @property
    def item_ids(self) -> set[str]:
        """Ids of all items in the group."""
        return {self.item_id, *(pair.item_id for pair in self.duplicates)}

    def to_dict(self) -> dict[str, Any]:
        """The group as plain values for JSON."""
        return {
            "item_id": self.item_id,
            "size": len(self.duplicates) + 1,
            "duplicates": [{"item_id": pair.item_id, **pair.evidence.to_dict()} for pair in self.duplicates],
        }


def duplicate_group_ids(store: Store, settings: DuplicateSettings | None = None) -> dict[str, str]:
    """Map each item with near-duplicates to a group id: the smallest item id of its connected component.

    Use it to split data so that no near-duplicates are on both sides. A chain of near-duplicates is one group here, so
    these groups may be larger than those of `group_pairs`. Items without near-duplicates are left out.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = find_duplicates(store, settings)
    names = sorted({name for pair in pairs for name in (pair.item_id, pair.other_id)})
    place = {name: n for n, name in enumerate(names)}
    ends = np.array([(place[pair.item_id], place[pair.other_id]) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), dtype=bool), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    if not names:
        return {}
    _, labels = connected_components(graph, directed=False)
    _, first = np.unique(labels, return_index=True)
    return {name: names[first[label]] for name, label in zip(names, labels, strict=True)}


def group_pairs(pairs: Sequence[DuplicatePair]) -> list[DuplicateGroup]:
    """Make groups of near-duplicates, the largest first; a chain is not a group.

    Each group forms around the item with the most near-duplicates that are in no group yet. An item is in one group.
    There is one exception: if all near-duplicates of an item are already in groups, the item forms a group with the
    nearest of them.
    """
    near: dict[str, dict[str, DuplicatePair]] = {}
    for pair in pairs:
        near.setdefault(pair.item_id, {})[pair.other_id] = pair.swapped()
        near.setdefault(pair.other_id, {})[pair.item_id] = pair
    left = {item_id: len(others) for item_id, others in near.items()}  # number of near-duplicates in no group yet
    queue = [(-count, item_id) for item_id, count in left.items()]
    heapq.heapify(queue)
    taken: set[str] = set()
    groups = []
    while queue:
        count, item_id = heapq.heappop(queue)
        if item_id in taken:
            continue
        if -count != left[item_id]:  # some have joined other groups in the meantime
            heapq.heappush(queue, (-left[item_id], item_id))
            continue
        if not left[item_id]:  # all have: list the item with the nearest of them
            nearest = min(near[item_id].values(), key=lambda pair: (pair.evidence.distance, pair.item_id))
            groups.append(DuplicateGroup(nearest.item_id, (nearest.swapped(),)))
            taken.add(item_id)
            continue
        members = sorted(other for other in near[item_id] if other not in taken)
        groups.append(DuplicateGroup(item_id, tuple(near[item_id][other] for other in members)))
        for member in (item_id, *members):
            taken.add(member)
            for other in near[member]:
                left[other] -= 1
    return sorted(groups, key=lambda group: (-len(group.duplicates), group.item_id))
