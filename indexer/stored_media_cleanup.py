"""Removal of stored pictures and videos that no row of the database uses any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from firstsight.media.stored_files import remove_unused
from firstsight.media.stored_media import FOLDER, is_stored_name, media_location
from firstsight.storage.sql.conditions import in_chunks, is_in
from firstsight.storage.store import Store

MAX_NOTED: Final = 100_000
"""Maximum addresses that a run collects; with more, it compares all files with all rows at its end."""


def stored_media_of(store: Store, item_ids: Sequence[str]) -> set[str]:
    """Addresses of the stored media that the views and failures of these items name."""
    found: set[str] = set()
    if _has_none(store):
        return found
    for table in (store.views, store.failures):
        for rows in store.rows_by_id(table, item_ids, columns=["uri"], condition="uri LIKE 'stored://%'"):
            found.update(filter(is_stored_name, map(str, rows["uri"].to_pylist())))
    return found


def remove_unused_media(store: Store, among: set[str] | None = None) -> int:
    """Remove stored media without a view or failure; the caller holds the writer lock and has written its rows.

    Args:
        among: addresses that may be removed, from `stored_media_of`; None for all.

    Returns:
        Number of removed files.

    Raises:
        StoreError: a file cannot be removed.
    """
    if _has_none(store) or (among is not None and not among):
        return 0
    used: set[str] = set()
    conditions = (
        ["uri LIKE 'stored://%'"] if among is None else [is_in("uri", part) for part in in_chunks(sorted(among))]
    )
    for table in (store.views, store.failures):
        for condition in conditions:
            for batch in table.search().where(condition).select(["uri"]).limit(None).to_batches(10_000):
                used.update(map(str, batch["uri"].to_pylist()))
    return remove_unused(media_location(store.uri), used, among)


class UnusedStoredMedia:
    """Stored media that the items of a run had before; removed at its end, when all rows are written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._addresses: set[str] | None = set()  # None: too many to collect

    def note(self, item_ids: Sequence[str], kept: Iterable[str] = ()) -> None:
        """Note the media of items before their rows are replaced or deleted.

        Args:
            kept: addresses that the new rows have too.
        """
        if self._addresses is not None:
            self._addresses |= stored_media_of(self._store, item_ids).difference(kept)
            if len(self._addresses) > MAX_NOTED:
                self._addresses = None

    def remove(self) -> None:
        """Remove those that no row uses any more; a kill before that leaves files for the next `optimize`."""
        remove_unused_media(self._store, self._addresses)


def _has_none(store: Store) -> bool:
    return store.folder is not None and not (store.folder / FOLDER).is_dir()
