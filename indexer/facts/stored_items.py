"""Items for `ItemFacts.columns`, from pending items and from stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from firstsight.indexer.assembly import PendingItem
from firstsight.indexer.facts.item_facts import FactItem, FactView
from firstsight.indexer.facts.view_facts import current_values
from firstsight.media.picture_facts import PictureFact
from firstsight.storage.facts.view_fact_table import StoredFact, read_view_facts
from firstsight.storage.store import Store


def pending_fact_item(pending: PendingItem, facts: Sequence[PictureFact]) -> FactItem:
    """An item of a run, with the facts of its views."""
    item = pending.item
    views = [
        FactView(view.view_id, view.part, view.vector, current_values(view.facts, facts), view.uri, view.time_s)
        for view in pending.views
    ]
    return FactItem(item.item_id, item.title, item.text, item.columns, views)


def stored_fact_items(
    store: Store,
    rows: Sequence[Mapping[str, Any]],
    facts: Sequence[PictureFact],
    view_facts: Mapping[str, Mapping[str, StoredFact]] | None = None,
) -> list[FactItem]:
    """Stored items with their views and facts.

    Args:
        rows: of `items`, with the values to use.
        view_facts: by view id; None for those that are stored.
    """
    ids = [row["item_id"] for row in rows]
    if view_facts is None:
        view_facts = read_view_facts(store, ids)
    names = list(store.column_kinds())
    views: dict[str, list[FactView]] = {}
    table = store.view_rows(ids).select(["view_id", "item_id", "part", "uri", "time_s", "vector"])
    vectors = pc.list_flatten(table["vector"]).to_numpy().reshape(len(table), store.spec.dim)
    for row, vector in zip(table.drop_columns("vector").to_pylist(), vectors, strict=True):
        known = current_values(view_facts.get(row["view_id"], {}), facts)
        view = FactView(row["view_id"], row["part"], vector, known, row["uri"], row["time_s"])
        views.setdefault(row["item_id"], []).append(view)
    return [
        FactItem(
            *(row["item_id"], row["title"], row["text"]),
            {name: row.get(name) for name in names},
            views.get(row["item_id"], ()),
        )
        for row in rows
    ]
