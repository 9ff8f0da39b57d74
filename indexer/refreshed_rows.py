"""Rows of items whose columns have changed, but not what is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firstsight.indexer.assembly import catalog_row, row_digest
from firstsight.indexer.row_reader import CatalogItem
from firstsight.storage.store import Store


def refreshed_rows(store: Store, items: Sequence[CatalogItem], written: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of `items` with the new columns and the stored vectors.

    Args:
        written: catalog_dir, indexed_at and run_id.
    """
    stored = store.item_rows([item.item_id for item in items])
    no_columns = dict.fromkeys(store.column_kinds())  # columns that the catalogue has dropped become null
    return [
        stored[item.item_id]
        | no_columns
        | catalog_row(item)
        | {"row_digest": row_digest(item, written["catalog_dir"])}
        | written
        for item in items
    ]
