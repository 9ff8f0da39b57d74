"""Read the events of a log: expand its rows, choose its columns, find the unit of its times, and check each event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice

from firstsight.errors import CatalogError
from firstsight.indexer.formats.source import BadRow, Row, Source
from firstsight.recommend.events.column_names import SYNONYMS
from firstsight.recommend.events.event_columns import ROWS_ORDER, EventColumns, choose_columns
from firstsight.recommend.events.event_rows import Event, hash_user_id, read_event, read_id
from firstsight.recommend.events.event_times import (
    TIME_UNITS,
    RefusedRow,
    TimeUnit,
    detect_unit,
    position_us,
    time_us,
)
from firstsight.recommend.events.item_ids import ItemIds
from firstsight.recommend.events.row_expansion import PURCHASE, RowExpansion

BATCH = 50_000
"""Rows that are read and checked together: about 60 MB. The first batch decides the columns and the time unit."""

_Numbered = tuple[int, Row | BadRow]


@dataclass(frozen=True)
class EventOptions:
    """How to read a log of events.

    Attributes:
        mapping: names of the log's columns by ours (user_id, item_id, timestamp, event, weight, query); others are
            recognised.
        order: column of positions (0 is the oldest) of a log without times, or "rows" for the order of the rows.
        time_unit: unit of the times; None detects it.
        hash_users: store hashes instead of user ids.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    order: str | None = None
    time_unit: str | None = None
    hash_users: bool = False

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            CatalogError: an option has an unknown value, or two of them cannot be combined.
        """
        if self.time_unit is not None and self.time_unit not in TIME_UNITS:
            raise CatalogError(f"there is no time unit {self.time_unit!r}; give one of {', '.join(TIME_UNITS)}")
        for ours, name in self.mapping.items():
            if ours not in SYNONYMS:
                raise CatalogError(f"{ours!r} cannot be mapped; it is not one of {', '.join(SYNONYMS)}")
            if not isinstance(name, str):
                raise CatalogError(f"mapping of {ours!r} must be the name of one column, not {name!r}")
        if self.order is not None and (self.time_unit is not None or "timestamp" in self.mapping):
            raise CatalogError(
                "order is for logs without times; leave it out, or the time unit and the mapped timestamp"
            )


@dataclass
class EventBatch:
    """Events of some rows of a log.

    Attributes:
        rows: number of rows that should be events, refused ones included.
        events: the usable ones, on the ids of their items.
        refusals: the unusable rows, each with its place and reason.
        mapped: events on ids of merged variants, which count for the variants' items.
        unknown: events on items outside the index.
        searches: events with the text of a search.
    """

    rows: int
    events: list[Event]
    refusals: list[str]
    mapped: int = 0
    unknown: int = 0
    searches: int = 0


class EventReader:
    """Reads one log once. Reading the first batch decides the columns and the unit of the times.

    Attributes:
        columns: which column is taken for what.
        unit: "s", "ms", "us", "iso", "dmy", "mdy", or "order" for a log without times.

    Raises:
        CatalogError: the log cannot be read, lacks a column, has times of unclear unit, or has no row.
    """

    def __init__(self, source: Source, options: EventOptions, items: ItemIds) -> None:
        self._source, self._options, self._items, self._now = source, options, items, datetime.now(UTC)
        self._expansion = RowExpansion()
        self._rows = self._expansion.rows(source.rows())
        self._first = self._next_rows()
        self._positions: Counter[str] = Counter()
        rows = [row for _, row in self._first if not isinstance(row, BadRow)]
        if not rows:
            raise CatalogError(self._no_events())
        self.columns: EventColumns = choose_columns(
            rows,
            items,
            mapping=options.mapping,
            order=options.order,
            place=source.name,
            unit_is_given=options.time_unit is not None,
            hash_users=options.hash_users,
        )
        if self._expansion.adds_type:
            note = f"the orders have no event types; they are stored as {PURCHASE}"
            self.columns = replace(self.columns, notes=(*self.columns.notes, note))
        self.unit: str = "order" if options.order is not None else options.time_unit or self._detect_unit(rows)

    @property
    def format(self) -> str:
        """Name of the log's format, for messages."""
        return self._expansion.format or self._source.format

    @property
    def left_out(self) -> dict[str, int]:
        """Number of rows so far that are no events on items, by reason."""
        return dict(self._expansion.left_out)

    def batches(self) -> Iterator[EventBatch]:
        """Yield the events of all rows; once only."""
        rows, self._first = self._first, []
        while rows:
            yield self._read(rows)
            rows = self._next_rows()

    def _next_rows(self) -> list[_Numbered]:
        return list(islice(self._rows, BATCH))

    def _detect_unit(self, rows: Sequence[Row]) -> TimeUnit:
        return detect_unit((self.columns.canonical(row)["timestamp"] for row in rows), self._source.name)

    def _read(self, rows: list[_Numbered]) -> EventBatch:
        batch = EventBatch(len(rows), [], [])
        for number, row in rows:
            try:
                batch.events.append(self._event(row))
            except RefusedRow as problem:
                batch.refusals.append(f"{self._source.name}, {self._source.place} {number}: {problem}")
        ids = {event.item_id for event in batch.events if event.item_id is not None}
        merged = self._items.items_of_variants(ids)
        known = self._items.known(ids)
        batch.mapped = sum(event.item_id in merged for event in batch.events)
        batch.unknown = sum(event.item_id is not None and event.item_id not in known for event in batch.events)
        batch.searches = sum(event.query is not None for event in batch.events)
        if merged:
            batch.events = [
                replace(event, item_id=merged[event.item_id]) if event.item_id in merged else event
                for event in batch.events
            ]
        return batch

    def _event(self, row: Row | BadRow) -> Event:
        if isinstance(row, BadRow):
            raise RefusedRow(str(row))
        cells = self.columns.canonical(row)
        event = read_event(cells, self._moment_us(row, cells))
        return replace(event, user_id=hash_user_id(event.user_id)) if self._options.hash_users else event

    def _moment_us(self, row: Row, cells: Mapping[str, object]) -> int:
        if self.unit != "order":
            given = self._options.time_unit is not None
            return time_us(cells["timestamp"], self.unit, self._now, unit_is_given=given)
        if self.columns.order != ROWS_ORDER and self.columns.order is not None:
            return position_us(row.get(self.columns.order))
        user = read_id(cells, "user_id")
        self._positions[user] += 1
        return position_us(self._positions[user] - 1)

    def _no_events(self) -> str:
        name = self._source.name
        if self.left_out:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items())
            return f"{name} has no events on items: {reasons}"
        if self._first:
            return (
                f"none of the first {len(self._first)} rows of {name} is usable; the first problem: "
                f"{self._source.place} {self._first[0][0]}: {self._first[0][1]}"
            )
        return f"{name} has no events; give rows of user_id, timestamp, and item_id or query"
