"""The Python API of one database."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from firstsight.api.cold_start import ColdStartPart
from firstsight.api.connection import Connection
from firstsight.api.events import EventsPart
from firstsight.api.indexing import IndexingPart
from firstsight.api.maintenance import MaintenancePart
from firstsight.api.recommendation_evaluation import RecommendationEvaluationPart
from firstsight.api.recommendations import RecommendationsPart
from firstsight.api.rerankers import RerankersPart
from firstsight.api.status import ColumnStatus, Status
from firstsight.api.watching import WatchingPart
from firstsight.encoders.base import ImageInput
from firstsight.errors import FirstsightError, QueryError
from firstsight.indexer.columns.catalog_options import TIMES
from firstsight.media.stored_media import open_address
from firstsight.retrieval.query import NO_COLLAPSE, Query
from firstsight.retrieval.rerank.reranker import choose_rerankers
from firstsight.retrieval.reranker_store import find_version, versions_to_evaluate
from firstsight.retrieval.results import SearchResults, locate
from firstsight.retrieval.search import search_many
from firstsight.storage.indexes.upkeep import table_state
from firstsight.storage.snapshots import make_token, name_snapshot, open_snapshot, parse_rerankers

if TYPE_CHECKING:
    from firstsight.api.safety import Safety
    from firstsight.duplicates.groups import DuplicateGroup
    from firstsight.retrieval.evaluation.search_evaluation import Task
    from firstsight.retrieval.pages.space_map import SpaceMap
    from firstsight.storage.store import Store


class Database(
    RecommendationEvaluationPart,
    RecommendationsPart,
    ColdStartPart,
    EventsPart,
    RerankersPart,
    MaintenancePart,
    WatchingPart,
    IndexingPart,
):
    """A database of items, bound to one encoder: index it, search it, recommend from it.

    Get one from `firstsight.open`. Each reading call sees the latest writes of other processes. The first call that
    needs the encoder loads it. Use an object in one thread at a time.
    """

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
        """Search items by a text, a picture, a video, an item, or a mix of them.

        Args:
            text: a description of the items; or a `Query`, or a list of queries, without any other argument.
            image: a picture, an array, a file's bytes, a path, or an http(s) or object-store address.
            video: a path or address; eight of its frames are the query.
            item: an item id; finds similar items without the item itself, and needs no encoder.
            settings: other fields of `Query`: k, offset, where, kinds, mode, part, minus, images, min_relevance, …

        Returns:
            At most k results, best first, each item once, with the `snapshot` to pass for the next page. A list of
            queries gives a list of results, in order. A page of an earlier snapshot leaves out items that were removed
            or blocked since.

        Raises:
            QueryError: the query is empty, a value is out of range, an item is unknown, the database is empty, or the
                filter is wrong.
            MediaError: the query picture or video cannot be used.
            MissingDatabaseError: there is no database.
            EncoderError, EncoderMismatchError, OptionalDependencyError, StoreError: as for `search_many`.
        """
        if text is not None and not isinstance(text, str):
            if image is not None or video is not None or item is not None or settings:
                raise QueryError("a Query takes no other arguments; set its fields instead")
            answers = self.search_many([text] if isinstance(text, Query) else text)
            results = [_or_raise(answer) for answer in answers]
            return results[0] if isinstance(text, Query) else results
        unknown = settings.keys() - {field.name for field in fields(Query)}
        if unknown:
            raise TypeError(f"search() got an unexpected keyword argument {sorted(unknown)[0]!r}")
        inputs: dict[str, Any] = {
            "images": [*([] if image is None else [image]), *settings.pop("images", ())],
            "videos": [*([] if video is None else [os.fspath(video)]), *settings.pop("videos", ())],
            "items": [*([] if item is None else [item]), *settings.pop("items", ())],
        }
        return _or_raise(self.search_many([Query(text, **inputs, **settings)])[0])

    def search_many(
        self, queries: Sequence[Query], *, reranker: int | None = None
    ) -> list[SearchResults | FirstsightError]:
        """Answer many queries in batches, which is faster than one by one.

        Args:
            queries: any number of queries.
            reranker: version that reorders the results in its mode, promoted or not; None for the promoted rerankers.

        Returns:
            One entry per query, in order: its results, or the error of this query alone.

        Raises:
            QueryError: the database is empty, or there is no such reranker.
            EncoderError: the encoder cannot be loaded.
            EncoderMismatchError: the encoder is not the database's.
            OptionalDependencyError: a query needs a reranker, and LightGBM is not installed.
            StoreError: a query needs a reranker that does not fit this database.
        """
        newest = self._open()
        state, today = self._shelf.state(), datetime.now(UTC).date()
        forced = None if reranker is None else find_version(self._shelf, reranker)
        answers: list[SearchResults | FirstsightError | None] = [None] * len(queries)
        for token in dict.fromkeys(query.snapshot for query in queries):
            places = [n for n, query in enumerate(queries) if query.snapshot == token]
            batch = [queries[n] for n in places]
            try:
                store = newest if token is None else open_snapshot(newest, token)
                shelf_state, day = (state, today) if token is None else parse_rerankers(token) or (None, today)
                promoted = {forced.mode: forced} if forced else self._shelf.promoted(shelf_state)
            except QueryError as error:
                answers = [error if n in places else answer for n, answer in enumerate(answers)]
                continue
            batch_answers = search_many(
                store,
                batch,
                encoder=lambda: self.encoder,
                policy=self._policy,
                calibration=partial(self._calibration, store),
                rerankers=choose_rerankers(promoted, store, batch, day),
                snapshot=make_token(name_snapshot(store), shelf_state, day),
            )
            for n, answer in zip(places, batch_answers, strict=True):
                answers[n] = answer if store is newest else _drop_hidden_results(newest, queries[n], answer)
        return [answer for answer in answers if answer is not None]

    @cached_property
    def safety(self) -> Safety:
        """Trust and safety: policies, scores, decisions, heads, known pictures and the audit log."""
        from firstsight.api.safety import Safety

        return Safety(self._safety_connection)

    @cached_property
    def _safety_connection(self) -> Connection:
        return Connection(self.uri, self._requested_encoder, self._encoder_options, self._policy)

    def release(self) -> None:
        """Close the tables until the next call, so that an idle database keeps no replaced index open."""
        super().release()
        self._safety_connection.release()

    def get(self, item_id: str) -> dict[str, Any]:
        """Read an item.

        Returns:
            A dictionary with item_id, kind, title, text, times, `vector`, the catalogue's own `columns`, and `views`.
            `vector` is (dim,) float32 of unit length, or None if nothing could be encoded. Each view has view_id, part,
            uri, time_s, start_s and end_s of its shot, the PDQ `fingerprint` of its picture in hexadecimal digits, and
            its unit vector.

        Raises:
            QueryError: there is no such item.
            MissingDatabaseError: there is no database.
        """
        store = self._open()
        row = store.item_rows([item_id]).get(item_id)
        if row is None:
            raise QueryError(f"there is no item {item_id!r} in {self.uri}")
        views = sorted(store.view_rows([item_id]).to_pylist(), key=lambda view: _numbers_by_value(view["view_id"]))
        for view in views:
            view["fingerprint"] = view["fingerprint"].hex() if view.get("fingerprint") else None
            view["uri"] = locate(open_address(view["uri"], self.uri), row["catalog_dir"]) if view["uri"] else None
            view["vector"] = np.asarray(view["vector"], dtype=np.float32)
        vector = None if row["vector"] is None else np.asarray(row["vector"], dtype=np.float32)
        return {
            **{name: row[name] for name in ("item_id", "kind", "title", "text", *TIMES, "indexed_at")},
            "columns": {name: row[name] for name in store.column_kinds()},
            "vector": vector,
            "views": views,
        }

    def count(self) -> int:
        """Count the items."""
        return int(self._open().items.count_rows())

    def has(self, item_id: str) -> bool:
        """Whether the database has an item with this id."""
        return bool(self._open().digests([item_id]))

    def is_blocked(self, item_id: str) -> bool:
        """Whether a safety decision keeps the item out of searches."""
        return bool(self._open().blocked([item_id]))

    def pictures(self, item_ids: Sequence[str]) -> dict[str, str]:
        """Choose the picture to show for each item: its first image, else its first frame.

        Returns:
            item_id to view_id; items without pictures are left out.
        """
        views = self._open().view_rows(item_ids).select(["item_id", "view_id", "part"]).to_pylist()
        shown = [view for view in views if view["part"] != "title"]
        shown.sort(key=lambda view: (view["part"] != "image", _numbers_by_value(view["view_id"])), reverse=True)
        return {view["item_id"]: view["view_id"] for view in shown}

    def failures(self) -> list[dict[str, Any]]:
        """List the media that could not be used: item_id, uri, stage, reason, message, attempts, last_seen."""
        return [
            {name: value for name, value in row.items() if name not in {"failure_id", "run_id"}}
            for row in self._open().failure_rows()
        ]

    def status(self) -> Status:
        """Read the contents of the database, and its history of runs.

        It counts the empty values, which reads all columns but the vectors: 0.1 s for 17 columns of 100,000 items.
        """
        store = self._open()
        runs = store.run_rows()
        return Status(
            db=self.uri,
            layout=store.layout,
            encoder=store.spec,
            items=store.items.count_rows(),
            views=store.views.count_rows(),
            failures=store.failures.count_rows(),
            columns=tuple(ColumnStatus(*column) for column in store.column_states()),
            runs=tuple(run for run in runs if run["settings"].get("kind") in {None, "watch"}),
            tables=tuple(table_state(table) for table in (store.items, store.views)),
            upkeep=tuple(run for run in runs if run["settings"].get("kind") == "optimize"),
        )

    def duplicates(
        self, *, items: Sequence[str] | None = None, collapse: str | None = None, **settings: Any
    ) -> list[DuplicateGroup]:
        """Find groups of near-duplicate items, the largest first, with the evidence for each pair.

        Args:
            items: item ids; returns only groups with one of them. None for all groups.
            collapse: None leaves out pairs of two variants of one product, and lists the strongest pair of each two
                products, if the database knows products; "none" lists every pair.
            settings: fields of `firstsight.duplicates.item_pairs.DuplicateSettings`: max_distance, min_cosine, …

        Raises:
            QueryError: an item is unknown, or a setting is out of range.
            MissingDatabaseError: there is no database.
        """
        from firstsight.duplicates.groups import group_pairs
        from firstsight.duplicates.item_pairs import DuplicateSettings, find_duplicates
        from firstsight.duplicates.product_pairs import pairs_between_products

        unknown = settings.keys() - {field.name for field in fields(DuplicateSettings)}
        if unknown:
            raise TypeError(f"duplicates() got an unexpected keyword argument {sorted(unknown)[0]!r}")
        if collapse not in (None, NO_COLLAPSE):
            raise QueryError(f"collapse is {collapse!r}; give none for pairs within a product, or leave it out")
        store = self._open()
        for missing in sorted(set(items or ()) - store.item_rows(items or ()).keys()):
            raise QueryError(f"there is no item {missing!r} in {self.uri}")
        pairs = find_duplicates(store, DuplicateSettings(**settings))
        if collapse is None:
            pairs = pairs_between_products(store, pairs, keep=set(items or ()))
        groups = group_pairs(pairs)
        return groups if items is None else [group for group in groups if group.item_ids & set(items)]

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
        """Measure the quality of search, with judgements or with queries generated from the catalogue.

        Args:
            judgements: a file of graded items, see `firstsight.retrieval.evaluation.judgements.read_judgements`.
            k: depth of the measures, 1 to 1,000.
            modes: "vector", "words", "hybrid", each without a reranker. A mode is also measured with its promoted
                reranker, and with a newer one that was fitted to it.
            queries, seed, group_by: only without judgements; see `build_catalogue_tasks` in
                `firstsight.retrieval.evaluation.catalogue_queries`.

        Returns:
            The tasks with their figures, and the store, which gives a report its titles and pictures.

        Raises:
            QueryError: the judgements cannot be used, or the catalogue gives no queries.
            MissingDatabaseError: there is no database.
        """
        from firstsight.retrieval.evaluation.catalogue_queries import build_catalogue_tasks
        from firstsight.retrieval.evaluation.judgements import read_judgements
        from firstsight.retrieval.evaluation.search_evaluation import evaluate

        judged = None if judgements is None else read_judgements(os.fspath(judgements))
        store = self._open()
        rerankers = versions_to_evaluate(self._shelf, modes)
        if judged is None:
            tasks = build_catalogue_tasks(
                self, store, k=k, modes=modes, rerankers=rerankers, queries=queries, seed=seed, group_by=group_by
            )
            return tasks, store
        known = partial(_stored_ids, store)
        return [evaluate(self, judged, k=k, modes=modes, rerankers=rerankers, known=known)], store

    def space_map(self, **options: Any) -> SpaceMap:
        """Place the items on a plane; arguments and errors as for `firstsight.retrieval.pages.space_map.space_map`."""
        from firstsight.retrieval.pages.space_map import space_map

        return space_map(self._open(), **options)


def _numbers_by_value(view_id: str) -> list[tuple[int, str]]:
    """Sort key that puts the tenth frame after the second."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]+)", view_id)]


def _stored_ids(store: Store, item_ids: Sequence[str]) -> set[str]:
    return set(store.item_rows(item_ids))


def _drop_hidden_results(
    store: Store, query: Query, answer: SearchResults | FirstsightError
) -> SearchResults | FirstsightError:
    """Drop items that were removed or blocked since the snapshot: a decision applies to all pages."""
    if isinstance(answer, FirstsightError):
        return answer
    ids = [result.item_id for result in answer]
    shown = set(store.digests(ids))
    if not query.include_blocked:
        shown -= store.blocked(ids)
    left = [result for result in answer if result.item_id in shown]
    return SearchResults(left, answer.snapshot, answer.reranker, withheld=len(answer) - len(left))


def _or_raise(answer: SearchResults | FirstsightError) -> SearchResults:
    if isinstance(answer, FirstsightError):
        raise answer
    return answer
