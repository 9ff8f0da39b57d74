"""The table `live_pictures`: a small JPEG of each frame of a live stream, which nobody can fetch again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

import pyarrow as pa
from lancedb.table import Table

from firstsight.storage.side_tables import TableLocation, merge_small_files, open_side_table, unwritable, upsert
from firstsight.storage.sql.conditions import in_chunks, is_in
from firstsight.storage.tables import key_field

TABLE: Final = "live_pictures"

LIVE_PART: Final = "#frame-live-"
"""Part of the ids of views that a watch writes: ITEM#frame-live-NUMBER."""

KEEP_VERSIONS_FOR: Final = timedelta(minutes=10)
"""Time for which replaced versions stay, for readers that still use them."""

SCHEMA: Final = pa.schema(
    [
        key_field("view_id"),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("jpeg", pa.binary(), nullable=False),
    ]
)


def write_live_pictures(store: TableLocation, item_id: str, pictures: Mapping[str, bytes]) -> None:
    """Store pictures of an item's frames by view id; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    rows = [{"view_id": view_id, "item_id": item_id, "jpeg": jpeg} for view_id, jpeg in pictures.items()]
    upsert(store, TABLE, SCHEMA, "view_id", rows)
    table = _open(store)
    if table is None:
        return
    merge_small_files(store, table, KEEP_VERSIONS_FOR)  # each write of a watch adds a file


def read_live_pictures(store: TableLocation, view_ids: Collection[str]) -> dict[str, bytes]:
    """JPEGs by view id; frames without a stored picture are left out."""
    live = sorted({view_id for view_id in view_ids if LIVE_PART in view_id})
    table = _open(store) if live else None
    if table is None:
        return {}
    found: dict[str, bytes] = {}
    for part in in_chunks(live):
        rows = table.search().where(is_in("view_id", part)).select(["view_id", "jpeg"]).limit(None).to_arrow()
        found |= {row["view_id"]: row["jpeg"] for row in rows.to_pylist()}
    return found


def delete_live_pictures(store: TableLocation, *, views: Sequence[str] = (), items: Sequence[str] = ()) -> None:
    """Delete the pictures of these views and of all views of these items; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    table = _open(store)
    if table is None:
        return
    try:
        for name, ids in (("view_id", views), ("item_id", items)):
            for part in in_chunks(ids):
                condition = is_in(name, part)
                if table.count_rows(condition):  # a delete of no rows would commit a version
                    table.delete(condition)
    except (OSError, RuntimeError) as error:
        raise unwritable(store, error) from error


def _open(store: TableLocation) -> Table | None:
    return open_side_table(store, TABLE)
