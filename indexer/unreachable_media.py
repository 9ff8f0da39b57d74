"""Views and fingerprints of media that cannot be fetched now, such as from a server that is down: they stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from firstsight.indexer.assembly import PendingItem
from firstsight.storage.store import Store
from firstsight.storage.video_print_table import VideoPrintRow, read_prints


def keep_unreachable_media(store: Store, items: Sequence[PendingItem]) -> None:
    """Add the stored views and fingerprints of unreachable media to the items, which replace the stored ones."""
    pending_items = {
        pending.item.item_id: pending for pending in items if pending.replaces and pending.unreachable_media
    }
    if not pending_items:
        return
    before: dict[str, list[dict[str, Any]]] = {}
    for row in store.view_rows(list(pending_items)).to_pylist():
        before.setdefault(row["item_id"], []).append(row)
    for item_id, rows in before.items():
        pending_items[item_id].keep_views(rows)
    for row in read_prints(store, list(pending_items)).to_pylist():
        pending_items[row["item_id"]].keep_prints(cast(VideoPrintRow, row))
