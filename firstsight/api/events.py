"""The log of user events, in the Python API."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from firstsight.api.connection import DatabaseConnection
from firstsight.indexer.inputs.input_kinds import CatalogueInput, open_input

if TYPE_CHECKING:
    from firstsight.indexer.formats.source import Source
    from firstsight.recommend.events.event_reader import EventOptions
    from firstsight.recommend.events.event_reports import AddedEvents, EventsPreview, EventsStatus


class EventsPart(DatabaseConnection):
    """Events of users on items."""

    def add_events(
        self,
        source: CatalogueInput,
        *,
        mapping: Mapping[str, str] | None = None,
        order: str | None = None,
        time_unit: str | None = None,
        hash_users: bool = False,
        **options: Any,
    ) -> AddedEvents:
        """Add events to the log; events that the log has already are ignored.

        Args:
            source: a file, or rows in memory of the same kinds as for `index`: a log, a GA4 export, or orders of
                Shopify or WooCommerce. Columns for user_id, item_id and timestamp, and optionally event and weight, are
                recognised.
            mapping: names of the file's columns by ours, such as {"user_id": "customer", "item_id": "sku"}.
            order: column of positions (0 is the oldest) of a log without times, or "rows" for the order of the rows.
            time_unit: "s", "ms" or "us" since 1970, "iso" for dates, or "dmy" or "mdy" for dates such as 05/01/2026. By
                default it is detected from the first 50,000 rows.
            hash_users: store hashes instead of user ids (`firstsight.recommend.events.event_rows.hash_user_id`).
            options: encoding, wait_s, on_columns and on_progress, as for
                `firstsight.recommend.events.event_log.Events.add`.

        Raises:
            CatalogError: the file cannot be read, a column is missing, its time unit is unclear, or no row can be used.
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.recommend.events.event_log import Events

        read_as = _event_options(mapping, order, time_unit, hash_users)
        return Events(self._open()).add(_source(source), options=read_as, **options)

    def preview_events(
        self,
        source: CatalogueInput,
        *,
        mapping: Mapping[str, str] | None = None,
        order: str | None = None,
        time_unit: str | None = None,
        hash_users: bool = False,
        **options: Any,
    ) -> EventsPreview:
        """Show which columns `add_events` would use, and the first three events; nothing is written.

        Args:
            source, mapping, order, time_unit, hash_users: as for `add_events`.
            options: encoding, and events (maximum number of events).

        Raises:
            CatalogError: the file cannot be read, a column is missing, or its time unit is unclear.
            MissingDatabaseError: there is no database.
        """
        from firstsight.recommend.events.event_log import Events

        read_as = _event_options(mapping, order, time_unit, hash_users)
        return Events(self._open()).preview(_source(source), options=read_as, **options)

    def events_status(self) -> EventsStatus:
        """Count the events, their users, and their items that are not in the index."""
        from firstsight.recommend.events.event_log import Events

        return Events(self._open()).status()


def _source(source: CatalogueInput) -> str | Source:
    return os.fspath(source) if isinstance(source, str | os.PathLike) else open_input(source)


def _event_options(
    mapping: Mapping[str, str] | None, order: str | None, time_unit: str | None, hash_users: bool
) -> EventOptions:
    from firstsight.recommend.events.event_reader import EventOptions

    return EventOptions(mapping or {}, order, time_unit, hash_users)
