"""The log of user events, in the Python API."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from firstsight.api.connection import Connection
from firstsight.indexer.inputs.input_kinds import CatalogueInput, open_input

if TYPE_CHECKING:
    from firstsight.indexer.formats.source import Source
    from firstsight.recommend.events.event_reader import EventOptions
    from firstsight.recommend.events.event_reports import AddedEvents, EventsPreview, EventsStatus


class EventLog:
    """Events of users on items, and their searches."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        source: CatalogueInput,
        *,
        mapping: Mapping[str, str] | None = None,
        order: str | None = None,
        time_unit: str | None = None,
        hash_users: bool = False,
        encoding: str = "utf-8",
        wait_s: float = 0.0,
        on_columns: Callable[[EventsPreview], None] = lambda columns: None,
        on_progress: Callable[[AddedEvents], None] = lambda so_far: None,
    ) -> AddedEvents:
        """Add events to the log; events that the log has already are ignored.

        Args:
            source: a file, or rows in memory of the same kinds as for `index`: a log, a GA4 export, or orders of
                Shopify or WooCommerce. Columns for user_id, item_id and timestamp, and optionally event, weight and
                query (the text of a search; a row with a query needs no item), are recognised.
            mapping: names of the file's columns by ours, such as {"user_id": "customer", "item_id": "sku"}.
            order: column of positions (0 is the oldest) of a log without times, or "rows" for the order of the rows.
            time_unit: "s", "ms" or "us" since 1970, "iso" for dates, or "dmy" or "mdy" for dates such as 05/01/2026. By
                default it is detected from the first 50,000 rows.
            hash_users: store hashes instead of user ids (`firstsight.recommend.events.event_rows.hash_user_id`).
            encoding: of a text file.
            wait_s: maximum wait for another writer, in seconds.
            on_columns: called once before anything is written, with the format, the columns and the time unit.
            on_progress: called with the report so far after each batch.

        Raises:
            CatalogError: the file cannot be read, a column is missing, its time unit is unclear, or no row can be used.
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written. Batches that were written before stay.
        """
        from firstsight.recommend.events.event_log import Events
        from firstsight.recommend.events.event_reports import EventsPreview

        return Events(self._connection.open()).add(
            _source(source),
            options=_event_options(mapping, order, time_unit, hash_users),
            encoding=encoding,
            wait_s=wait_s,
            on_columns=lambda reader: on_columns(EventsPreview(reader.format, reader.unit, reader.columns, (), ())),
            on_progress=on_progress,
        )

    def preview(
        self,
        source: CatalogueInput,
        *,
        mapping: Mapping[str, str] | None = None,
        order: str | None = None,
        time_unit: str | None = None,
        hash_users: bool = False,
        encoding: str = "utf-8",
        events: int = 3,
    ) -> EventsPreview:
        """Show which columns `add` would use, and the first events; nothing is written.

        Args:
            source, mapping, order, time_unit, hash_users, encoding: as for `add`.
            events: maximum number of events.

        Raises:
            CatalogError: the file cannot be read, a column is missing, or its time unit is unclear.
            MissingDatabaseError: there is no database.
        """
        from firstsight.recommend.events.event_log import Events

        read_as = _event_options(mapping, order, time_unit, hash_users)
        return Events(self._connection.open()).preview(
            _source(source), options=read_as, encoding=encoding, events=events
        )

    def status(self) -> EventsStatus:
        """Count the events, their users, and their items that are not in the index.

        Raises:
            MissingDatabaseError: there is no database.
        """
        from firstsight.recommend.events.event_log import Events

        return Events(self._connection.open()).status()

    def type_weights(self) -> dict[str, float]:
        """Read the weight of each event type: models multiply it with the weights of events.

        Raises:
            MissingDatabaseError: there is no database.
        """
        from firstsight.recommend.events.event_log import Events

        return Events(self._connection.open()).type_weights()

    def set_type_weights(self, weights: Mapping[str, float], *, wait_s: float = 0.0) -> dict[str, float]:
        """Set weights of event types, such as {"purchase": 3}; types that are left out get their default weight.

        Fit models again afterwards; slates use the new weights within a minute.

        Args:
            weights: above 0 and up to 100, by type: other, view, click, watch, like, share, follow, comment, cart,
                purchase, gift or search click.
            wait_s: maximum wait for another writer, in seconds.

        Returns:
            The weight of each type.

        Raises:
            QueryError: a type is unknown, or a weight is out of range.
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.recommend.events.event_log import Events

        return Events(self._connection.open()).set_type_weights(weights, wait_s=wait_s)


def _source(source: CatalogueInput) -> str | Source:
    return os.fspath(source) if isinstance(source, str | os.PathLike) else open_input(source)


def _event_options(
    mapping: Mapping[str, str] | None, order: str | None, time_unit: str | None, hash_users: bool
) -> EventOptions:
    from firstsight.recommend.events.event_reader import EventOptions

    return EventOptions(mapping or {}, order, time_unit, hash_users)
