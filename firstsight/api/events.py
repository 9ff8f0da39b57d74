"""The log of user events, in the Python API."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from firstsight.api.connection import DatabaseConnection
from firstsight.indexer.formats.input_kinds import CatalogueInput, open_input

if TYPE_CHECKING:
    from firstsight.recommend.events.event_reports import AddedEvents, EventsStatus


class EventsPart(DatabaseConnection):
    """Events of users on items."""

    def add_events(self, source: CatalogueInput, **options: Any) -> AddedEvents:
        """Add events to the log; events that the log has already are ignored.

        Args:
            source: a file or rows in memory, of the same kinds as for `index`, with the columns user_id, item_id and
                timestamp, and optionally event and weight.
            options: time_unit, encoding, wait_s and on_progress, as for
                `firstsight.recommend.events.event_log.Events.add`.

        Raises:
            CatalogError: the file cannot be read, its time unit is unclear, or no row can be used.
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.recommend.events.event_log import Events

        events = Events(self._open())
        if isinstance(source, str | os.PathLike):
            return events.add(os.fspath(source), **options)
        return events.add(open_input(source), **options)

    def events_status(self) -> EventsStatus:
        """Count the events, their users, and their items that are not in the index."""
        from firstsight.recommend.events.event_log import Events

        return Events(self._open()).status()
