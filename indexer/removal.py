"""Removal of items by their ids, safe to kill: the next writer repairs a killed removal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from firstsight.indexer.stored_media_cleanup import remove_unused_media, stored_media_of
from firstsight.storage.recovery import begin_write, recover
from firstsight.storage.store import Store


def remove_items(store: Store, item_ids: Sequence[str]) -> list[str]:
    """Remove items with their views and failures; the caller holds the writer lock.

    The removal has a row in `runs` with a note of the items. After a kill, the next index run encodes the remaining
    items again.

    Args:
        item_ids: ids without an item are ignored.

    Returns:
        Ids of the removed items, in the order given.

    Raises:
        StoreError: the database cannot be written.
    """
    recover(store)
    stored = store.digests(item_ids)
    gone = [item_id for item_id in dict.fromkeys(item_ids) if item_id in stored]
    if not gone:
        return []
    began = datetime.now(UTC)
    row: dict[str, Any] = {
        "run_id": uuid4().hex,
        "started_at": began,
        "source": "",
        "encoder": store.spec.name,
        "fingerprint": store.spec.fingerprint,
        "settings": {"kind": "remove"},
    }
    store.write_run(row | {"outcome": "running", "counts": {"removed": 0}})
    begin_write(store, row["run_id"], gone)
    media = stored_media_of(store, gone)
    store.delete_items(gone)
    remove_unused_media(store, media)  # after the rows: a kill leaves unused files for the next upkeep
    store.write_run(row | {"outcome": "finished", "finished_at": datetime.now(UTC), "counts": {"removed": len(gone)}})
    return gone
