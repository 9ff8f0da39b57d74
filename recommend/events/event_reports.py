"""Reports about the event log: the result of adding a file, and counts of the whole log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from firstsight.recommend.events.event_columns import EventColumns
from firstsight.recommend.events.event_rows import Event


@dataclass
class AddedEvents:
    """Result of adding a file of events.

    Attributes:
        rows: events read, refused ones included. A row of an order export can have several.
        added: new events; the other usable rows overwrote equal events.
        refused: rows that could not be used.
        refusals: the first refused rows, each with its place and reason.
        unknown: usable events on items outside the index.
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
    refusals: list[str] = field(default_factory=list)
    unknown: int = 0
    mapped: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    time_unit: str = "iso"
    first: datetime | None = None
    last: datetime | None = None
    format: str = ""
    columns: EventColumns | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON fields."""
        columns = self.columns.to_dict() if self.columns else {}
        return {**vars(self), **columns, "repeated": self.rows - self.refused - self.added}


@dataclass(frozen=True)
class EventsPreview:
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
    events: list[Event]
    refusals: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The preview as JSON fields; times as text in UTC."""
        events = [
            {
                "user_id": event.user_id,
                "item_id": event.item_id,
                "timestamp": (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=event.time_us)).isoformat(),
                "event": event.event,
                "weight": event.weight,
            }
            for event in self.events
        ]
        head = {"dry_run": True, "format": self.format, "time_unit": self.time_unit}
        return {**head, **self.columns.to_dict(), "events": events, "refusals": self.refusals}


@dataclass(frozen=True)
class EventsStatus:
    """Counts of the event log."""

    events: int
    users: int
    items: int  # items in the index
    unknown_events: int  # events on items outside the index
    unknown_items: int  # items outside the index
    first: datetime | None
    last: datetime | None
    types: dict[str, int]  # number of events by type; "" for events without a type
