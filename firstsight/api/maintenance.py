"""Upkeep and upgrade of a database, in the Python API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from firstsight.api.connection import Connection
from firstsight.indexer.stored_media_cleanup import remove_unused_media
from firstsight.storage.indexes.upkeep import UpkeepReport, UpkeepStep, run_upkeep
from firstsight.storage.upgrade import UpgradeReport, apply_upgrade, plan_upgrade


class Maintenance:
    """Upkeep of files and indexes, and upgrades from earlier layouts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def optimize(
        self,
        *,
        rebuild: bool = False,
        wait_s: float = 0.0,
        on_step: Callable[[str, UpkeepStep], None] = lambda table, step: None,
    ) -> UpkeepReport:
        """Merge files, update the indexes and measure them; index runs do the same when it is due.

        Stored pictures that no item uses are removed, and count as `stray_files` of the report.

        Versions that were the newest in the last six hours stay, because readers may still use them.

        Args:
            rebuild: build the vector indexes again, in tables with enough rows.
            wait_s: maximum wait for another writer, in seconds.
            on_step: called with the table's name and the step ("compact", "ids", "build" or "measure") when a step
                begins.

        Raises:
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written, such as on a full disk; no row is lost.
        """
        store = self._connection.open()
        with store.writing(wait_s):
            report = run_upkeep(store, by_hand=True, rebuild=rebuild, on_step=on_step)
            unused = remove_unused_media(store)
        assert report is not None  # by_hand always has steps
        return replace(report, stray_files=report.stray_files + unused)

    def upgrade(
        self,
        *,
        dry_run: bool = False,
        wait_s: float = 0.0,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> UpgradeReport:
        """Upgrade a database of an earlier layout, as the first write does; readers never wait for it.

        A kill loses nothing: the next upgrade, or the next write, continues.

        Args:
            dry_run: only report the changes of an upgrade; write nothing.
            wait_s: maximum wait for another writer, in seconds.
            on_progress: called with one line each: the estimated time, and each change when it begins.

        Returns:
            A report of the changes, made or planned; its `due` is False if there is nothing to do.

        Raises:
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database has a newer layout, was not made by firstsight, or cannot be written.
        """
        store = self._connection.open()
        if dry_run:
            return plan_upgrade(store)
        with store.locked(wait_s):
            return apply_upgrade(store, on_progress=on_progress)
