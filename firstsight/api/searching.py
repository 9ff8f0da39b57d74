"""Search, in the Python API: one state of the database and one choice of rerankers for all queries of a call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Literal, Unpack, overload

from firstsight.api.connection import Connection
from firstsight.api.models.personal_search import PersonalSearch, PersonalState, find_personal_state
from firstsight.errors import FirstsightError, QueryError
from firstsight.keywords import check_keywords
from firstsight.retrieval.query import Query
from firstsight.retrieval.query_settings import QuerySettings
from firstsight.retrieval.rerank.reranker import choose_rerankers
from firstsight.retrieval.reranker_store import find_version
from firstsight.retrieval.results import SearchResults
from firstsight.retrieval.search import search_many
from firstsight.storage.snapshots import add_personal_state, make_token, name_snapshot, open_snapshot, parse_rerankers
from firstsight.storage.store import Store

if TYPE_CHECKING:
    from firstsight.encoders.base import ImageInput
    from firstsight.vectors import VectorInput

OnError = Literal["raise", "return"]


class Searching:
    """Answers queries over the newest state of a database, or over that of a snapshot."""

    def __init__(self, connection: Connection, personal: PersonalSearch) -> None:
        self._connection = connection
        self._personal = personal

    def search(
        self,
        text: str | Query | None = None,
        *,
        image: ImageInput | None = None,
        video: str | os.PathLike[str] | None = None,
        item: str | None = None,
        vector: VectorInput | None = None,
        **settings: Unpack[QuerySettings],
    ) -> SearchResults:
        """Search items by a text, a picture, a video, an item, a vector, or a mix of them.

        Args:
            text: a description of the items; or a `Query`, without any other argument.
            image: a picture, an array, a file's bytes, a path, or an http(s) or object-store address.
            video: a path or address; eight of its frames are the query.
            item: an item id; finds similar items without the item itself, and needs no encoder.
            vector: (dim,) numbers of the database's encoder, of any length above 0; needs no encoder.
            settings: other fields of `Query`: k, offset, where, kinds, mode, part, minus, images, min_relevance, …

        Returns:
            At most k results, best first, each item once, with the `snapshot` to pass for the next page. A page of an
            earlier snapshot leaves out items that were removed or blocked since.

        Raises:
            QueryError: the query is empty, a value is out of range, an item is unknown, the database is empty, or the
                filter is wrong.
            MediaError: the query picture or video cannot be used.
            MissingDatabaseError: there is no database.
            EncoderError, EncoderMismatchError, OptionalDependencyError, StoreError: as for `search_many`.
        """
        check_keywords("search", settings, QuerySettings)
        if isinstance(text, Query):
            if settings or any(value is not None for value in (image, video, item, vector)):
                raise QueryError("a Query takes no other arguments; set its fields instead")
            return self.search_many([text])[0]
        if image is not None:
            settings["images"] = [image, *settings.get("images", ())]
        if video is not None:
            settings["videos"] = [video, *settings.get("videos", ())]
        if item is not None:
            settings["items"] = [item, *settings.get("items", ())]
        if vector is not None:
            settings["vectors"] = [vector, *settings.get("vectors", ())]
        return self.search_many([Query(text, **settings)])[0]

    @overload
    def search_many(
        self, queries: Sequence[Query], *, reranker: int | None = None, on_error: Literal["raise"] = "raise"
    ) -> list[SearchResults]: ...

    @overload
    def search_many(
        self, queries: Sequence[Query], *, reranker: int | None = None, on_error: Literal["return"]
    ) -> list[SearchResults | FirstsightError]: ...

    @overload
    def search_many(
        self, queries: Sequence[Query], *, reranker: int | None = None, on_error: OnError
    ) -> list[SearchResults] | list[SearchResults | FirstsightError]: ...

    def search_many(
        self, queries: Sequence[Query], *, reranker: int | None = None, on_error: OnError = "raise"
    ) -> list[SearchResults] | list[SearchResults | FirstsightError]:
        """Answer many queries in batches, which is faster than one by one.

        Args:
            queries: any number of queries.
            reranker: version that reorders the results in its mode, promoted or not; None for the promoted rerankers.
            on_error: what to do about an error of a query alone, such as an unknown item: "raise" it, or "return" it in
                the place of the query's results.

        Returns:
            The results of each query, in order.

        Raises:
            QueryError: the database is empty, there is no such reranker, or `on_error` is unknown.
            FirstsightError: with on_error="raise", the first error of a query.
            MissingDatabaseError: there is no database.
            EncoderError: the encoder cannot be loaded.
            EncoderMismatchError: the encoder is not the database's.
            OptionalDependencyError: a query needs a reranker, and LightGBM is not installed.
            StoreError: a query needs a reranker that does not fit this database.
        """
        if on_error not in ("raise", "return"):
            raise QueryError(f"on_error is {on_error!r}; give raise or return")
        if not isinstance(queries, Sequence) or not all(isinstance(query, Query) for query in queries):
            raise QueryError(f"queries must be a list of firstsight.Query, not {repr(queries)[:80]}")
        answers = self._answer(queries, reranker)
        if on_error == "return":
            return answers
        return [_or_raise(answer) for answer in answers]

    def _answer(self, queries: Sequence[Query], reranker: int | None) -> list[SearchResults | FirstsightError]:
        newest = self._connection.open()
        shelf = self._connection.shelf
        state, today = shelf.state(), datetime.now(UTC).date()
        forced = None if reranker is None else find_version(shelf, reranker)
        answers: list[SearchResults | FirstsightError | None] = [None] * len(queries)
        for token in dict.fromkeys(query.snapshot for query in queries):
            places = [n for n, query in enumerate(queries) if query.snapshot == token]
            batch = [queries[n] for n in places]
            try:
                store = newest if token is None else open_snapshot(newest, token)
                shelf_state, day = (state, today) if token is None else parse_rerankers(token) or (None, today)
                promoted = {forced.mode: forced} if forced else shelf.promoted(shelf_state)
            except QueryError as error:
                answers = [error if n in places else answer for n, answer in enumerate(answers)]
                continue
            states = self._personal_states(newest, batch)
            found = [n for n, personal in enumerate(states) if not isinstance(personal, FirstsightError)]
            for n, personal in enumerate(states):
                if isinstance(personal, FirstsightError):
                    answers[places[n]] = personal
            places, batch = [places[n] for n in found], [batch[n] for n in found]
            used = [personal for personal in states if not isinstance(personal, FirstsightError)]
            if newest.sets is not None:  # a reranker of the encoder before a switch waits for a rollback
                fingerprint = store.spec.fingerprint
                promoted = {m: r for m, r in promoted.items() if r is forced or r.fingerprint == fingerprint}
            token_now = make_token(name_snapshot(store), shelf_state, day)
            batch_answers = search_many(
                store,
                batch,
                encoder=lambda: self._connection.encoder,
                policy=self._connection.policy,
                calibration=partial(self._connection.calibration, store),
                rerankers=choose_rerankers(promoted, store, batch, day),
                personalisers=[None if personal is None else personal.personaliser for personal in used],
                snapshot=token_now,
            )
            for n, personal, answer in zip(places, used, batch_answers, strict=True):
                if personal is not None and isinstance(answer, SearchResults):
                    personal_token = add_personal_state(token_now, personal.version, personal.time_us)
                    answer = replace(answer, snapshot=personal_token)
                answers[n] = answer if store is newest else _drop_hidden_results(newest, queries[n], answer)
        return [answer for answer in answers if answer is not None]

    def _personal_states(self, newest: Store, queries: Sequence[Query]) -> list[PersonalState | FirstsightError | None]:
        states: list[PersonalState | FirstsightError | None] = []
        for query in queries:
            try:
                states.append(find_personal_state(self._personal, newest, query))
            except FirstsightError as error:
                states.append(error)
        return states


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
    left = tuple(result for result in answer if result.item_id in shown)
    return replace(answer, results=left, withheld=len(answer) - len(left))


def _or_raise(answer: SearchResults | FirstsightError) -> SearchResults:
    if isinstance(answer, FirstsightError):
        raise answer
    return answer
