"""Tables of `firstsight events add`: which column is taken for what, and the first events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from firstsight.cli.output import print_message

if TYPE_CHECKING:
    from firstsight.recommend.events.event_columns import EventColumns
    from firstsight.recommend.events.event_rows import Event

MAX_LISTED = 12
"""Names of unused columns that are listed."""


def print_columns(name: str, format_name: str, columns: EventColumns) -> None:
    """Print which column is taken for what, on stderr."""
    print_message(f"{name}: {format_name}")
    rows = [
        (ours, " + ".join(names), f"{columns.filled[ours]:.0%}", ", ".join(columns.other.get(ours, ())))
        for ours, names in columns.taken.items()
    ]
    if columns.order is not None:
        rows.insert(2, ("timestamp", "order of the rows" if columns.order == "rows" else columns.order, "", ""))
    for line in _lines(("for", "column", "filled", "not used"), rows):
        print_message(line)
    if columns.unused:
        more = len(columns.unused) - MAX_LISTED
        listed = ", ".join(columns.unused[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
        print_message(f"not read: {listed}")
    for note in columns.notes:
        print_message(f"note: {note}")


def print_events(events: Sequence[Event]) -> None:
    """Print events, on stderr."""
    from datetime import UTC, datetime, timedelta

    rows = [
        (
            event.user_id,
            event.item_id or "",
            f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=event.time_us):%Y-%m-%d %H:%M:%S}",
            event.event or "",
            f"{event.weight:g}",
            event.query or "",
        )
        for event in events
    ]
    heads = ("user_id", "item_id", "timestamp (UTC)", "event", "weight", "query")
    shown = len(heads) if any(event.query for event in events) else len(heads) - 1
    for line in _lines(heads[:shown], [row[:shown] for row in rows]):
        print_message(line)


def _lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table with aligned columns."""
    table = [heads, *([cell[:60] for cell in row] for row in rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(heads))]
    for row in table:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
