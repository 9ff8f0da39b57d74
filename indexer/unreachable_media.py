"""Views and fingerprints of media that cannot be fetched now, such as from a server that is down: they stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from firstsight.indexer.assembly import PendingItem
from firstsight.storage.facts.view_fact_table import read_view_facts
from firstsight.storage.sets.standby_rows import find_gaps
from firstsight.storage.store import Store
from firstsight.storage.video_print_table import VideoPrintRow, read_prints
from firstsight.vectors import Vector


def keep_unreachable_media(store: Store, items: Sequence[PendingItem]) -> None:
    """Add the stored views and fingerprints of unreachable media to the items, which replace the stored ones.

    A vector in the set that is not in force stays too, if it is of the same state of the medium.
    """
    pending_items = {
        pending.item.item_id: pending for pending in items if pending.replaces and pending.unreachable_media
    }
    if not pending_items:
        return
    before: dict[str, list[dict[str, Any]]] = {}
    for row in store.view_rows(list(pending_items)).to_pylist():
        before.setdefault(row["item_id"], []).append(row)
    vectors = {} if store.standby is None else _standby_vectors(store, store.standby, list(pending_items))
    facts = read_view_facts(store, list(before))
    for item_id, rows in before.items():
        pending_items[item_id].keep_views(rows, vectors, facts)
    for row in read_prints(store, list(pending_items)).to_pylist():
        pending_items[row["item_id"]].keep_prints(cast(VideoPrintRow, row))


def _standby_vectors(store: Store, standby: Store, item_ids: Sequence[str]) -> dict[str, Vector]:
    outdated = {view_id for gap in find_gaps(store, standby, item_ids) for view_id in gap.views}
    rows = standby.view_rows(item_ids).select(["view_id", "vector"]).to_pylist()
    return {row["view_id"]: np.asarray(row["vector"], np.float32) for row in rows if row["view_id"] not in outdated}
