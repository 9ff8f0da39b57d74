"""The table `view_facts`: one row per view with facts, such as the colours of a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypedDict

import pyarrow as pa
from lancedb.table import Table

from firstsight.storage.side_tables import TableLocation, merge_small_files, open_side_table, unwritable, upsert
from firstsight.storage.sql.conditions import in_chunks, is_in
from firstsight.storage.tables import key_field

TABLE: Final = "view_facts"

SCHEMA: Final = pa.schema(
    [
        key_field("view_id"),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("facts", pa.string(), nullable=False),  # JSON: name -> {"version": …, "value": …}
    ]
)

_READ_ROWS: Final = 10_000


class StoredFact(TypedDict):
    """One fact of a view."""

    version: str  # of the function that found it
    value: Any  # as JSON; None: the function could not tell


ViewFacts = Mapping[str, StoredFact]
"""Facts of a view by name."""


def delete_changed_view_facts(
    store: TableLocation, item_ids: Sequence[str], facts: Mapping[str, Mapping[str, ViewFacts]]
) -> None:
    """Delete the stored facts that differ from the new ones, before their views are replaced.

    So a kill between views and facts leaves views without facts, never with those of another picture.

    Args:
        item_ids: items that were stored before.
        facts: the new ones, by item id and view id.

    Raises:
        StoreError: the database cannot be written.
    """
    new = {view_id: found for views in facts.values() for view_id, found in views.items()}
    stored = read_view_facts(store, item_ids)
    delete_view_facts(store, views=[view_id for view_id, found in stored.items() if new.get(view_id) != found])


def write_view_facts(store: TableLocation, facts: Mapping[str, Mapping[str, ViewFacts]]) -> None:
    """Write the facts of views; other views keep theirs. The caller holds the writer lock.

    Args:
        facts: by item id and view id; empty facts are left out.

    Raises:
        StoreError: the database cannot be written.
    """
    rows = [
        {"view_id": view_id, "item_id": item_id, "facts": json.dumps(found, ensure_ascii=False, allow_nan=False)}
        for item_id, views in facts.items()
        for view_id, found in views.items()
        if found
    ]
    upsert(store, TABLE, SCHEMA, "view_id", rows)
    if rows and (table := open_side_table(store, TABLE)) is not None:
        merge_small_files(store, table)


def delete_view_facts(store: TableLocation, *, views: Sequence[str] = (), items: Sequence[str] = ()) -> None:
    """Delete the facts of these views and of all views of these items; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    table = open_side_table(store, TABLE)
    if table is None:
        return
    for name, ids in (("view_id", views), ("item_id", items)):
        for part in in_chunks(ids):
            _delete(store, table, is_in(name, part))


def read_view_facts(store: TableLocation, item_ids: Sequence[str]) -> dict[str, dict[str, StoredFact]]:
    """Facts of all views of these items, by view id; views without facts are left out."""
    table = open_side_table(store, TABLE)
    found: dict[str, dict[str, StoredFact]] = {}
    if table is not None:
        for part in in_chunks(item_ids):
            rows = table.search().where(is_in("item_id", part)).select(["view_id", "facts"]).limit(None).to_arrow()
            found |= {row["view_id"]: json.loads(row["facts"]) for row in rows.to_pylist()}
    return found


def all_view_facts(store: TableLocation) -> Iterator[list[tuple[str, str, dict[str, StoredFact]]]]:
    """Yield view id, item id and facts of all rows, in batches of up to 10,000."""
    table = open_side_table(store, TABLE)
    if table is not None:
        for batch in table.search().limit(None).to_batches(_READ_ROWS):
            yield [(row["view_id"], row["item_id"], json.loads(row["facts"])) for row in batch.to_pylist()]


def _delete(store: TableLocation, table: Table, condition: str) -> None:
    try:
        if table.count_rows(condition):  # a delete of no rows would commit a version
            table.delete(condition)
    except (OSError, RuntimeError) as error:
        raise unwritable(store, error) from error
