"""The event log: which user interacted with which item, and when. Index runs never write this table.

Events on items outside the index are kept as well. Readers leave them out; they appear as soon as such an item is
indexed. No column marks them, since such a mark could become wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lancedb.index import BTree
from lancedb.table import Table
from numpy.typing import NDArray

from firstsight.errors import CatalogError, QueryError
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import Source
from firstsight.recommend.events.event_reader import EventOptions, EventReader
from firstsight.recommend.events.event_reports import AddedEvents, EventsPreview, EventsStatus
from firstsight.recommend.events.event_rows import Event
from firstsight.recommend.events.event_types import type_code
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.events.item_ids import ItemIds
from firstsight.recommend.items import NEVER, ItemSpace
from firstsight.storage.side_tables import open_side_table, upsert
from firstsight.storage.sql.conditions import is_in, quote
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

TABLE = "events"

READ_ROWS = 50_000
"""Events that are read from the table together."""

DEFAULT_OPTIONS = EventOptions()

MIN_INDEXED_EVENTS = 50_000
"""Number of events from which the user column gets an index."""

MAX_LISTED_REFUSALS = 10
"""Maximum number of refused rows that a report lists."""

NON_PREFERENCE_EVENTS = ("impression", "skip", "hide", "dislike", "report")
"""Event types that do not mean that a user likes an item: stored, but left out of histories and of training."""

_FIELDS: list[pa.Field[Any]] = [
    pa.field("event_id", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("user_id", pa.string(), nullable=False),
    pa.field("item_id", pa.string(), nullable=False),
    pa.field("timestamp", TIME, nullable=False),
    pa.field("event", pa.string()),
    pa.field("weight", pa.float64(), nullable=False),
]
SCHEMA = pa.schema(_FIELDS)


class Events:
    """The event log of one database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self,
        source: str | Source,
        *,
        options: EventOptions = DEFAULT_OPTIONS,
        encoding: str = "utf-8",
        wait_s: float = 0.0,
        on_columns: Callable[[EventReader], None] = lambda reader: None,
        on_progress: Callable[[AddedEvents], None] = lambda so_far: None,
    ) -> AddedEvents:
        """Add the events of a file. An event that is already there is overwritten, so repeating a run adds nothing.

        Two events are equal if their user, item, time and type are equal; the weight of the later row wins. A row that
        cannot be used is refused alone: the other rows are added. An event on a merged variant counts for its item.

        Args:
            source: a file or folder name as `firstsight.indexer.formats.opening.open_source` reads it, `-` for JSON
                Lines on standard input, or an opened source. Columns for user_id, item_id and timestamp, and
                optionally event and weight (1 by default), are recognised by their names and values.
            options: columns, order and time unit. Times without a zone are UTC.
            encoding: of a text file.
            wait_s: maximum wait for another process that is writing, in seconds.
            on_columns: called once before anything is written, when format, columns and time unit are known.
            on_progress: called with the report so far after each batch.

        Raises:
            CatalogError: the file cannot be read, lacks a column, has times of unclear unit, or has no usable row.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written. Batches that were written before stay.
        """
        reader, name = self._reader(source, options, encoding)
        on_columns(reader)
        report = AddedEvents(time_unit=reader.unit, columns=reader.columns)
        for batch in reader.batches():
            report = replace(
                report,
                rows=report.rows + batch.rows,
                refused=report.refused + len(batch.refusals),
                refusals=(*report.refusals, *batch.refusals[: MAX_LISTED_REFUSALS - len(report.refusals)]),
                unknown=report.unknown + batch.unknown,
                mapped=report.mapped + batch.mapped,
                left_out=reader.left_out,
                format=reader.format,
            )
            report = self._write({event.event_id: event for event in batch.events}, report, wait_s)
            on_progress(report)
        report = replace(report, left_out=reader.left_out)
        if report.refused == report.rows:
            raise CatalogError(
                f"none of the {report.rows} rows of {name} is usable; the first problem: {report.refusals[0]}"
            )
        self._index(wait_s)
        return report

    def preview(
        self, source: str | Source, *, options: EventOptions = DEFAULT_OPTIONS, encoding: str = "utf-8", events: int = 3
    ) -> EventsPreview:
        """Read the first rows of a file as `add` does, and write nothing.

        Args:
            source, options, encoding: as for `add`.
            events: maximum number of events in the preview.

        Raises:
            CatalogError: the file cannot be read, lacks a column, or has times of unclear unit.
        """
        reader, _ = self._reader(source, options, encoding)
        first = next(reader.batches())
        refusals = tuple(first.refusals[:MAX_LISTED_REFUSALS])
        return EventsPreview(reader.format, reader.unit, reader.columns, tuple(first.events[:events]), refusals)

    def status(self) -> EventsStatus:
        """Count events, users, items and types. Reads the ids of every event."""
        table = self._open()
        users: set[str] = set()
        items: Counter[str] = Counter()
        types: Counter[str] = Counter()
        first, last = NEVER, -NEVER
        columns = ["user_id", "item_id", "timestamp", "event"]
        for batch in [] if table is None else table.search().select(columns).limit(None).to_batches(READ_ROWS):
            users.update(map(str, batch["user_id"].unique().to_pylist()))
            items.update(map(str, batch["item_id"].to_pylist()))
            types.update(name or "" for name in batch["event"].to_pylist())
            times = batch["timestamp"].cast(pa.int64()).to_numpy()
            first, last = min(first, int(times.min())), max(last, int(times.max()))
        indexed = ItemIds(self._store).known(items)
        unknown = sum(count for item_id, count in items.items() if item_id not in indexed)
        return EventsStatus(
            items.total(),
            len(users),
            len(indexed),
            unknown,
            len(items) - len(indexed),
            _to_datetime(first) if items else None,
            _to_datetime(last) if items else None,
            dict(types),
        )

    def interactions(self, space: ItemSpace, before: datetime | None = None) -> Interactions:
        """Read all events on items of the space that mean that a user likes an item.

        Args:
            space: the items.
            before: only events before this moment.

        Raises:
            QueryError: there are no such events.
        """
        table = self._open()
        if table is None:
            raise QueryError(f"{self._store.uri} has no events; add some first: firstsight events add FILE")
        query = (
            table.search()
            .select(["user_id", "item_id", "timestamp", "weight", "event"])
            .where(_preference_condition(before))
            .limit(None)
        )
        parts = []
        ids = pa.array(space.item_ids, pa.string())
        for batch in query.to_batches(READ_ROWS):
            places = pc.index_in(batch["item_id"], value_set=ids)
            part = pa.table(
                {
                    "user": batch["user_id"],
                    "item": places,
                    "time": batch["timestamp"].cast(pa.int64()),
                    "weight": batch["weight"],
                    "type": pa.array(_type_codes(batch["event"])),
                }
            )
            parts.append(part.filter(places.is_valid()))
        events = pa.concat_tables(parts) if parts else None
        if events is None or not events.num_rows:
            raise QueryError(
                f"{self._store.uri} has no events on items of its index; see firstsight events status, then index the "
                "items or add events on indexed ones"
            )
        codes = events["user"].combine_chunks().dictionary_encode()
        names = codes.dictionary.to_numpy(zero_copy_only=False)
        order = np.argsort(names)
        sorted_place = np.empty(len(names), dtype=np.int64)
        sorted_place[order] = np.arange(len(names))
        users = sorted_place[codes.indices.to_numpy(zero_copy_only=False)]
        items, times = events["item"].to_numpy().astype(np.int64), events["time"].to_numpy()
        by = np.lexsort((items, times, users))  # a table returns its rows in any order
        weights, types = events["weight"].to_numpy(), events["type"].to_numpy()
        return Interactions(space, names[order], users[by], items[by], times[by], weights[by], types[by])

    def history(self, user_id: str, space: ItemSpace, before: datetime | None = None) -> History:
        """Read one user's events on items of the space, oldest first; empty for an unknown user."""
        table = self._open()
        if table is None:
            return History.of(np.empty(0, dtype=np.int64))
        query = table.search().where(f"user_id = {quote(user_id)} AND {_preference_condition(before)}")
        rows = query.select(["item_id", "timestamp", "weight", "event"]).limit(None).to_arrow()
        items = space.places(map(str, rows["item_id"].to_pylist()))
        times = rows["timestamp"].cast(pa.int64()).to_numpy()
        order = np.lexsort((items, times))
        order = order[items[order] >= 0]
        types = _type_codes(rows["event"].combine_chunks())
        return History(items[order], times[order], rows["weight"].to_numpy()[order], types[order])

    def version(self) -> int:
        """Version of the table, for caches; 0 if there are no events."""
        table = self._open()
        return 0 if table is None else int(table.version)

    # ---- inside

    def _open(self) -> Table | None:
        """The newest version of the table."""
        return open_side_table(self._store, TABLE)

    def _reader(self, source: str | Source, options: EventOptions, encoding: str) -> tuple[EventReader, str]:
        """A reader of the source, and the source's name."""
        opened = open_source(source, encoding=encoding) if isinstance(source, str) else source
        return EventReader(opened, options, ItemIds(self._store)), opened.name

    def _write(self, events: dict[str, Event], report: AddedEvents, wait_s: float) -> AddedEvents:
        if not events:
            return report
        times = [event.time_us for event in events.values()]
        rows = [
            {
                "event_id": event_id,
                "user_id": event.user_id,
                "item_id": event.item_id,
                "timestamp": event.time_us,
                "event": event.event,
                "weight": event.weight,
            }
            for event_id, event in events.items()
        ]
        with self._store.writing(wait_s):
            added = upsert(self._store, TABLE, SCHEMA, "event_id", rows)
        return replace(
            report,
            added=report.added + added,
            first=min(filter(None, (report.first, _to_datetime(min(times))))),
            last=max(filter(None, (report.last, _to_datetime(max(times))))),
        )

    def _index(self, wait_s: float) -> None:
        """Index the user column of a large log, so that one user's events are found without reading all."""
        table = self._open()
        if table is None or table.count_rows() < MIN_INDEXED_EVENTS:
            return

        def update_index(events: Table) -> None:
            if not any(index.columns == ["user_id"] for index in events.list_indices()):
                events.create_index("user_id", config=BTree())
            events.optimize()

        with self._store.writing(wait_s):
            self._store.maintain(table, update_index)


def _type_codes(names: Any) -> NDArray[np.int8]:
    """(rows,) codes of event types."""
    encoded = names.fill_null("").dictionary_encode()
    codes = np.array([type_code(name) for name in encoded.dictionary.to_pylist()], dtype=np.int8)
    return np.asarray(codes[encoded.indices.to_numpy(zero_copy_only=False)])


def _to_datetime(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def _preference_condition(before: datetime | None) -> str:
    condition = f"(event IS NULL OR NOT {is_in('event', NON_PREFERENCE_EVENTS)})"
    if before is None:
        return condition
    return f"{condition} AND timestamp < to_timestamp_micros({int(before.timestamp() * 1_000_000)})"
