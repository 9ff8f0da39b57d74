"""The Python API over one database: index, search, get, status."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from firstsight.encoders.base import Encoder, EncoderSpec, ImageInput
from firstsight.encoders.options import EncoderOptions
from firstsight.encoders.registry import load_with, names_a_file
from firstsight.errors import CatalogError, EncoderMismatchError, FirstsightError, MissingDatabaseError, QueryError
from firstsight.indexer.catalog import TIMES, Catalog, CatalogOptions, catalog_root, check_catalog
from firstsight.indexer.pipeline import Counts, IndexReport, IndexRun
from firstsight.indexer.recipe import Recipe
from firstsight.indexer.settings import IndexSettings
from firstsight.indexer.sources import STDIN, open_source
from firstsight.indexer.store import Store
from firstsight.indexer.tables import HIDDEN_COLUMNS
from firstsight.indexer.text_index import check_language, index_texts
from firstsight.indexer.upkeep import Step, TableState, UpkeepReport, look_after, table_state
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.query import Query
from firstsight.retrieval.relevance import Calibration
from firstsight.retrieval.results import SearchResults, locate
from firstsight.retrieval.search import search_many
from firstsight.retrieval.snapshots import name_snapshot, open_snapshot

if TYPE_CHECKING:
    from firstsight.indexer.watch_settings import WatchCounts, WatchReport
    from firstsight.retrieval.evaluation import Task
    from firstsight.retrieval.space_map import SpaceMap


@dataclass(frozen=True)
class Status:
    """What a database holds."""

    db: str
    encoder: EncoderSpec
    items: int
    views: int
    failures: int  # media that could not be used
    columns: tuple[str, ...]  # that a filter can name
    runs: tuple[dict[str, Any], ...]  # index runs, oldest first
    tables: tuple[TableState, ...]  # files and indexes of `items` and `views`
    upkeep: tuple[dict[str, Any], ...]  # what was done to them, by hand or on its own; rows of `runs`, oldest first


class Database:
    """Items, their views and the searches over them, bound to one encoder.

    Made by `firstsight.open`. Reading calls see what other processes have committed; the encoder is loaded
    at the first call that needs it. Not for use by several threads at once.
    """

    def __init__(
        self, uri: str, encoder: str | Encoder | None, encoder_options: EncoderOptions, policy: MediaPolicy
    ) -> None:
        self.uri = uri
        self._wanted = encoder
        self._encoder_options = encoder_options
        self._policy = policy
        self._store: Store | None = None
        self._encoder: Encoder | None = None
        self._calibrated: tuple[str, Calibration] | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded on first use: the one asked for, else the database's own, else `starter`.

        Raises:
            EncoderError: it cannot be loaded.
            EncoderMismatchError: the database holds another encoder's vectors.
        """
        if self._encoder is None:
            store = self._existing()
            wanted = self._wanted or (store.spec.name if store else "starter")
            # a published name is compared before its weights are read, which may take minutes
            if store and isinstance(wanted, str) and wanted != store.spec.name and not names_a_file(wanted):
                raise EncoderMismatchError(
                    f"{self.uri} holds vectors of {store.spec.name}, not of {wanted}; their vectors do not compare. "
                    f"Use --encoder {store.spec.name}, or index into another --db"
                )
            encoder = load_with(wanted, self._encoder_options) if isinstance(wanted, str) else wanted
            if store:
                store.require(encoder.spec)
            self._encoder = encoder
        return self._encoder

    def index(
        self,
        source: str | os.PathLike[str],
        *,
        options: CatalogOptions | None = None,
        settings: IndexSettings | None = None,
        prune: bool = False,
        language: str | None = None,
        wait_s: float = 0.0,
        on_progress: Callable[[Counts], None] = lambda counts: None,
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
            wait_s: seconds to wait for another process that is writing.
            on_progress: told the counts now and then, in the calling thread.
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
        with self._prepared(recipe, wait_s, language) as (store, catalog):
            run = self._run(store, catalog, recipe, on_progress=on_progress, should_stop=should_stop)
            return run.run(self._recorded(recipe), prune=prune)

    def retry(
        self,
        source: str | os.PathLike[str] | None = None,
        *,
        options: CatalogOptions | None = None,
        settings: IndexSettings | None = None,
        wait_s: float = 0.0,
        on_progress: Callable[[Counts], None] = lambda counts: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> list[IndexReport]:
        """Encode again the items that have media in `failures`, and no others.

        Args:
            source: the catalogue to read them all from, with `options` and `settings`; None for the one that each
                of them came from, read as it was then, and with what was allowed then.
            options: how the columns of `source` are read.
            settings: batch sizes, frames per video, weights of the parts.
            wait_s, on_progress, should_stop: as for `index`.

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
            with self._prepared(recipe, wait_s) as (store, catalog):
                run = self._run(store, catalog, recipe, only=item_ids, on_progress=on_progress, should_stop=should_stop)
                reports.append(run.run(self._recorded(recipe)))
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

    @overload
    def search(
        self,
        text: str | Query | None = None,
        *,
        image: ImageInput | None = None,
        video: str | os.PathLike[str] | None = None,
        item: str | None = None,
        **settings: Any,
    ) -> SearchResults: ...

    @overload
    def search(self, text: Sequence[Query]) -> list[SearchResults]: ...

    def search(
        self,
        text: str | Query | Sequence[Query] | None = None,
        *,
        image: ImageInput | None = None,
        video: str | os.PathLike[str] | None = None,
        item: str | None = None,
        **settings: Any,
    ) -> SearchResults | list[SearchResults]:
        """Find the items that match a text, a picture, a video, an item, or several of them.

        Args:
            text: words that describe what is wanted; or a whole `Query`, or a list of them, and then nothing else.
            image: a picture, an array, a file's bytes, a path, or an http(s) or object-store address.
            video: a path or address; eight of its frames are the query.
            item: an item's id: more like it, itself left out. Needs no encoder.
            settings: any other field of `Query`: k, offset, where, kinds, mode, part, minus, images, min_relevance, …

        Returns:
            At most k results, best first, no item twice, with the `snapshot` that the next page is asked with; for a
            list of queries, a list of such, in order.

        Raises:
            QueryError: nothing to search by, a value out of range, an unknown item, an empty database, or a
                condition that cannot be read.
            MediaError: the query picture or video cannot be used.
        """
        if text is not None and not isinstance(text, str):
            if image is not None or video is not None or item is not None or settings:
                raise QueryError("a Query holds all there is to ask; set its own fields instead")
            answers = self.search_many([text] if isinstance(text, Query) else text)
            found = [_or_raise(answer) for answer in answers]
            return found[0] if isinstance(text, Query) else found
        unknown = settings.keys() - {field.name for field in fields(Query)}
        if unknown:
            raise TypeError(f"search() got an unexpected keyword argument {sorted(unknown)[0]!r}")
        several: dict[str, Any] = {
            "images": [*([] if image is None else [image]), *settings.pop("images", ())],
            "videos": [*([] if video is None else [os.fspath(video)]), *settings.pop("videos", ())],
            "items": [*([] if item is None else [item]), *settings.pop("items", ())],
        }
        return _or_raise(self.search_many([Query(text, **several, **settings)])[0])

    def search_many(self, queries: Sequence[Query]) -> list[SearchResults | FirstsightError]:
        """Answer many queries at once: encoded in batches, compared in batches, faster than one by one.

        Returns:
            For each query, in order, its results, or the error that it alone has.

        Raises:
            QueryError: an empty database.
            EncoderError, EncoderMismatchError: the encoder cannot be loaded, or is not the database's.
        """
        newest = self._open()
        answers: list[SearchResults | FirstsightError | None] = [None] * len(queries)
        for token in dict.fromkeys(query.snapshot for query in queries):
            places = [n for n, query in enumerate(queries) if query.snapshot == token]
            found: Sequence[SearchResults | FirstsightError]
            try:
                store = newest if token is None else open_snapshot(newest, token)
            except QueryError as error:
                found = [error] * len(places)
            else:
                found = search_many(
                    store,
                    [queries[n] for n in places],
                    encoder=lambda: self.encoder,
                    policy=self._policy,
                    calibration=partial(self._calibration, store),
                )
            for n, answer in zip(places, found, strict=True):
                answers[n] = answer
        return [answer for answer in answers if answer is not None]

    def get(self, item_id: str) -> dict[str, Any]:
        """An item: item_id, kind, title, text, times, vector, the catalogue's own `columns`, and its `views`.

        Returns:
            `vector` is (dim,) float32 of unit length, or None where nothing could be encoded; each of `views` has
            view_id, part, uri, time_s and its unit vector.

        Raises:
            QueryError: there is no such item.
        """
        store = self._open()
        row = store.item_rows([item_id]).get(item_id)
        if row is None:
            raise QueryError(f"there is no item {item_id!r} in {self.uri}")
        views = store.view_rows([item_id]).sort_by("view_id").to_pylist()
        for view in views:
            view["uri"] = locate(view["uri"], row["catalog_dir"]) if view["uri"] else None
            view["vector"] = np.asarray(view["vector"], dtype=np.float32)
        vector = None if row["vector"] is None else np.asarray(row["vector"], dtype=np.float32)
        return {
            **{name: row[name] for name in ("item_id", "kind", "title", "text", *TIMES, "indexed_at")},
            "columns": {name: row[name] for name in store.column_kinds()},
            "vector": vector,
            "views": views,
        }

    def failures(self) -> list[dict[str, Any]]:
        """The media that could not be used: item_id, uri, stage, reason, message, attempts, last_seen."""
        return [
            {name: value for name, value in row.items() if name not in {"failure_id", "run_id"}}
            for row in self._open().failure_rows()
        ]

    def status(self) -> Status:
        """What the database holds, and the runs that made it."""
        store = self._open()
        runs = store.run_rows()
        return Status(
            db=self.uri,
            encoder=store.spec,
            items=store.items.count_rows(),
            views=store.views.count_rows(),
            failures=store.failures.count_rows(),
            columns=tuple(name for name in store.items.schema.names if name not in HIDDEN_COLUMNS),
            runs=tuple(run for run in runs if run["settings"].get("kind") != "optimize"),
            tables=tuple(table_state(table) for table in (store.items, store.views)),
            upkeep=tuple(run for run in runs if run["settings"].get("kind") == "optimize"),
        )

    def optimize(
        self,
        *,
        rebuild: bool = False,
        wait_s: float = 0.0,
        on_step: Callable[[str, Step], None] = lambda table, step: None,
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
            report = look_after(store, by_hand=True, rebuild=rebuild, on_step=on_step)
        assert report is not None  # by hand there is always something to do
        return report

    def evaluate(
        self,
        judgements: str | os.PathLike[str] | None = None,
        *,
        k: int = 10,
        modes: Sequence[str] = ("vector",),
        queries: int = 200,
        seed: int = 0,
        group_by: Sequence[str] | None = None,
    ) -> tuple[list[Task], Store]:
        """Measure how well search ranks: by judgements, or without them by queries made from the catalogue.

        Args:
            judgements: a file of graded items, see `firstsight.retrieval.judgements.read_judgements`.
            k: depth of the measures, 1 to 1,000.
            modes: "vector", "words", "hybrid", as far as search has them.
            queries, seed, group_by: see `firstsight.retrieval.smoke.smoke_tasks`; without judgements only.

        Returns:
            The tasks with their figures, and the store, from which a report takes titles and pictures.

        Raises:
            QueryError: judgements that cannot be used, or nothing to make queries from.
        """
        from firstsight.retrieval.evaluation import evaluate
        from firstsight.retrieval.judgements import read_judgements
        from firstsight.retrieval.smoke import smoke_tasks

        if judgements is None:
            store = self._open()
            return smoke_tasks(self, store, k=k, modes=modes, queries=queries, seed=seed, group_by=group_by), store
        judged = read_judgements(os.fspath(judgements))
        store = self._open()
        return [evaluate(self, judged, k=k, modes=modes, known=lambda ids: set(store.item_rows(ids)))], store

    def space_map(self, **how: Any) -> SpaceMap:
        """Place the items on a plane; arguments and errors as `firstsight.retrieval.space_map.space_map`."""
        from firstsight.retrieval.space_map import space_map

        return space_map(self._open(), **how)

    # ---- inside

    def _open(self) -> Store:
        if self._store is None:
            self._store = Store.open(self.uri)
        else:
            self._store.refresh()
        return self._store

    def _existing(self) -> Store | None:
        try:
            return self._open()
        except MissingDatabaseError:
            return None

    @contextmanager
    def _prepared(self, recipe: Recipe, wait_s: float, language: str | None = None) -> Iterator[tuple[Store, Catalog]]:
        """The catalogue, checked from end to end before the database is touched; then the writer's lock."""
        existing = self._existing()
        catalog = check_catalog(
            open_source(recipe.source, encoding=recipe.options.encoding),
            recipe.options,
            stored_kinds=existing.column_kinds() if existing else None,
        )
        try:
            self._store = Store.create(self.uri, self.encoder.spec)
            with self._store.writing(wait_s):
                index_texts(self._store, language)  # before the first rows, so that they are found as they come
                yield self._store, catalog
                index_texts(self._store)
        finally:
            catalog.close()

    def _recorded(self, recipe: Recipe) -> dict[str, Any]:
        """What a run keeps of how it was made."""
        return recipe.as_dict() | {"runtime": getattr(self.encoder, "runtime", "")}

    def _run(self, store: Store, catalog: Catalog, recipe: Recipe, **how: Any) -> IndexRun:
        policy = replace(
            self._policy,
            root=catalog_root(catalog),
            allow_private=self._policy.allow_private or recipe.allow_private,
            allow_anywhere=self._policy.allow_anywhere or recipe.allow_anywhere,
        )
        return IndexRun(store, self.encoder, catalog, policy, recipe.settings, **how)

    def _failed_items(self) -> list[tuple[Recipe, set[str]]]:
        """Items with failures, by the recipe they were indexed with."""
        store = self._open()
        recipes = {run["run_id"]: json.dumps(run["settings"], sort_keys=True) for run in store.run_rows()}
        failed: dict[str, set[str]] = {}
        for row in store.failure_rows():
            failed.setdefault(recipes[row["run_id"]], set()).add(row["item_id"])
        return [(Recipe.from_dict(json.loads(recipe)), item_ids) for recipe, item_ids in failed.items()]

    def _calibration(self, store: Store) -> Calibration:
        """What cosines mean in this state of the database, sampled once for each."""
        state = name_snapshot(store)
        if self._calibrated is None or self._calibrated[0] != state:
            self._calibrated = (state, Calibration.sample(store))
        return self._calibrated[1]


def _or_raise(answer: SearchResults | FirstsightError) -> SearchResults:
    if isinstance(answer, FirstsightError):
        raise answer
    return answer
