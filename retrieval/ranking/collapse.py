"""Collapse near-duplicates among search results: keep the best item of each group."""

from __future__ import annotations

from collections.abc import Sequence

from firstsight.duplicates.item_pairs import pairs_of_views
from firstsight.duplicates.view_pairs import PictureViews
from firstsight.storage.store import Store

DUPLICATES = "duplicates"
"""Value of `Query.collapse` for near-duplicates, instead of a column name."""


def collapse_duplicates(store: Store, item_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Keep the items that are no near-duplicate of a better kept item.

    The result depends only on the stored views of the given items, so later items never change an earlier decision.

    Args:
        item_ids: best first.

    Returns:
        Ids of the kept items, best first, each with the ids of its near-duplicates.
    """
    views = PictureViews.read(store, item_ids)
    neighbours: dict[str, set[str]] = {}
    # with weights, a decision would depend on the number of items read
    for pair in pairs_of_views(views, weigh=False):
        neighbours.setdefault(pair.item_id, set()).add(pair.other_id)
        neighbours.setdefault(pair.other_id, set()).add(pair.item_id)
    kept: dict[str, list[str]] = {}
    for item_id in item_ids:
        near = neighbours.get(item_id, set())
        better = next((kept_id for kept_id in kept if kept_id in near), None) if near else None
        if better is None:
            kept[item_id] = []
        else:
            kept[better].append(item_id)
    return {item_id: tuple(others) for item_id, others in kept.items()}
