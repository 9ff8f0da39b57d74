"""What is said of the log of events: what became of a file, and what there is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from firstsight.recommend.events.event_rows import TimeUnit


@dataclass
class AddedEvents:
    """What became of a file.

    Attributes:
        rows: read, those that were refused as well.
        added: events that were not there before; the others were written over themselves.
        refused: rows that could not be taken.
        refusals: the first of them, each with its place and reason.
        unknown: events, among those taken, on items that the index does not have.
        time_unit: of the file's times: "s", "ms", "us" or "iso".
        first, last: the oldest and newest event taken.
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
        """What JSON holds of it."""
        return {**vars(self), "repeated": self.rows - self.refused - self.added}


@dataclass(frozen=True)
class EventsStatus:
    """What the log holds."""

    events: int
    users: int
    items: int  # that the index has
    unknown_events: int  # on items that it does not have
    unknown_items: int
    first: datetime | None
    last: datetime | None
    types: dict[str, int]  # event type to how many; "" for events without one
