"""What a database learns from events, as part of the Python API: the log itself, and models for new items."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from firstsight.connection import Connection

if TYPE_CHECKING:
    from firstsight.recommend.events import AddedEvents, EventsStatus


class Learning(Connection):
    """Events of users on items, and what is fitted to them."""

    def add_events(self, source: str | os.PathLike[str], **how: Any) -> AddedEvents:
        """Add the events of a file; what is there already is not doubled.

        Args:
            source: CSV, TSV, JSON Lines or Parquet with user_id, item_id, timestamp, and optionally event and weight.
            how: time_unit, encoding, wait_s and on_progress, as in `firstsight.recommend.events.Events.add`.

        Raises:
            CatalogError: the file cannot be read, its times cannot be told, or no row can be taken.
            MissingDatabaseError, DatabaseBusyError, StoreError: it could not be written.
        """
        from firstsight.recommend.events import Events

        return Events(self._open()).add(os.fspath(source), **how)

    def events_status(self) -> EventsStatus:
        """How many events there are, of how many users, and on how many items that the index does not have."""
        from firstsight.recommend.events import Events

        return Events(self._open()).status()
