"""Indexing of catalogues, in the Python API: index, retry, remove."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from firstsight.api.semantic_ids import SemanticIdsPart
from firstsight.errors import CatalogError
from firstsight.indexer.catalog import Catalog, CatalogOptions, catalog_root, check_catalog
from firstsight.indexer.catalog_report import CatalogPreview, preview_catalog
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import STDIN
from firstsight.indexer.index_report import Counts, IndexReport
from firstsight.indexer.index_settings import IndexSettings
from firstsight.indexer.pipeline import IndexRun
from firstsight.indexer.removal import remove_items
from firstsight.indexer.run_recipe import Recipe
from firstsight.storage.column_conversion import chosen_kinds
from firstsight.storage.indexes.text_index import check_language, index_texts
from firstsight.storage.store import Store


class IndexingPart(SemanticIdsPart):
    """Items of a database: index a catalogue, retry failures, remove items."""

    def index(
        self,
        source: str | os.PathLike[str],
        *,
        options: CatalogOptions | None = None,
        settings: IndexSettings | None = None,
        prune: bool = False,
        language: str | None = None,
        warn_duplicates: bool = False,
        wait_s: float = 0.0,
        on_catalog: Callable[[CatalogPreview], None] = lambda catalog: None,
        on_progress: Callable[[Counts], None] = lambda counts: None,
        on_warning: Callable[[str], None] = lambda warning: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> IndexReport:
        """Index a catalogue: encode new and changed items, and leave unchanged ones as they are.

        Args:
            source: a CSV, TSV, JSON Lines or Parquet file, a folder of pictures and videos, or `-` for
                JSON Lines on standard input.
            options: how to read the columns of the catalogue.
            settings: batch sizes, frames per video, weights of the parts.
            prune: remove items that are not in the catalogue.
            language: language of titles and texts for search by words: "English", "German", …, or "other". None for
                the language of the database, English for a new one.
            warn_duplicates: look for near-duplicates of the encoded items at the end; the report lists and counts them.
            wait_s: maximum wait for another writer, in seconds.
            on_catalog: called once the catalogue is checked, with the use of its columns and its first items.
            on_progress: called with the counts after each batch, in the calling thread.
            on_warning: called before encoding with a sentence for each unused column that looks like pictures or
                videos, and for the files of a folder that are left out; the report lists them too.
            should_stop: called between items; once it returns True, the run finishes and writes the items it has begun.

        Returns:
            A report; its `outcome` is "stopped" after a stop by `should_stop`, else "finished".

        Raises:
            CatalogError: the catalogue cannot be used, in which case nothing was written; or it changed during the run.
            DatabaseBusyError: another process is still writing after `wait_s`.
            EncoderError: the encoder cannot be loaded, or fails on every input.
            EncoderMismatchError: the database holds another encoder's vectors.
            StoreError: the database cannot be written.
        """
        recipe = Recipe.of(os.fspath(source), options, settings, self._policy)
        language = check_language(language) if language else None
        with self._prepare_run(recipe, wait_s, language) as (store, catalog):
            on_catalog(preview_catalog(catalog))
            _warn(catalog, on_warning)
            run = self._make_run(store, catalog, recipe, on_progress=on_progress, should_stop=should_stop)
            return run.run(self._recorded_settings(recipe), prune=prune, warn_duplicates=warn_duplicates)

    def preview(self, source: str | os.PathLike[str], *, options: CatalogOptions | None = None) -> CatalogPreview:
        """Check a catalogue and describe what `index` would read from it, without writing or loading the encoder.

        Args:
            source: as for `index`.
            options: how to read the columns of the catalogue.

        Returns:
            What each column is used for, the first three items, and columns that look like media and are not used.

        Raises:
            CatalogError: the catalogue cannot be used.
            StoreError: there is a database, and it cannot be read.
        """
        with closing(self._check(Recipe.of(os.fspath(source), options, None, self._policy))) as catalog:
            return preview_catalog(catalog)

    def remove(self, item_ids: Sequence[str], *, wait_s: float = 0.0) -> list[str]:
        """Remove items with their views and failures; the audit log keeps decisions by people.

        Args:
            item_ids: ids without an item are ignored.
            wait_s: maximum wait for another writer, in seconds.

        Returns:
            Ids of the removed items, in the order given.

        Raises:
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written; the next writer repairs a half-done removal.
        """
        store = self._open()
        with store.writing(wait_s):
            return remove_items(store, item_ids)

    def retry(
        self,
        source: str | os.PathLike[str] | None = None,
        *,
        options: CatalogOptions | None = None,
        settings: IndexSettings | None = None,
        wait_s: float = 0.0,
        on_progress: Callable[[Counts], None] = lambda counts: None,
        on_warning: Callable[[str], None] = lambda warning: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> list[IndexReport]:
        """Encode only the items with failed media again.

        Args:
            source: catalogue with all these items; None for the catalogue of each item, with the options, settings and
                permissions of its run.
            options: how to read the columns of `source`.
            settings: batch sizes, frames per video, weights of the parts; only with `source`.
            wait_s, on_progress, on_warning, should_stop: as for `index`.

        Returns:
            One report per catalogue; empty if there are no failures.

        Raises:
            CatalogError: a catalogue is gone, or was standard input.
            MissingDatabaseError: there is no database.
            DatabaseBusyError, EncoderError, EncoderMismatchError, StoreError: as for `index`.
        """
        failed = self._failed_items()
        if failed and source is not None:
            item_ids = {item_id for _, ids in failed for item_id in ids}
            failed = [(Recipe.of(os.fspath(source), options, settings, self._policy), item_ids)]
        reports: list[IndexReport] = []
        for recipe, item_ids in failed:
            if should_stop():
                break
            if recipe.source == STDIN and source is None:
                raise CatalogError(
                    f"{len(item_ids)} failed items came from standard input, which is gone; "
                    "name their catalogue: firstsight index CATALOGUE --retry"
                )
            with self._prepare_run(recipe, wait_s, may_convert=False) as (store, catalog):
                _warn(catalog, on_warning)
                run = self._make_run(
                    store, catalog, recipe, only=item_ids, on_progress=on_progress, should_stop=should_stop
                )
                reports.append(run.run(self._recorded_settings(recipe)))
        return reports

    @contextmanager
    def _prepare_run(
        self, recipe: Recipe, wait_s: float, language: str | None = None, *, may_convert: bool = True
    ) -> Iterator[tuple[Store, Catalog]]:
        """Check the whole catalogue first, then hold the writer lock."""
        existing = self._open_if_exists()
        catalog = self._check(recipe, may_convert=may_convert)
        try:
            store = self._store = existing or Store.create(self.uri, self.encoder.spec)
            store.require_encoder(self.encoder.spec)
            with store.writing(wait_s):
                index_texts(store, language)  # before the first rows, so that searches find new rows at once
                yield store, catalog
                index_texts(store)
                self._assign_ids_to_new_items(store)
        finally:
            catalog.close()

    def _check(self, recipe: Recipe, *, may_convert: bool = True) -> Catalog:
        existing = self._open_if_exists()
        return check_catalog(
            open_source(recipe.source, encoding=recipe.options.encoding),
            recipe.options,
            stored_kinds=existing.column_kinds() if existing else None,
            chosen=chosen_kinds(existing) if existing else (),
            may_convert=may_convert,
        )

    def _recorded_settings(self, recipe: Recipe) -> dict[str, Any]:
        """Settings that a run stores for its repetition."""
        return recipe.as_dict() | {"runtime": getattr(self.encoder, "runtime", "")}

    def _make_run(self, store: Store, catalog: Catalog, recipe: Recipe, **options: Any) -> IndexRun:
        policy = replace(
            self._policy,
            root=catalog_root(catalog),
            allow_private=self._policy.allow_private or recipe.allow_private,
            allow_anywhere=self._policy.allow_anywhere or recipe.allow_anywhere,
        )
        return IndexRun(store, self.encoder, catalog, policy, recipe.settings, **options)

    def _failed_items(self) -> list[tuple[Recipe, set[str]]]:
        """Group the items with failures by the recipe of their run; frames of a stream cannot be retried."""
        store = self._open()
        recipes = {
            run["run_id"]: json.dumps(run["settings"], sort_keys=True)
            for run in store.run_rows()
            if run["settings"].get("kind") != "watch"
        }
        failed: dict[str, set[str]] = {}
        for row in store.failure_rows():
            if row["run_id"] in recipes:
                failed.setdefault(recipes[row["run_id"]], set()).add(row["item_id"])
        return [(Recipe.from_dict(json.loads(recipe)), item_ids) for recipe, item_ids in failed.items()]


def _warn(catalog: Catalog, on_warning: Callable[[str], None]) -> None:
    for note in catalog.source.notes:
        on_warning(note)
    for unused in catalog.media.unused():
        on_warning(unused.message)
