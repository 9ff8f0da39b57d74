"""Reports about the event log: the result of adding a file, and counts of the whole log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from firstsight.recommend.events.event_rows import TimeUnit


@dataclass
class AddedEvents:
    """Result of adding a file of events.

    Attributes:
        rows: rows read, refused ones included.
        added: new events; the other usable rows overwrote equal events.
        refused: rows that could not be used.
        refusals: the first refused rows, each with its place and reason.
        unknown: usable events on items outside the index.
        time_unit: unit of the file's times: "s", "ms", "us" or "iso".
        first, last: the oldest and the newest usable event.
    """

    rows: int = 0
    added: int = 0
    refused: int = 0
    refusals: list[str] = field(default_factory=list)
    unknown: int = 0
    time_unit: TimeUnit = "iso"
    first: datetime | None = None
    last: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON fields."""
        return {**vars(self), "repeated": self.rows - self.refused - self.added}


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
