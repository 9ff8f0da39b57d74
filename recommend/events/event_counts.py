"""Counts of a large event log in a table of their own, kept up by reading only the events added since.

The table belongs to a version of the events. A reader adds the events of later versions, so counts are right also after
a kill between the two writes. Counts that do not fit the number of events are made anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from lancedb.table import Table

from firstsight.recommend.events.event_table import first_position, read_columns
from firstsight.recommend.items import NEVER
from firstsight.storage.side_tables import merge_small_files, open_side_table, upsert
from firstsight.storage.store import Store

TABLE = "event_counts"

_FIELDS: list[pa.Field[Any]] = [
    pa.field("key", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("kind", pa.string(), nullable=False),  # item, user, type or total
    pa.field("count", pa.int64(), nullable=False),  # events; 0 for a user, who counts once
]
SCHEMA = pa.schema(_FIELDS)

_COLUMNS = ("user_id", "item_id", "timestamp", "event", "query")
_TOTALS = ("version", "events", "searches", "users", "first", "last")
_MAX_LOOKUPS = 10_000  # keys to look up; for more, all keys are read


@dataclass
class EventCounts:
    """Counts of an event log.

    Attributes:
        version: version of the table of events.
        events: all events, also searches without an item.
        searches: events with the text of a search.
        users: distinct users.
        first, last: microseconds since 1970; `NEVER` and `-NEVER` without events.
        items: events by item id.
        types: events by type; "" without a type.
    """

    version: int = 0
    events: int = 0
    searches: int = 0
    users: int = 0
    first: int = NEVER
    last: int = -NEVER
    items: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)

    def add(self, batches: Iterable[pa.RecordBatch]) -> set[str]:
        """Count events, without their users, and return the ids of the users."""
        users: set[str] = set()
        for batch in batches:
            if not len(batch):
                continue
            users.update(map(str, batch["user_id"].unique().to_pylist()))
            self.items.update(_counted(batch["item_id"]))
            self.types.update(_counted(batch["event"].fill_null("")))
            self.events += len(batch)
            self.searches += len(batch) - batch["query"].null_count
            times = batch["timestamp"].cast(pa.int64()).to_numpy()
            self.first, self.last = min(self.first, int(times.min())), max(self.last, int(times.max()))
        del self.items[""]  # searches without an item
        return users


def read_counts(store: Store, events: Table) -> EventCounts:
    """The counts of the present events: those that are stored, and the events added since."""
    return _present(store, events)[0]


def write_counts(store: Store, events: Table) -> None:
    """Store the counts of the present events; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    counts, before, users = _present(store, events)
    if counts.version == before.version:
        return
    if not before.version and open_side_table(store, TABLE) is not None:
        store.session.drop_table(TABLE)
    rows = [
        *(("i:" + name, "item", number) for name, number in counts.items.items() if number != before.items[name]),
        *(("t:" + name, "type", number) for name, number in counts.types.items() if number != before.types[name]),
        *(("u:" + name, "user", 0) for name in users),
        *(("=" + name, "total", getattr(counts, name)) for name in _TOTALS),
    ]
    upsert(store, TABLE, SCHEMA, "key", [dict(zip(SCHEMA.names, row, strict=True)) for row in rows])
    table = open_side_table(store, TABLE)
    if table is not None:
        merge_small_files(store, table)


def _present(store: Store, events: Table) -> tuple[EventCounts, EventCounts, set[str]]:
    """Present counts, the stored ones that they start from (empty if all events were read), and the users to add."""
    version, table = int(events.version), open_side_table(store, TABLE)
    stored, counts = (EventCounts(), EventCounts()) if table is None else (_stored(table), _stored(table))
    if table is not None and 0 < stored.version <= version:
        later = f"revision > {stored.version} AND position < {first_position(stored.version)} AND query IS NOT NULL"
        # a corrected event can have got the text of a search
        if stored.version == version or not events.count_rows(later):
            new = read_columns(events, f"position >= {first_position(stored.version)}", _COLUMNS)
            users = counts.add(new if stored.version < version else [])
            if counts.events == events.count_rows():
                users -= _known_users(table, users)
                counts.version, counts.users = version, counts.users + len(users)
                return counts, stored, users
    counts = EventCounts(version)
    users = counts.add(read_columns(events, None, _COLUMNS))
    counts.users = len(users)
    return counts, EventCounts(), users


def _stored(table: Table) -> EventCounts:
    rows = table.search().where("kind != 'user'").limit(None).to_arrow().to_pylist()
    totals = {row["key"][1:]: row["count"] for row in rows if row["kind"] == "total"}
    if set(totals) != set(_TOTALS):
        return EventCounts()
    return EventCounts(
        **totals,
        items=Counter({row["key"][2:]: row["count"] for row in rows if row["kind"] == "item"}),
        types=Counter({row["key"][2:]: row["count"] for row in rows if row["kind"] == "type"}),
    )


def _known_users(table: Table, users: set[str]) -> set[str]:
    keys = ["u:" + user for user in users]
    if len(keys) <= _MAX_LOOKUPS:
        parts = list(Store.rows_by_id(table, keys, key="key", columns=["key"]))
    else:
        parts = [table.search().where("kind = 'user'").select(["key"]).limit(None).to_arrow()]
    return users & {str(key)[2:] for part in parts for key in part["key"].to_pylist()}


def _counted(column: pa.Array[Any]) -> dict[str, int]:
    encoded = column.dictionary_encode()
    numbers = np.bincount(encoded.indices.to_numpy(zero_copy_only=False), minlength=len(encoded.dictionary))
    return dict(zip(map(str, encoded.dictionary.to_pylist()), numbers.tolist(), strict=True))
