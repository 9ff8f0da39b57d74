"""Items taken out of a database by their ids, so that a kill half-way is settled by whoever writes next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from firstsight.storage.recovery import begin_write, recover
from firstsight.storage.store import Store


def remove_items(store: Store, item_ids: Sequence[str]) -> list[str]:
    """Remove items with all that hangs on them; the caller holds the writer lock.

    The removal is a row of `runs` of its own kind, with a note of the items: after a kill, those that are still there
    are encoded again by the next run that meets them.

    Returns:
        Ids of those that were there, in order.

    Raises:
        StoreError: they could not be removed.
    """
    recover(store)
    there = store.digests(item_ids)
    gone = [item_id for item_id in dict.fromkeys(item_ids) if item_id in there]
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
    store.delete_items(gone)
    store.write_run(row | {"outcome": "finished", "finished_at": datetime.now(UTC), "counts": {"removed": len(gone)}})
    return gone
