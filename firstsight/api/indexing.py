"""Indexing of catalogues, in the Python API."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from firstsight.api.connection import Connection
from firstsight.api.encoders.standby_encoder import load_standby
from firstsight.api.encoders.vector_reduction import VectorShape, create_database, require_reduction
from firstsight.api.facts.run_facts import check_fact_options, store_fact_options
from firstsight.api.index_inputs import GONE, failed_items, open_catalogue, recorded_name, warn_of_catalogue
from firstsight.api.index_options import RunOptions
from firstsight.api.items import Failure, read_failures
from firstsight.api.models.semantic_ids import assign_ids_to_new_items
from firstsight.api.models.sequence import project_new_items
from firstsight.encoders.reduced.reduction import ReductionMethod, check_dimensions
from firstsight.errors import CatalogError
from firstsight.indexer.catalog import Catalog, catalog_root, check_catalog
from firstsight.indexer.catalog_report import CatalogPreview, preview_catalog
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.facts.item_facts import ItemFacts
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import Source
from firstsight.indexer.index_report import Counts, IndexReport
from firstsight.indexer.index_settings import IndexSettings
from firstsight.indexer.inputs.input_kinds import CatalogueInput
from firstsight.indexer.pipeline import IndexRun
from firstsight.indexer.reindex.standby_writer import StandbyWriter
from firstsight.indexer.run_recipe import Recipe
from firstsight.keywords import check_keywords
from firstsight.media.stored_files import MediaWriter
from firstsight.media.stored_media import media_location
from firstsight.storage.column_conversion import chosen_kinds
from firstsight.storage.indexes.text_index import check_language, index_texts, stored_language
from firstsight.storage.reduction_table import describe_reduction
from firstsight.storage.store import Store
from firstsight.storage.vector_format import VectorFormat, check_vector_format
from firstsight.understanding.facts.fact_settings import FactOptions, read_complete_facts
from firstsight.understanding.facts.fact_status import count_items_without
from firstsight.understanding.kinds_of_facts import make_item_facts
from firstsight.understanding.language.stemming_language import find_stemming_language

if TYPE_CHECKING:
    from firstsight.indexer.watch_settings import WatchCounts, WatchReport, WatchSettings

log = logging.getLogger(__name__)


class Indexing:
    """Runs that write items: index a catalogue, add rows, retry failed media, watch a live stream."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def index(
        self,
        source: CatalogueInput,
        *,
        root: str | os.PathLike[str] | None = None,
        options: CatalogOptions | None = None,
        settings: IndexSettings | None = None,
        prune: bool = False,
        language: str | None = None,
        vectors: VectorFormat | None = None,
        dimensions: int | None = None,
        reduce: ReductionMethod = "pca",
        warn_duplicates: bool = False,
        wait_s: float = 0.0,
        on_catalog: Callable[[CatalogPreview], None] | None = None,
        on_progress: Callable[[Counts], None] = lambda counts: None,
        on_warning: Callable[[str], None] = lambda warning: None,
        should_stop: Callable[[], bool] = lambda: False,
        **facts: Unpack[FactOptions],
    ) -> IndexReport:
        """Index a catalogue: encode new and changed items, and leave unchanged ones as they are.

        Args:
            source: a CSV, TSV, XLSX, JSON, JSON Lines, Parquet, Arrow or XML file, a folder of pictures and videos, or
                `-` for such a file on standard input; or rows in memory: a list of dicts, a pandas or polars DataFrame,
                an Arrow table, reader or dataset, a Dataset of the datasets library, or any object with
                `__arrow_c_stream__`.
                Pictures in rows may be addresses, `Path`, bytes, Pillow pictures or (height, width, 3) uint8 arrays;
                the database stores their bytes.
            root: base folder of relative media paths of rows in memory, the working directory by default; local media
                must be inside it. A file has its own folder.
            options: how to read the columns of the catalogue.
            settings: batch sizes, frames per video, weights of the parts.
            prune: remove items that are not in the catalogue.
            language: language of titles and texts for search by words: "English", "German", …, or "other". None for
                the language of the database; a new one gets that of most of its items if it is known, else English.
            vectors: storage format of vectors: "float32", or "float16" with half of the bytes. A database keeps the
                format it was created with; None takes it, float32 for a new one. Vectors are read as float32.
            dimensions: numbers of a vector of a new database, fewer than the encoder's. A matrix is fitted on drawn
                items of the catalogue, which are encoded twice, and stored; the report's `reduction` has the recall@10
                that it keeps on held-out vectors. A database keeps its dimensions. None for those of the encoder.
            reduce: how to get fewer dimensions: "pca", or "matryoshka" for the first ones.
            warn_duplicates: look for near-duplicates of the encoded items at the end; the report lists and counts them.
            wait_s: maximum wait for another writer, in seconds.
            on_catalog: called once the catalogue is checked, with the use of its columns and its first items; None for
                no call.
            on_progress: called with the counts after each batch, in the calling thread.
            on_warning: called before encoding with a sentence for each unused column that looks like pictures or
                videos, for the files of a folder that are left out, and for values that are left out; the report lists
                the columns and files too.
            should_stop: called between items; once it returns True, the run finishes and writes the items it has begun.
            facts: which facts are found in pictures and texts, for this run and all later ones: help(FactOptions).

        Returns:
            A report; its `outcome` is "stopped" after a stop by `should_stop`, else "finished".

        Raises:
            CatalogError: the catalogue cannot be used, in which case nothing was written; or it changed during the run.
            DatabaseBusyError: another process is still writing after `wait_s`.
            EncoderError: the encoder cannot be loaded, or fails on every input.
            EncoderMismatchError: the database holds another encoder's vectors.
            QueryError: there is no such format of vectors, detector or folder of models; or the vectors cannot be
                reduced: too few titles and pictures (2 for each dimension of the encoder), or a recall below .9.
            StoreError: the database cannot be written, or stores vectors in another format or of other dimensions.
        """
        check_keywords("index", facts, FactOptions)
        vectors = check_vector_format(vectors) if vectors else None
        existing = self._connection.open_if_exists()
        check_fact_options(existing, facts)
        if existing is not None:
            existing.require_vector_format(vectors)
            if dimensions is not None:
                require_reduction(existing, reduce, dimensions)
        elif dimensions is not None:
            check_dimensions(reduce, dimensions, self._connection.encoder.spec.dim)
        opened = open_catalogue(source, options, root)
        recipe = Recipe.of(recorded_name(source), options, settings, self._connection.policy)
        language = check_language(language) if language else None
        shape = VectorShape(vectors, dimensions, reduce)
        with self._prepare_run(recipe, wait_s, language, opened, shape, should_stop=should_stop) as (store, catalog):
            if on_catalog is not None:  # a preview reads the first items again
                on_catalog(preview_catalog(catalog))
            warn_of_catalogue(catalog, on_warning)
            kinds = store_fact_options(store, facts)
            run = self._make_run(store, catalog, recipe, kinds, on_progress=on_progress, should_stop=should_stop)
            report = run.run(self._recorded_settings(recipe), prune=prune, warn_duplicates=warn_duplicates)
            lacking = count_items_without(store, kinds.kinds, read_complete_facts(store))
            reduction = describe_reduction(store, store.spec.fingerprint)
            return replace(report, lacking_facts=lacking, reduction=reduction)

    def add(self, rows: CatalogueInput, **options: Unpack[RunOptions]) -> IndexReport:
        """Add a few items, or replace items that have the same ids; all other items stay as they are.

        `index` is for a whole catalogue: it can prune, set the language and look for duplicates. `add` is for the items
        that have changed: it never removes one. A row is the whole item, so a column that it lacks becomes empty.
        Stored columns keep their types, unless `options` names others: a few values do not say what a column holds.

        Args:
            rows: as `source` of `index`.
            options: root, options, settings, wait_s, on_progress, on_warning, should_stop and facts of `index`.

        Returns:
            A report; items whose rows have not changed count as unchanged.

        Raises:
            CatalogError: the rows cannot be used, in which case nothing was written.
            DatabaseBusyError, EncoderError, EncoderMismatchError, StoreError: as for `index`.
        """
        check_keywords("add", options, RunOptions)  # `prune` would remove all other items
        options["options"] = replace(options.get("options") or CatalogOptions(), infer_types=False)
        return self.index(rows, **options)

    def preview(
        self,
        source: CatalogueInput,
        *,
        root: str | os.PathLike[str] | None = None,
        options: CatalogOptions | None = None,
    ) -> CatalogPreview:
        """Check a catalogue and describe what `index` would read from it, without writing or loading the encoder.

        Args:
            source, root: as for `index`.
            options: how to read the columns of the catalogue.

        Returns:
            What each column is used for, the first three items, and columns that look like media and are not used.

        Raises:
            CatalogError: the catalogue cannot be used.
            StoreError: there is a database, and it cannot be read.
        """
        recipe = Recipe.of(recorded_name(source), options, None, self._connection.policy)
        opened = open_catalogue(source, options, root)
        with closing(self._check(self._connection.open_if_exists(), recipe, opened)) as catalog:
            return preview_catalog(catalog)

    def retry(
        self,
        source: CatalogueInput | None = None,
        *,
        root: str | os.PathLike[str] | None = None,
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
            root: as for `index`; only with rows in memory.
            options: how to read the columns of `source`.
            settings: batch sizes, frames per video, weights of the parts; only with `source`.
            wait_s, on_progress, on_warning, should_stop: as for `index`.

        Returns:
            One report per catalogue; empty if there are no failures.

        Raises:
            CatalogError: a catalogue is gone, or was standard input or rows in memory.
            MissingDatabaseError: there is no database.
            DatabaseBusyError, EncoderError, EncoderMismatchError, StoreError: as for `index`.
        """
        opened = None if source is None else open_catalogue(source, options, root)
        failed = failed_items(self._connection.open())
        if failed and source is not None:
            item_ids = {item_id for _, ids in failed for item_id in ids}
            failed = [(Recipe.of(recorded_name(source), options, settings, self._connection.policy), item_ids)]
        reports: list[IndexReport] = []
        for recipe, item_ids in failed:
            if should_stop():
                break
            if recipe.source in GONE and opened is None:
                where, remedy = GONE[recipe.source]
                raise CatalogError(f"{len(item_ids)} failed items came from {where}; {remedy}")
            with self._prepare_run(recipe, wait_s, None, opened, may_convert=False) as (store, catalog):
                warn_of_catalogue(catalog, on_warning)
                run = self._make_run(
                    *(store, catalog, recipe, store_fact_options(store, {})),
                    only=item_ids,
                    on_progress=on_progress,
                    should_stop=should_stop,
                )
                reports.append(run.run(self._recorded_settings(recipe)))
        return reports

    def failures(self) -> list[Failure]:
        """List the media that could not be used, sorted by item and address."""
        return read_failures(self._connection.open())

    def watch(
        self,
        source: str | os.PathLike[str],
        *,
        item_id: str,
        title: str | None = None,
        settings: WatchSettings | None = None,
        on_update: Callable[[WatchCounts], None] = lambda counts: None,
        on_event: Callable[[str], None] = lambda event: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> WatchReport:
        """Keep the latest frames of a running stream as views of an item, until the stream ends.

        Frames get the facts that the database's settings turn on.

        Args:
            source: an http(s) address (an HLS playlist, or an endless video), an rtsp(s) address, or a local file,
                which is read as fast as it can be encoded.
            item_id: an item of the index, or a new one, of kind "live".
            title: title of a new item.
            on_update: called with the counts after each write, in the calling thread.
            on_event: called with a sentence when a connection is lost, or when the functions for facts are turned off
                because they have ended or hung the decoder; in another thread.
            should_stop: called several times a second; once it returns True, the watch writes its frames and ends.
            settings: seconds between frames, length of the window, and waits.

        Returns:
            A report; its `outcome` is "finished", "stopped", or "failed" if the stream was lost.

        Raises:
            QueryError: there is no such item and no title, the item has another title, or a detector is not installed.
            OptionalDependencyError: a fact needs an extra that is not installed.
            MediaError: the stream gave no frame.
            DatabaseBusyError: another process watches a stream for this item, or was still writing at the end, after
                `last_write_s`.
            EncoderError: the encoder cannot be loaded, or fails on every input.
            EncoderMismatchError: the database holds another encoder's vectors.
            StoreError: the database cannot be written.
        """
        from firstsight.indexer.watch import WatchRun
        from firstsight.indexer.watch_settings import WatchSettings

        store = self._connection.open() if title is None else self._connection.create()
        return WatchRun(
            store,
            self._connection.encoder,
            os.fspath(source),
            item_id,
            self._connection.policy,
            settings or WatchSettings(),
            title=title,
            standby=self._standby_writer(store),
            facts=make_item_facts(store),
            on_update=on_update,
            on_event=on_event,
            should_stop=should_stop,
        ).run()

    @contextmanager
    def _prepare_run(
        self,
        recipe: Recipe,
        wait_s: float,
        language: str | None = None,
        opened: Source | None = None,
        shape: VectorShape | None = None,
        *,
        may_convert: bool = True,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Store, Catalog]]:
        """Check the whole catalogue first, then hold the writer lock."""
        existing = self._connection.open_if_exists()
        catalog = self._check(existing, recipe, opened, may_convert=may_convert)
        try:
            store = existing or create_database(
                *(self._connection, catalog, shape or VectorShape()),
                lambda sample, ids: self._make_run(sample, catalog, recipe, only=ids, should_stop=should_stop),
            )
            store.require_encoder(self._connection.encoder.spec)
            with store.writing(wait_s):
                is_first = language is None and stored_language(store) is None
                index_texts(store, language)  # before the first rows, so that searches find new rows at once
                yield store, catalog
                index_texts(store, find_stemming_language(store) if is_first else None)
                assign_ids_to_new_items(store)
                project_new_items(store)
        finally:
            catalog.close()

    def _check(
        self, existing: Store | None, recipe: Recipe, opened: Source | None, *, may_convert: bool = True
    ) -> Catalog:
        return check_catalog(
            opened or open_source(recipe.source, encoding=recipe.options.encoding),
            recipe.options,
            stored_kinds=existing.column_kinds() if existing else None,
            chosen=chosen_kinds(existing) if existing else (),
            may_convert=may_convert,
        )

    def _recorded_settings(self, recipe: Recipe) -> dict[str, Any]:
        """Settings that a run stores for its repetition."""
        return recipe.to_dict() | {"runtime": getattr(self._connection.encoder, "runtime", "")}

    def _make_run(
        self, store: Store, catalog: Catalog, recipe: Recipe, facts: ItemFacts | None = None, **options: Any
    ) -> IndexRun:
        policy = replace(
            self._connection.policy,
            root=catalog_root(catalog),
            stored_media=media_location(store.uri),
            allow_private=self._connection.policy.allow_private or recipe.allow_private,
            allow_anywhere=self._connection.policy.allow_anywhere or recipe.allow_anywhere,
        )
        writer = MediaWriter(
            media_location(store.uri),
            max_picture_bytes=policy.max_picture_bytes,
            max_video_bytes=policy.max_video_bytes,
        )
        catalog.store_medium = writer.put  # the media are on disk before the rows that name them
        return IndexRun(
            *(store, self._connection.encoder, catalog, policy, recipe.settings),
            standby=self._standby_writer(store),
            facts=facts,
            **options,
        )

    def _standby_writer(self, store: Store) -> StandbyWriter:
        """Encodes items for the vector set that is not in force, if there is one."""
        encoder, problem = load_standby(self._connection, store)
        if problem:
            log.warning("%s", problem)
        return StandbyWriter(encoder)
