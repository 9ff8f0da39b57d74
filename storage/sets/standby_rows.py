"""Rows of the standby: the vector set that is not in force has the same items, views and columns as the one in force.

Writers change the set in force. At the end of each writing block, the rows that it has changed are copied to the
standby: columns of the catalogue, safety decisions and removals. Vectors cannot be copied. An item whose content
differs from what its standby vectors show has a gap (`find_gaps`), until an index run or `reindex` encodes it.

Gaps are found by comparison of the two sets, not from notes: a view of the standby is right if all its columns but the
vector equal those of the view in force, and the item's digests are equal. So a kill at any moment leaves nothing that
the next comparison would not find. After a kill in a writing block, `VectorSets.synced` differs from the versions of
the tables, and the next block compares all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
from lancedb.table import Table

from firstsight.storage.sql.conditions import in_chunks, is_in
from firstsight.storage.table_store import TableStore
from firstsight.storage.tables import CONVERSION_COLUMNS, KEYS, PROJECTION_COLUMN
from firstsight.storage.vector_sets import note_synced

OWN_COLUMNS: Final = frozenset({"vector", "digest", PROJECTION_COLUMN})
"""Columns of `items` that describe the vectors of one set."""

OUTDATED: Final = "?"
"""Digest of an item of the standby whose vectors are missing or do not show all of it; no item in force has it."""


@dataclass(frozen=True)
class ItemGap:
    """An item whose vectors in the standby are missing, or show an earlier state of it."""

    item_id: str
    views: tuple[str, ...]  # ids of its views in force that the standby has to encode; empty: only its row


@contextmanager
def standby_kept(store: TableStore) -> Iterator[None]:
    """Copy what a writing block changes to the standby, at its end; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written; the next writing block completes the copy.
    """
    store.forget_changes()
    if store.standby is not None and store.sets is not None:
        store.standby.refresh()  # another process may have written to it
        if store.sets.synced != synced_state(store):
            store.note_all_changed()
    yield
    sync_standby(store)


def sync_standby(store: TableStore) -> None:
    """Copy the noted changes to the standby, if there is one.

    Raises:
        StoreError: the database cannot be written.
    """
    standby, sets = store.standby, store.sets
    if standby is None or sets is None or sets.standby is None:
        return
    changed = store.changed_items
    if changed is None or changed:
        standby.refresh()
        sync_columns(store, standby)
        parts = _all_ids(store, standby) if changed is None else iter([sorted(changed)])
        for ids in parts:
            for part in in_chunks(ids):
                _sync_rows(store, standby, part, add=sets.standby.state == "ready")
        store.forget_changes()
    if sets.synced != (state := synced_state(store)):
        note_synced(store, sets, state)
        store.sets = replace(sets, synced=state)


def synced_state(store: TableStore) -> str:
    """The versions of the tables in force, for `VectorSets.synced`."""
    return f"{store.number}:{store.items.version}.{store.views.version}"


# ---- columns


def sync_columns(store: TableStore, standby: TableStore) -> None:
    """Give the tables of the standby the columns of those in force, with their types and metadata.

    Raises:
        StoreError: the database cannot be written.
    """
    for ours, theirs in ((store.items, standby.items), (store.views, standby.views)):
        standby.maintain(theirs, lambda table, ours=ours: _copy_columns(ours, table))  # type: ignore[misc]


def _copy_columns(ours: Table, theirs: Table) -> None:
    skipped = {*OWN_COLUMNS, *CONVERSION_COLUMNS, *KEYS.values()}
    schema, copied = ours.schema, theirs.schema
    fields = {field.name: field for field in schema if field.name not in skipped}
    gone = [
        field.name
        for field in copied
        if field.name not in skipped and (field.name not in fields or not field.type.equals(fields[field.name].type))
    ]
    if gone:
        theirs.drop_columns(gone)
    new = [pa.field(name, field.type) for name, field in fields.items() if name not in theirs.schema.names]
    if new:
        theirs.add_columns(new)
    for name, field in fields.items():
        metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        stored = theirs.schema.field(name).metadata or {}
        if metadata and metadata != {key.decode(): value.decode() for key, value in stored.items()}:
            theirs.update_field_metadata({"path": name, "metadata": metadata})


# ---- rows


def _all_ids(store: TableStore, standby: TableStore) -> Iterator[list[str]]:
    yield sorted({*_ids(store.items), *_ids(standby.items)})


def _ids(table: Table) -> Iterator[str]:
    for batch in table.search().select(["item_id"]).limit(None).to_batches(10_000):
        yield from map(str, batch["item_id"].to_pylist())


def _sync_rows(store: TableStore, standby: TableStore, ids: Sequence[str], *, add: bool) -> None:
    """Copy the rows of some items, without their vectors.

    Args:
        add: also add items that the standby lacks, without vectors: searches by words find them after a switch.
    """
    items, views = _plain_rows(store, ids), _plain_views(store, ids)
    kept_items, kept_views = _plain_rows(standby, ids), _plain_views(standby, ids)
    orphans = sorted(kept_views.keys() - views.keys())
    for part in in_chunks(orphans):
        standby.delete_rows(standby.views, is_in("view_id", part))
    gone = sorted(kept_items.keys() - items.keys())
    if gone:  # after their views: without its item, a view would not be found again after a kill
        standby.delete_rows(standby.items, is_in("item_id", gone))
    narrowed = {kept_views[view_id]["item_id"] for view_id in orphans}
    changed = {
        item_id
        for item_id in items.keys() & kept_items.keys()
        if _without_digest(items[item_id]) != _without_digest(kept_items[item_id])
    }
    narrowed &= {item_id for item_id, row in kept_items.items() if row["digest"] != OUTDATED}
    rewritten = sorted(changed | (narrowed & items.keys()))
    if rewritten:
        standby.merge_rows(standby.items, _merged(standby, rewritten, items, narrowed))
    missing = sorted(items.keys() - kept_items.keys()) if add else []
    if missing:
        rows = [items[item_id] | {"vector": None, "digest": OUTDATED} for item_id in missing]
        standby.merge_rows(standby.items, pa.Table.from_pylist(rows, schema=standby.items.schema))


def _merged(
    standby: TableStore, ids: Sequence[str], items: Mapping[str, Mapping[str, Any]], narrowed: set[str]
) -> pa.Table:
    """Rows of the standby with new columns and their own vectors; those that lost views count as outdated."""
    rows = pa.concat_tables(standby.rows_by_id(standby.items, ids))  # kept as Arrow: lists of vectors take memory
    stored = [str(item_id) for item_id in rows["item_id"].to_pylist()]
    for name in rows.schema.names:
        index, field = rows.schema.get_field_index(name), rows.schema.field(name)
        if name == "digest":
            digests = rows["digest"].to_pylist()
            values = [OUTDATED if item_id in narrowed else kept for item_id, kept in zip(stored, digests, strict=True)]
        elif name in OWN_COLUMNS or name not in items[stored[0]]:
            continue
        else:
            values = [items[item_id][name] for item_id in stored]
        rows = rows.set_column(index, field, pa.array(values, field.type))
    return rows


def _without_digest(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "digest"}


def _plain_rows(store: TableStore, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    skipped = {"vector", PROJECTION_COLUMN, *CONVERSION_COLUMNS}
    columns = [name for name in store.items.schema.names if name not in skipped]
    return _by_key(store, store.items, "item_id", ids, columns)


def _plain_views(store: TableStore, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    columns = [name for name in store.views.schema.names if name != "vector"]
    return _by_key(store, store.views, "view_id", ids, columns)


def _by_key(
    store: TableStore, table: Table, key: str, ids: Sequence[str], columns: Sequence[str]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for rows in store.rows_by_id(table, ids, columns=columns):
        found.update((row[key], row) for row in rows.to_pylist())
    return found


# ---- gaps


def find_gaps(store: TableStore, standby: TableStore, ids: Iterable[str] | None = None) -> Iterator[ItemGap]:
    """Find the items in force whose vectors in the standby are missing or out of date.

    Args:
        store: the tables in force.
        standby: those of the other set.
        ids: items to compare; None for all.
    """
    for part in in_chunks(sorted(_ids(store.items) if ids is None else set(ids))):
        items, kept = _digests(store, part), _digests(standby, part)
        views, kept_views = _plain_views(store, part), _plain_views(standby, part)
        of_item: dict[str, list[str]] = {}
        for view_id, row in views.items():
            of_item.setdefault(row["item_id"], []).append(view_id)
        for item_id, digest in items.items():
            own = sorted(of_item.get(item_id, ()))
            if kept.get(item_id) == digest:
                own = [view_id for view_id in own if kept_views.get(view_id) != views[view_id]]
                if not own:
                    continue
            yield ItemGap(item_id, tuple(own))


def outdated_views(store: TableStore, standby: TableStore, item_ids: Sequence[str]) -> set[str]:
    """Ids of the views in force of these items that the standby lacks, or has of an earlier state."""
    views, kept = _plain_views(store, item_ids), _plain_views(standby, item_ids)
    return {view_id for view_id, row in views.items() if kept.get(view_id) != row}


def count_gaps(store: TableStore, standby: TableStore) -> int:
    """Number of items whose vectors in the standby are missing or out of date."""
    return sum(1 for _ in find_gaps(store, standby))


def _digests(store: TableStore, ids: Sequence[str]) -> dict[str, str]:
    rows = _by_key(store, store.items, "item_id", ids, ["item_id", "digest"])
    return {item_id: row["digest"] for item_id, row in rows.items()}
