"""Items of a database, in the Python API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from firstsight.errors import QueryError
from firstsight.indexer.columns.catalog_options import TIMES
from firstsight.media.stored_media import open_address
from firstsight.retrieval.results import locate
from firstsight.storage.store import Store

Item = dict[str, Any]


def read_item(store: Store, item_id: str) -> Item:
    """Read an item."""
    row = store.item_rows([item_id]).get(item_id)
    if row is None:
        raise QueryError(f"there is no item {item_id!r} in {store.uri}")
    views = sorted(store.view_rows([item_id]).to_pylist(), key=lambda view: _numbers_by_value(view["view_id"]))
    for view in views:
        view["fingerprint"] = view["fingerprint"].hex() if view.get("fingerprint") else None
        view["uri"] = locate(open_address(view["uri"], store.uri), row["catalog_dir"]) if view["uri"] else None
        view["vector"] = np.asarray(view["vector"], dtype=np.float32)
    vector = None if row["vector"] is None else np.asarray(row["vector"], dtype=np.float32)
    return {
        **{name: row[name] for name in ("item_id", "kind", "title", "text", *TIMES, "indexed_at")},
        "columns": {name: row[name] for name in store.column_kinds()},
        "vector": vector,
        "views": views,
    }


def choose_pictures(store: Store, item_ids: Sequence[str]) -> dict[str, str]:
    """Choose the picture to show for each item: its first image, else its first frame.

    Returns:
        item_id to view_id; items without pictures are left out.
    """
    views = store.view_rows(item_ids).select(["item_id", "view_id", "part"]).to_pylist()
    shown = [view for view in views if view["part"] != "title"]
    shown.sort(key=lambda view: (view["part"] != "image", _numbers_by_value(view["view_id"])), reverse=True)
    return {view["item_id"]: view["view_id"] for view in shown}


def _numbers_by_value(view_id: str) -> list[tuple[int, str]]:
    """Sort key that puts the tenth frame after the second."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]+)", view_id)]
