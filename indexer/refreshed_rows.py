"""Rows of items whose columns have changed, but not what is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firstsight.indexer.assembly import catalog_row, row_digest
from firstsight.indexer.facts.item_facts import ItemFacts
from firstsight.indexer.facts.stored_items import stored_fact_items
from firstsight.indexer.row_reader import CatalogItem
from firstsight.storage.store import Store


def refreshed_rows(
    store: Store, items: Sequence[CatalogItem], written: dict[str, Any], facts: ItemFacts
) -> list[dict[str, Any]]:
    """Rows of `items` with the new columns and the stored vectors.

    Args:
        written: catalog_dir, indexed_at and run_id.
        facts: whose columns are computed again; they may depend on texts and columns.
    """
    if not items:
        return []
    stored = store.item_rows([item.item_id for item in items])
    no_columns = dict.fromkeys(store.column_kinds())  # columns that the catalogue has dropped become null
    rows = [
        stored[item.item_id]
        | no_columns
        | catalog_row(item)
        | {"row_digest": row_digest(item, written["catalog_dir"])}
        | written
        for item in items
    ]
    if not facts.fields:
        return rows
    columns = facts.columns(stored_fact_items(store, rows, facts.picture_facts))
    return [row | found for row, found in zip(rows, columns, strict=True)]
