"""Timed products in an index run: entries of the catalogue are replaced, proposals stay while they are valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from firstsight.indexer.assembly import PendingItem, timed_product_rows
from firstsight.indexer.row_reader import CatalogItem
from firstsight.storage.store import Store
from firstsight.storage.timed_product_table import (
    TimedProductRow,
    delete_entries,
    read_entries,
    replace_catalogue_entries,
)
from firstsight.vectors import Vector

MAX_LOSS: Final = 0.15
"""Maximum difference between the cosine of a proposal and that of the frames that are there now."""


def write_timed_products(store: Store, encoded: Sequence[PendingItem], refreshed: Sequence[CatalogItem]) -> None:
    """Bring the timed products of items up to date, before their rows are written; the caller holds the writer lock.

    A proposal stays, with its decision, if the item still has the video, and the frames of the stretch are about as
    near to the product's picture as before.

    Raises:
        StoreError: the database cannot be written.
    """
    items = [*(pending.item for pending in encoded), *refreshed]
    replace_catalogue_entries(store, {item.item_id: timed_product_rows(item) for item in items})
    replaced = {pending.item.item_id: pending for pending in encoded if pending.replaces}
    stored = [row for row in read_entries(store, videos=replaced) if row["source"] == "frames"] if replaced else []
    pictures = _pictures(store, [row["picture_id"] for row in stored if row["picture_id"]])
    gone = [row["entry_id"] for row in stored if not _is_valid(row, replaced[row["video_id"]], pictures)]
    delete_entries(store, gone)


def _pictures(store: Store, view_ids: Sequence[str]) -> dict[str, Vector]:
    tables = store.rows_by_id(store.views, sorted(set(view_ids)), key="view_id", columns=["view_id", "vector"])
    return {row["view_id"]: np.asarray(row["vector"], np.float32) for table in tables for row in table.to_pylist()}


def _is_valid(row: TimedProductRow, pending: PendingItem, pictures: Mapping[str, Vector]) -> bool:
    if row["uri"] not in pending.item.videos:
        return False
    frames = [view for view in pending.views if view.uri == row["uri"]]
    picture = pictures.get(row["picture_id"] or "")
    if not frames or picture is None or row["cosine"] is None:  # nothing to compare, such as of an unreachable video
        return True
    start_s, end_s = row["start_s"], row["start_s"] if row["end_s"] is None else row["end_s"]
    within = [view for view in frames if start_s <= (view.time_s or 0.0) <= end_s]
    nearest = min(frames, key=lambda view: abs((view.time_s or 0.0) - (start_s + end_s) / 2))
    return max(float(view.vector @ picture) for view in within or [nearest]) >= row["cosine"] - MAX_LOSS
