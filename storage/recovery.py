"""Writes to several tables, and their repair after a kill.

A run notes the items of its next writes in `runs.pending`. After a kill, the next writer reads the note: it finishes
these writes, or marks the items so that the next index run encodes them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from firstsight.storage.column_conversion import drop_unfinished_conversion
from firstsight.storage.locks import is_watched
from firstsight.storage.sql.conditions import quote
from firstsight.storage.store import Store, failure_id
from firstsight.storage.tables import FailureRow


def begin_write(store: Store, run_id: str, item_ids: Sequence[str], failures: Sequence[FailureRow] = ()) -> None:
    """Note the items and failures of the next writes in the run's row, for `recover`; replaces the note before."""
    pending = {"items": list(item_ids), "failures": [failure_id(failure) for failure in failures]}
    store.update_run(run_id, {"pending": json.dumps(pending)})


def fail_run(store: Store, run_id: str, counts: Mapping[str, Any]) -> None:
    """Mark a run as failed, and keep the note of its last write for `recover`."""
    store.update_run(run_id, {"outcome": "failed", "finished_at": datetime.now(UTC), "counts": json.dumps(counts)})


def recover(store: Store, watch: tuple[str, str] | None = None) -> None:
    """Repair the writes of killed runs, and mark these runs as killed; the caller holds the writer lock.

    Args:
        watch: run id and item id of the caller, if it holds `locks.watch_lock` of that item.

    Raises:
        StoreError: the database cannot be written.
    """
    drop_unfinished_conversion(store)
    open_runs = store.runs.search().where("outcome IN ('running', 'watching') OR pending IS NOT NULL").limit(None)
    for run in open_runs.select(["run_id", "outcome", "pending", "settings"]).to_arrow().to_pylist():
        if run["outcome"] == "watching" and _watch_is_running(store, run, watch):
            continue
        if run["pending"] is not None:
            _repair(store, run["run_id"], **json.loads(run["pending"]))
        outcome = "killed" if run["outcome"] in {"running", "watching"} else run["outcome"]
        store.update_run(run["run_id"], outcome=quote(outcome), pending="CAST(NULL AS STRING)")


def _watch_is_running(store: Store, run: Mapping[str, Any], own: tuple[str, str] | None) -> bool:
    """Whether a watch is still running: it holds the writer lock only during its writes.

    An object store has no locks; there, a watch counts as running if its last write is complete.
    """
    item_id = json.loads(run["settings"])["item_id"]
    if own is not None and own[1] == item_id:
        return bool(run["run_id"] == own[0])
    return run["pending"] is None if store.folder is None else is_watched(store.folder, item_id)


def _repair(store: Store, run_id: str, items: Sequence[str], failures: Sequence[str]) -> None:
    """Finish the writes of committed items, and mark the others to be encoded again."""
    stored = store.last_runs(items)
    committed = [item_id for item_id in items if stored.get(item_id) == run_id]
    store.delete_failures(sorted(store.failure_ids(committed) - set(failures)))
    store.delete_items([item_id for item_id in items if item_id not in stored])
    # their views may be of either version, so no digest describes them
    store.encode_again([item_id for item_id in stored if stored[item_id] != run_id])
