"""Reports about the event log: the result of adding a file, and counts of the whole log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from firstsight.recommend.events.event_columns import EventColumns
from firstsight.recommend.events.event_rows import Event
from firstsight.records import Record


@dataclass(frozen=True)
class AddedEvents(Record):
    """Result of adding a file of events.

    Attributes:
        rows: events read, refused ones included. A row of an order export can have several.
        added: new events; the other usable rows overwrote equal events.
        refused: rows that could not be used.
        refusals: the first refused rows, each with its place and reason.
        unknown: usable events on items outside the index.
        searches: usable rows with the text of a search, with an item or without.
        mapped: usable events on ids of merged variants; they count for the items of the variants.
        left_out: number of rows that are no events on items, by reason; they are not among `rows`.
        time_unit: unit of the file's times: "s", "ms", "us", "iso" (dates), "dmy" or "mdy" (dates with slashes, day or
            month first), or "order" for a file with positions instead of times.
        first, last: the oldest and the newest usable event.
        format: of the file, such as "Shopify orders".
        columns: which column is taken for what.
    """

    rows: int = 0
    added: int = 0
    refused: int = 0
    refusals: tuple[str, ...] = ()
    unknown: int = 0
    searches: int = 0
    mapped: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    time_unit: str = "iso"
    first: datetime | None = None
    last: datetime | None = None
    format: str = ""
    columns: EventColumns | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON fields."""
        columns = self.columns.to_dict() if self.columns else {}
        return super().to_dict() | columns | {"repeated": self.rows - self.refused - self.added}


@dataclass(frozen=True)
class EventsPreview(Record):
    """Preview of a file of events, from its first rows; nothing is written.

    Attributes:
        format: of the file, such as "Shopify orders".
        time_unit: as in `AddedEvents`.
        columns: which column is taken for what.
        events: the first usable events.
        refusals: the first refused rows, each with its place and reason.
    """

    format: str
    time_unit: str
    columns: EventColumns
    events: tuple[Event, ...]
    refusals: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The preview as JSON fields; times as text in UTC."""
        head = {"dry_run": True, "format": self.format, "time_unit": self.time_unit}
        events = [event.to_dict() for event in self.events]
        return head | self.columns.to_dict() | {"events": events, "refusals": list(self.refusals)}


@dataclass(frozen=True)
class EventsStatus(Record):
    """Counts of the event log."""

    events: int  # searches without an item included
    users: int
    items: int  # items in the index
    unknown_events: int  # events on items outside the index
    unknown_items: int  # items outside the index
    first: datetime | None
    last: datetime | None
    types: Mapping[str, int]  # number of events by type; "" for events without a type
    searches: int = 0  # events with the text of a search, with an item or without
