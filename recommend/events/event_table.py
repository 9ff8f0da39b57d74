"""The table of events: its columns, and writes that keep the order in which events arrived.

Databases of earlier versions lack the last three columns; the next write adds them, and readers take null for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from lancedb.index import BTree
from lancedb.table import Table

from firstsight.errors import QueryError, StoreError
from firstsight.recommend.events.event_rows import Event
from firstsight.recommend.events.event_types import check_type_weights
from firstsight.storage.side_tables import open_side_table, unwritable, upsert
from firstsight.storage.sql.conditions import is_in
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

TABLE = "events"

READ_ROWS = 50_000
"""Events that are read from the table together."""

MIN_INDEXED_EVENTS = 50_000
"""Number of events from which the columns of users and keys get an index."""

ROWS_PER_LOOKUP = 50
"""Rows that are read in the time of finding one key in the index: a few keys are looked up, many are compared."""

NON_PREFERENCE_EVENTS = ("impression", "skip", "hide", "dislike", "report", "view_search_results")
"""Event types that do not mean that a user likes an item: stored, but left out of histories and of training."""

_WEIGHTS_KEY = b"firstsight:type_weights"

POSITION_BITS = 20
"""Bits of a position that number the events of one write; a batch has fewer than 2^20."""

_FIELDS: list[pa.Field[Any]] = [
    pa.field("event_id", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("user_id", pa.string(), nullable=False),
    pa.field("item_id", pa.string(), nullable=False),  # empty for a search without an item
    pa.field("timestamp", TIME, nullable=False),
    pa.field("event", pa.string()),
    pa.field("weight", pa.float64(), nullable=False),
    pa.field("query", pa.string()),  # text of a search
    pa.field("position", pa.int64()),  # rises with each new event: the order of events at one time; never changes
    pa.field("revision", pa.int64()),  # version of the table in which the event was written last
]
SCHEMA = pa.schema(_FIELDS)


def open_events(store: Store) -> Table | None:
    """The newest version of the table; None if there are no events."""
    return open_side_table(store, TABLE)


def read_columns(table: Table, condition: str | None, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """Yield columns of the events that fulfil a condition; a column that the table lacks is null."""
    names = table.schema.names
    query = table.search() if condition is None else table.search().where(condition)
    for batch in query.select([name for name in columns if name in names]).limit(None).to_batches(READ_ROWS):
        arrays = [batch[name] if name in names else pa.nulls(len(batch), SCHEMA.field(name).type) for name in columns]
        yield pa.RecordBatch.from_arrays(arrays, names=list(columns))


def wanted_condition(table: Table) -> str:
    """SQL condition of events that mean that a user likes an item, and of searches."""
    liked = f"(event IS NULL OR NOT {is_in('event', NON_PREFERENCE_EVENTS)})"
    return f"({liked} OR query IS NOT NULL)" if "query" in table.schema.names else liked


def first_position(version: int) -> int:
    """Smallest position of events that were added after a version of the table."""
    return (version + 1) << POSITION_BITS


def write_events(store: Store, events: Mapping[str, Event]) -> int:
    """Insert events, or correct equal ones; the caller holds the writer lock.

    An event that is there already keeps its position, and its query if the new one has none. Unchanged events are not
    written.

    Args:
        events: by `event_id`, at most 2^20, in the order of their file.

    Returns:
        Number of new events.

    Raises:
        StoreError: the database cannot be written.
    """
    table = _writable_table(store)
    stored = _stored(table, events)
    revision = int(table.version) + 1
    rows = []
    added = 0
    for event_id, event in events.items():
        position: int | None = first_position(revision - 1) + added
        if event_id in stored:
            weight, query, position = stored[event_id]
            if (weight, query) == (event.weight, event.query or query):
                continue
            query = event.query or query
        else:
            query = event.query
            added += 1
        rows.append(
            {
                "event_id": event_id,
                "user_id": event.user_id,
                "item_id": event.item_id or "",
                "timestamp": event.time_us,
                "event": event.event,
                "weight": event.weight,
                "query": query,
                "position": position,
                "revision": revision,
            }
        )
    # writers on an object store have no lock, and the index then lets two of them insert one event twice
    use_index = store.folder is not None and _is_indexed(table)
    upsert(store, TABLE, table.schema, "event_id", rows, use_index=use_index)
    return added


def is_large(store: Store) -> bool:
    """Whether a log has enough events for indexes."""
    table = open_events(store)
    return table is not None and table.count_rows() >= MIN_INDEXED_EVENTS


def index_events(store: Store) -> None:
    """Index the log, so that one user's events and equal events are found fast; the caller holds the lock.

    Raises:
        StoreError: the database cannot be written.
    """
    table = open_events(store)
    if table is None:
        return

    def update_indexes(events: Table) -> None:
        indexed = [column for index in events.list_indices() for column in index.columns]
        for column in ("user_id", "event_id"):
            if column not in indexed:
                events.create_index(column, config=BTree())
        events.optimize()

    store.maintain(table, update_indexes)


def read_type_weights(table: Table | None) -> dict[str, float]:
    """Weight of each event type: those that were set, and the default ones.

    Raises:
        StoreError: a newer firstsight set them.
    """
    if table is None:
        return check_type_weights({})
    stored = (table.schema.field("weight").metadata or {}).get(_WEIGHTS_KEY, b"{}")
    try:
        return check_type_weights(json.loads(stored))
    except (ValueError, AttributeError, QueryError) as error:
        raise StoreError(
            f"the weights of event types cannot be read ({error}); set them again: firstsight events weights --reset"
        ) from None


def write_type_weights(store: Store, weights: Mapping[str, float]) -> None:
    """Set the weights of event types, in place of all earlier ones; the caller holds the writer lock.

    They are metadata of a column, so that a change gives the table a new version, and readers notice it.

    Raises:
        QueryError: a type or a weight is unknown or out of range.
        StoreError: the database cannot be written.
    """
    check_type_weights(weights)
    table = _writable_table(store)
    text = json.dumps(dict(weights))
    store.maintain(
        table, lambda t: t.update_field_metadata({"path": "weight", "metadata": {_WEIGHTS_KEY.decode(): text}})
    )


def _writable_table(store: Store) -> Table:
    try:
        table = open_events(store)
        if table is None:
            table = store.session.create_table(TABLE, schema=SCHEMA, exist_ok=True)
        missing = [field for field in SCHEMA if field.name not in table.schema.names]
        if missing:
            table.add_columns(missing)
    except (OSError, RuntimeError, ValueError) as error:
        raise unwritable(store, error) from error
    return table


def _stored(table: Table, events: Mapping[str, Event]) -> dict[str, tuple[float, str | None, int | None]]:
    """Weight, query and position of the events that the table has already."""
    columns = ("event_id", "weight", "query", "position")
    if _is_indexed(table) and len(events) * ROWS_PER_LOOKUP < table.count_rows():
        parts = list(Store.rows_by_id(table, list(events), key="event_id", columns=columns))
    else:
        ids = pa.array(list(events), pa.string())
        batches = read_columns(table, None, columns)
        parts = [pa.Table.from_batches([b.filter(pc.is_in(b["event_id"], value_set=ids))]) for b in batches]
    rows = (row for part in parts for row in zip(*(part[name].to_pylist() for name in columns), strict=True))
    return {str(event_id): (weight, query, position) for event_id, weight, query, position in rows}


def _is_indexed(table: Table) -> bool:
    return any(index.columns == ["event_id"] for index in table.list_indices())


def logged_queries(store: Store) -> Iterator[str]:
    """Yield the text of each search in the events; nothing without any."""
    table = open_events(store)
    if table is not None and "query" in table.schema.names:
        for batch in read_columns(table, "query IS NOT NULL", ("query",)):
            yield from (str(text) for text in batch["query"].to_pylist() if text)
