"""What a database learns from events, as part of the Python API: the log itself, and models for new items."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from firstsight.api.connection import DatabaseConnection

if TYPE_CHECKING:
    from firstsight.recommend.events.event_reports import AddedEvents, EventsStatus
    from firstsight.recommend.models.cold_start_model import ColdStartVersion

FIT_WAIT_S = 60.0
"""For another process that is writing: what was fitted should not be lost to it."""


class EventsPart(DatabaseConnection):
    """Events of users on items, and what is fitted to them."""

    def add_events(self, source: str | os.PathLike[str], **how: Any) -> AddedEvents:
        """Add the events of a file; what is there already is not doubled.

        Args:
            source: CSV, TSV, JSON Lines or Parquet with user_id, item_id, timestamp, and optionally event and weight.
            how: time_unit, encoding, wait_s and on_progress, as in `firstsight.recommend.events.event_log.Events.add`.

        Raises:
            CatalogError: the file cannot be read, its times cannot be told, or no row can be taken.
            MissingDatabaseError, DatabaseBusyError, StoreError: it could not be written.
        """
        from firstsight.recommend.events.event_log import Events

        return Events(self._open()).add(os.fspath(source), **how)

    def events_status(self) -> EventsStatus:
        """How many events there are, of how many users, and on how many items that the index does not have."""
        from firstsight.recommend.events.event_log import Events

        return Events(self._open()).status()

    def fit_cold_start(
        self, *, use: bool = True, wait_s: float = FIT_WAIT_S, on_progress: Callable[[str], None] = lambda step: None
    ) -> ColdStartVersion:
        """Learn from all events how new items are to be ranked, and keep it as the next version.

        Args:
            use: put it in use, in the place of another.
            wait_s: seconds to wait, at the end, for another process that is writing.
            on_progress: told each step.

        Returns:
            The version; `figures` has the recall@20 of held-out cold items, beside that of its parents and of chance.

        Raises:
            QueryError: there are no events, or too few.
            OptionalDependencyError: implicit is not installed.
            DatabaseBusyError, StoreError: it could not be kept.
        """
        from firstsight.recommend.events.event_log import Events
        from firstsight.recommend.items import ItemSpace
        from firstsight.recommend.models.cold_start_model import fit_cold_start_model

        store = self._open()
        on_progress("reading items and events")
        space = ItemSpace.load(store)
        train = Events(store).interactions(space)
        return fit_cold_start_model(store, space, train, use=use, wait_s=wait_s, on_progress=on_progress)

    def cold_start_models(self) -> list[ColdStartVersion]:
        """Every cold-start model, oldest first."""
        from firstsight.recommend.models.cold_start_model import list_cold_start_models

        return list_cold_start_models(self._open())

    def use_cold_start(self, version: int | None, *, wait_s: float = FIT_WAIT_S) -> None:
        """Put a cold-start model in use, in the place of another; None for none of them.

        Raises:
            QueryError: there is no such version.
            DatabaseBusyError, StoreError: it could not be written.
        """
        from firstsight.recommend.models.cold_start_model import use_cold_start_model

        use_cold_start_model(self._open(), version, wait_s=wait_s)
