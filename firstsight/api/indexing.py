"""The writing half of the Python API: index, retry, watch, upkeep, rerankers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from firstsight.api.semantic_ids import FIT_WAIT_S, SemanticIdsPart
from firstsight.errors import CatalogError, QueryError
from firstsight.indexer.catalog import Catalog, CatalogOptions, catalog_root, check_catalog
from firstsight.indexer.index_report import Counts, IndexReport
from firstsight.indexer.index_settings import IndexSettings
from firstsight.indexer.pipeline import IndexRun
from firstsight.indexer.removal import remove_items
from firstsight.indexer.run_recipe import Recipe
from firstsight.indexer.sources import STDIN, open_source
from firstsight.retrieval.reranker_store import RerankerVersion
from firstsight.storage.indexes.text_index import check_language, index_texts
from firstsight.storage.indexes.upkeep import UpkeepReport, UpkeepStep, run_upkeep
from firstsight.storage.store import Store
from firstsight.storage.upgrade import UpgradeReport, apply_upgrade, plan_upgrade

if TYPE_CHECKING:
    from firstsight.indexer.watch_settings import WatchCounts, WatchReport


class IndexingPart(SemanticIdsPart):
    """Everything that changes what a database holds."""

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
        on_progress: Callable[[Counts], None] = lambda counts: None,
        on_warning: Callable[[str], None] = lambda warning: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> IndexReport:
        """Bring the database up to date with a catalogue; what has not changed is not encoded again.

        Args:
            source: a CSV, TSV, JSON Lines or Parquet file, a folder of pictures and videos, or `-` for
                JSON Lines on standard input.
            options: how the catalogue's columns are read.
            settings: batch sizes, which frames of each video, weights of the parts.
            prune: remove items that the catalogue does not have.
            language: that search by words takes titles and texts to be in: "English", "German", …, or "other"; the
                database's own, else English by default.
            warn_duplicates: look afterwards for near-duplicates of the items encoded; they are in the report's
                `duplicates` and counted in the run's counts.
            wait_s: seconds to wait for another process that is writing.
            on_progress: told the counts now and then, in the calling thread.
            on_warning: told in a sentence, before anything is encoded, of each column that looks like pictures or
                videos and is not used; the report has them too.
            should_stop: asked between items; once true, what is in hand is finished and written.

        Returns:
            What was done; `outcome` is "stopped" where `should_stop` said so.

        Raises:
            CatalogError: the catalogue cannot be used; nothing was written.
            DatabaseBusyError: another process is writing.
            EncoderError, EncoderMismatchError, StoreError: see their own words.
        """
        recipe = Recipe.of(os.fspath(source), options, settings, self._policy)
        language = check_language(language) if language else None
        with self._prepare_run(recipe, wait_s, language) as (store, catalog):
            _warn(catalog, on_warning)
            run = self._make_run(store, catalog, recipe, on_progress=on_progress, should_stop=should_stop)
            return run.run(self._recorded_settings(recipe), prune=prune, warn_duplicates=warn_duplicates)

    def remove(self, item_ids: Sequence[str], *, wait_s: float = 0.0) -> list[str]:
        """Remove items with their views and failures; people's decisions about them stay in the audit log.

        Args:
            item_ids: ids; one that is not there is left out.
            wait_s: seconds to wait for another process that is writing.

        Returns:
            Ids of the items that were there, in order.

        Raises:
            DatabaseBusyError: another process is writing.
            StoreError: they could not be removed; the next writer settles what was begun.
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
        """Encode again the items that have media in `failures`, and no others.

        Args:
            source: the catalogue to read them all from, with `options` and `settings`; None for the one that each
                of them came from, read as it was then, and with what was allowed then.
            options: how the columns of `source` are read.
            settings: batch sizes, which frames of each video, weights of the parts.
            wait_s, on_progress, on_warning, should_stop: as for `index`.

        Returns:
            One report per catalogue; none where nothing has failed.

        Raises:
            CatalogError: a catalogue is gone, or was standard input.
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
            with self._prepare_run(recipe, wait_s) as (store, catalog):
                _warn(catalog, on_warning)
                run = self._make_run(
                    store, catalog, recipe, only=item_ids, on_progress=on_progress, should_stop=should_stop
                )
                reports.append(run.run(self._recorded_settings(recipe)))
        return reports

    def watch(
        self,
        source: str | os.PathLike[str],
        *,
        item_id: str,
        title: str | None = None,
        on_update: Callable[[WatchCounts], None] = lambda counts: None,
        on_event: Callable[[str], None] = lambda event: None,
        should_stop: Callable[[], bool] = lambda: False,
        **settings: Any,
    ) -> WatchReport:
        """Keep the latest frames of a running stream as views of an item, until the stream ends.

        Args:
            source: an http(s) address (an HLS playlist, or a video sent without end), an rtsp(s) address, or a local
                file, which is gone through as fast as it can be encoded.
            item_id: an item of the index, or a new one, of kind "live".
            title: of a new item.
            on_update: told the counts after each write, in the calling thread.
            on_event: told in a sentence, in another thread, when a connection is lost.
            should_stop: asked several times a second; once true, what has come is written and the watch ends.
            settings: any field of `firstsight.indexer.watch_settings.WatchSettings`: every_s, window_s, for_s, …

        Returns:
            What was done; `outcome` is "finished", "stopped", or "failed" where the stream was lost for good.

        Raises:
            QueryError: there is no such item and no title, or it has another title.
            MediaError: nothing came of the stream.
            DatabaseBusyError: another process watches for this item, or was writing when all was over.
            ValueError: a setting is out of range.
            EncoderError, EncoderMismatchError, StoreError: see their own words.
        """
        from firstsight.indexer.watch import WatchRun
        from firstsight.indexer.watch_settings import WatchSettings

        told = WatchSettings(**settings)
        store = self._open() if title is None else Store.create(self.uri, self.encoder.spec)
        return WatchRun(
            store,
            self.encoder,
            os.fspath(source),
            item_id,
            self._policy,
            told,
            title=title,
            on_update=on_update,
            on_event=on_event,
            should_stop=should_stop,
        ).run()

    def optimize(
        self,
        *,
        rebuild: bool = False,
        wait_s: float = 0.0,
        on_step: Callable[[str, UpkeepStep], None] = lambda table, step: None,
    ) -> UpkeepReport:
        """Merge files, bring indexes up to date and measure them: by hand what index runs do when it is due.

        Versions that readers may still use, up to six hours old, stay.

        Args:
            rebuild: build the vector indexes anew, where there are rows enough for one.
            wait_s: seconds to wait for another process that is writing.
            on_step: told the table and the step ("compact", "ids", "build", "measure") that begins.

        Raises:
            DatabaseBusyError: another process is writing.
            StoreError: the disk is full, or the like; nothing is lost.
        """
        store = self._open()
        with store.writing(wait_s):
            report = run_upkeep(store, by_hand=True, rebuild=rebuild, on_step=on_step)
        assert report is not None  # by hand there is always something to do
        return report

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
            dry_run: only report what an upgrade will do; nothing is written.
            wait_s: seconds to wait for another process that is writing.
            on_progress: called with one line each: the estimated time, and every change when it begins.

        Returns:
            What was done, or for a dry run what will be; `due` is False if there is nothing to do.

        Raises:
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is writing.
            StoreError: the database has a newer layout, is not one of firstsight, or cannot be written.
        """
        store = self._open()
        if dry_run:
            return plan_upgrade(store)
        with store.locked(wait_s):
            return apply_upgrade(store, on_progress=on_progress)

    def fit_reranker(
        self,
        *,
        judgements: str | os.PathLike[str] | None = None,
        events: str | os.PathLike[str] | None = None,
        columns: Sequence[str] | None = None,
        mode: str = "hybrid",
        wait_s: float = FIT_WAIT_S,
        on_progress: Callable[[str], None] = lambda step: None,
    ) -> RerankerVersion:
        """Learn an order of results from judgements or events, measured on held-out queries; kept, not promoted.

        Args:
            judgements, events: one file of either; see `firstsight.retrieval.evaluation.judgements`.
            columns: numbers and flags of the catalogue to learn from, such as price and sales; all of them by default.
            mode: of the searches that are learned from and reranked: "hybrid", "vector" or "words".
            wait_s: seconds to wait, at the end, for another process that is writing.
            on_progress: told each step.

        Returns:
            The new version; `figures` has queries, ndcg_before, ndcg_after and p, all of held-out queries.

        Raises:
            QueryError: not one file, one that cannot be used, fewer than 20 queries that teach something, or a column
                that is no number or flag.
            OptionalDependencyError: LightGBM is not installed.
            DatabaseBusyError, StoreError: it could not be kept.
        """
        from firstsight.retrieval.evaluation.judgements import read_events, read_judgements
        from firstsight.retrieval.rerank.reranker_fitting import fit
        from firstsight.retrieval.search import make_rankers

        if (judgements is None) == (events is None):
            raise QueryError("give one file to learn from: --judgements or --events")
        judged = read_events(os.fspath(events)) if events is not None else read_judgements(os.fspath(judgements or ""))
        store = self._open()
        rankers = partial(
            make_rankers,
            store,
            encoder=lambda: self.encoder,
            policy=self._policy,
            calibration=partial(self._calibration, store),
        )
        made = fit(store, judged, rankers=rankers, columns=columns, mode=mode, on_progress=on_progress)
        with store.writing(wait_s):
            return self._shelf.add(made)

    def promote_reranker(self, version: int | None = None, *, wait_s: float = FIT_WAIT_S) -> RerankerVersion:
        """Let searches of its mode use a version, by default the newest, in the place of another.

        Raises:
            QueryError: there is none, or NDCG@10 on held-out queries is not higher with it at p < 0.05.
            DatabaseBusyError, StoreError: it could not be written.
        """
        from firstsight.retrieval.rerank.reranker_fitting import promote

        store = self._open()
        with store.writing(wait_s):
            return promote(store, self._shelf, version)

    def drop_reranker(self, version: int | None = None, *, wait_s: float = FIT_WAIT_S) -> list[RerankerVersion]:
        """Let searches use a version no more, by default none of them; all are kept, to be promoted again.

        Returns:
            Those that were in use until now.

        Raises:
            QueryError: there is no such version.
            DatabaseBusyError, StoreError: it could not be written.
        """
        from firstsight.retrieval.rerank.reranker_fitting import drop

        with self._open().writing(wait_s):
            return drop(self._shelf, version)

    # ---- inside

    @contextmanager
    def _prepare_run(
        self, recipe: Recipe, wait_s: float, language: str | None = None
    ) -> Iterator[tuple[Store, Catalog]]:
        """The catalogue, checked from end to end before the database is touched; then the writer's lock."""
        existing = self._open_if_exists()
        catalog = check_catalog(
            open_source(recipe.source, encoding=recipe.options.encoding),
            recipe.options,
            stored_kinds=existing.column_kinds() if existing else None,
        )
        try:
            store = self._store = existing or Store.create(self.uri, self.encoder.spec)
            store.require_encoder(self.encoder.spec)
            with store.writing(wait_s):
                index_texts(store, language)  # before the first rows, so that they are found as they come
                yield store, catalog
                index_texts(store)
                self._assign_ids_to_new_items(store)
        finally:
            catalog.close()

    def _recorded_settings(self, recipe: Recipe) -> dict[str, Any]:
        """What a run keeps of how it was made."""
        return recipe.as_dict() | {"runtime": getattr(self.encoder, "runtime", "")}

    def _make_run(self, store: Store, catalog: Catalog, recipe: Recipe, **how: Any) -> IndexRun:
        policy = replace(
            self._policy,
            root=catalog_root(catalog),
            allow_private=self._policy.allow_private or recipe.allow_private,
            allow_anywhere=self._policy.allow_anywhere or recipe.allow_anywhere,
        )
        return IndexRun(store, self.encoder, catalog, policy, recipe.settings, **how)

    def _failed_items(self) -> list[tuple[Recipe, set[str]]]:
        """Items with failures, by the recipe they were indexed with; frames of a stream cannot be tried again."""
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
    for unused in catalog.media.unused():
        on_warning(unused.message)
