"""The event log: which user interacted with which item or searched, and when. Index runs never write this table.

Events on items outside the index are kept as well. Readers leave them out; they appear as soon as such an item is
indexed. No column marks them, since such a mark could become wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from lancedb.table import Table

from firstsight.errors import CatalogError, QueryError
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import Source
from firstsight.recommend.events.event_counts import EventCounts, read_counts, write_counts
from firstsight.recommend.events.event_reader import EventOptions, EventReader
from firstsight.recommend.events.event_reports import AddedEvents, EventsPreview, EventsStatus
from firstsight.recommend.events.event_rows import Event
from firstsight.recommend.events.event_table import (
    index_events,
    is_large,
    open_events,
    read_type_weights,
    wanted_condition,
    write_events,
    write_type_weights,
)
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.events.item_ids import ItemIds
from firstsight.recommend.events.loaded_events import LoadedEvents
from firstsight.recommend.items import ItemSpace
from firstsight.storage.sql.conditions import quote
from firstsight.storage.store import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

DEFAULT_OPTIONS = EventOptions()

MAX_LISTED_REFUSALS = 10
"""Maximum number of refused rows that a report lists."""


class Events:
    """The event log of one database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loaded = LoadedEvents()

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
        """Add the events of a file. An event that is already there is not added again, so repeating a run adds nothing.

        Two events are equal if their user, item, time and type are equal, without an item also their query; the weight
        and the query of the later row win. Events at one time keep the order of the file. A row that
        cannot be used is refused alone: the other rows are added. An event on a merged variant counts for its item.

        Args:
            source: a file or folder name as `firstsight.indexer.formats.opening.open_source` reads it, `-` for JSON
                Lines on standard input, or an opened source. Columns for user_id, item_id and timestamp, and
                optionally event, weight (1 by default) and query, are recognised by their names and values. A row with
                a query and no item is a search, one with both a click on a result.
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
                searches=report.searches + batch.searches,
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
        if is_large(self._store):
            with self._store.writing(wait_s):
                index_events(self._store)
                table = self._open()
                assert table is not None  # it is large
                write_counts(self._store, table)
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
        """Count events, searches, users, items and types.

        A large log has these counts in a table of their own, and only events that were added since are read.
        """
        table = self._open()
        counts = EventCounts() if table is None else read_counts(self._store, table)
        indexed = ItemIds(self._store).known(counts.items)
        unknown = sum(count for item_id, count in counts.items.items() if item_id not in indexed)
        return EventsStatus(
            counts.events,
            counts.users,
            len(indexed),
            unknown,
            len(counts.items) - len(indexed),
            _to_datetime(counts.first) if counts.events else None,
            _to_datetime(counts.last) if counts.events else None,
            dict(counts.types),
            counts.searches,
        )

    def interactions(self, space: ItemSpace, before: datetime | None = None) -> Interactions:
        """Read all events on items of the space that mean that a user likes an item, and the searches of their users.

        Later calls read only the events that were added or corrected since.

        Args:
            space: the items.
            before: only events and searches before this moment.

        Raises:
            QueryError: there are no such events.
        """
        table = self._open()
        if table is None:
            raise QueryError(f"{self._store.uri} has no events; add some first: firstsight events add FILE")
        self._loaded.refresh(table)
        interactions = self._loaded.interactions(space)
        if before is not None:
            interactions = interactions.before(to_us(before))
        if not len(interactions):
            raise QueryError(
                f"{self._store.uri} has no events on items of its index; see firstsight events status, then index the "
                "items or add events on indexed ones"
            )
        return interactions

    def history(self, user_id: str, space: ItemSpace, before: datetime | None = None) -> History:
        """Read one user's events on items of the space, and searches, oldest first; empty for an unknown user."""
        table = self._open()
        if table is None:
            return History.of(np.empty(0, dtype=np.int64))
        condition = f"user_id = {quote(user_id)} AND {wanted_condition(table)}"
        if before is not None:
            condition += f" AND timestamp < to_timestamp_micros({to_us(before)})"
        return LoadedEvents.of(table, condition).history(space)

    def type_weights(self) -> dict[str, float]:
        """Weight of each event type, which models multiply with the weights of events."""
        return read_type_weights(self._open())

    def set_type_weights(self, weights: Mapping[str, float], *, wait_s: float = 0.0) -> dict[str, float]:
        """Set weights of event types; types that are left out get their default weight.

        Raises:
            QueryError: a type is unknown, or a weight is not above 0 and up to 100.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        with self._store.writing(wait_s):
            write_type_weights(self._store, weights)
        return self.type_weights()

    def version(self) -> int:
        """Version of the table, for caches; 0 if there are no events."""
        table = self._open()
        return 0 if table is None else int(table.version)

    # ---- inside

    def _open(self) -> Table | None:
        """The newest version of the table."""
        return open_events(self._store)

    def _reader(self, source: str | Source, options: EventOptions, encoding: str) -> tuple[EventReader, str]:
        """A reader of the source, and the source's name."""
        opened = open_source(source, encoding=encoding) if isinstance(source, str) else source
        return EventReader(opened, options, ItemIds(self._store)), opened.name

    def _write(self, events: dict[str, Event], report: AddedEvents, wait_s: float) -> AddedEvents:
        if not events:
            return report
        times = [event.time_us for event in events.values()]
        with self._store.writing(wait_s):
            added = write_events(self._store, events)
        return replace(
            report,
            added=report.added + added,
            first=min(filter(None, (report.first, _to_datetime(min(times))))),
            last=max(filter(None, (report.last, _to_datetime(max(times))))),
        )


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of a time with a zone."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _to_datetime(time_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_us)
