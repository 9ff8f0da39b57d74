"""Near-duplicates among the results of a search: only the best of them stays."""

from __future__ import annotations

from collections.abc import Sequence

from firstsight.duplicates.item_pairs import pairs_of_views
from firstsight.duplicates.view_pairs import PictureViews
from firstsight.storage.store import Store

DUPLICATES = "duplicates"
"""What `Query.collapse` says instead of a column."""


def collapse_duplicates(store: Store, item_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Of some items, best first, those that are no near-duplicate of a better one that stays, each with those that are.

    Computed from their stored views alone, so that an item stays or goes whatever comes after it.
    """
    views = PictureViews.read(store, item_ids)
    near: dict[str, set[str]] = {}
    # weighed, an item's fate would depend on how many others were read
    for pair in pairs_of_views(views, weigh=False):
        near.setdefault(pair.item_id, set()).add(pair.other_id)
        near.setdefault(pair.other_id, set()).add(pair.item_id)
    kept: dict[str, list[str]] = {}
    for item_id in item_ids:
        better = [one for one in kept if one in near[item_id]] if item_id in near else []
        if better:
            kept[better[0]].append(item_id)
        else:
            kept[item_id] = []
    return {item_id: tuple(others) for item_id, others in kept.items()}
