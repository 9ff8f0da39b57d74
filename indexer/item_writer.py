"""The write of a run's items: failures, views, fingerprints and facts first, then the rows that commit the items."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from firstsight.indexer.assembly import PendingItem
from firstsight.indexer.facts.item_facts import ItemFacts
from firstsight.indexer.facts.stored_items import pending_fact_item
from firstsight.indexer.index_settings import IndexSettings
from firstsight.indexer.refreshed_rows import refreshed_rows
from firstsight.indexer.reindex.standby_writer import StandbyWriter
from firstsight.indexer.row_reader import CatalogItem
from firstsight.indexer.stored_media_cleanup import UnusedStoredMedia
from firstsight.indexer.timed_product_writes import write_timed_products
from firstsight.indexer.unreachable_media import keep_unreachable_media
from firstsight.storage.facts.view_fact_table import delete_changed_view_facts, write_view_facts
from firstsight.storage.indexes.upkeep import RunUpkeep
from firstsight.storage.recovery import begin_write
from firstsight.storage.store import Store
from firstsight.storage.video_print_table import replace_prints


class ItemWriter:
    """Writes the items of one run; the caller holds the writer lock.

    Args:
        run_id: of the run.
        catalog_dir: base folder of relative media paths.
        standby: writes the items for the vector set that is not in force, too.
        facts: columns of facts to compute.
        unused_media: gets the stored media of replaced items.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        catalog_dir: str,
        settings: IndexSettings,
        *,
        standby: StandbyWriter,
        facts: ItemFacts,
        unused_media: UnusedStoredMedia,
    ) -> None:
        self._store = store
        self._run_id = run_id
        self._catalog_dir = catalog_dir
        self._settings = settings
        self._standby = standby
        self._facts = facts
        self._unused_media = unused_media
        self._upkeep = RunUpkeep(store)

    def write(self, done: Sequence[PendingItem], refreshed: Sequence[CatalogItem]) -> None:
        """Write failures, views, fingerprints, facts and the rows of `items`; then delete failures that did not recur.

        Args:
            done: encoded items.
            refreshed: items whose columns have changed alone.

        Raises:
            StoreError: the database cannot be written.
        """
        ids = [pending.item.item_id for pending in done]
        keep_unreachable_media(self._store, done)
        failures = [failure for pending in done for failure in pending.failures]
        begin_write(self._store, self._run_id, ids, failures)
        replaced = [pending.item.item_id for pending in done if pending.replaces]
        self._unused_media.note(replaced, kept=(uri for p in done for uri in (*p.item.images, *p.item.videos)))
        resolved = self._store.write_failures(failures, self._run_id, tried=ids)
        view_facts = {pending.item.item_id: {view.view_id: view.facts for view in pending.views} for pending in done}
        delete_changed_view_facts(self._store, replaced, view_facts)
        self._store.write_views([row for pending in done for row in pending.view_rows()], replaced=replaced)
        replace_prints(self._store, replaced, [row for pending in done for row in pending.print_rows])
        write_view_facts(self._store, view_facts)
        write_timed_products(self._store, done, refreshed)
        written = {"catalog_dir": self._catalog_dir, "indexed_at": datetime.now(UTC), "run_id": self._run_id}
        # safety decisions stay in force until the next scoring
        decisions = self._store.safety_rows(replaced)
        columns = self._facts.columns([pending_fact_item(pending, self._facts.picture_facts) for pending in done])
        rows = [
            pending.item_row(self._settings.weights, **written) | decisions.get(pending.item.item_id, {}) | found
            for pending, found in zip(done, columns, strict=True)
        ]
        self._store.write_items(rows + refreshed_rows(self._store, refreshed, written, self._facts))
        self._standby.write(self._store, done, rows, self._settings.weights)
        self._store.delete_failures(resolved)
        self._upkeep.after_write()  # in the writing thread, so that no other write runs

    def finish(self) -> None:
        """Maintain the tables at the end of the run."""
        self._upkeep.at_end()
