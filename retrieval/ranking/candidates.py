"""Rankings of items, each read as far as it is needed and certain as far as it is read.

A ranking is a generator: it asks for nearest rows and is sent them, so that the asking of many queries goes to
the database together (`run_rankings`). It reads more rows, four times as many each time, until the items it gives
are certain: no item that it has not read could stand before them. With something to avoid, an item's value is at
most its cosine, so an item whose value is above the last cosine read is certain of its place. Over views it is an
item's best view that counts, and views of items that the filter leaves out are read past. The answer is therefore
that of comparing everything, whatever the filter and whatever there is to avoid, as far as `nearest_rows` is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, TypeVar, overload

import numpy as np
import pyarrow.compute as pc

from firstsight.encoders.base import Vector
from firstsight.errors import FirstsightError, QueryError
from firstsight.retrieval.ranking.full_text import WordQuery, search_by_words, split_query_words
from firstsight.retrieval.ranking.fusion import reciprocal_rank, weighted
from firstsight.retrieval.ranking.item_filters import explain_condition_error
from firstsight.retrieval.ranking.query_encoding import EncodedQuery
from firstsight.retrieval.ranking.relevance import RandomPairCosines
from firstsight.storage.indexes.vector_index import nearest_rows
from firstsight.storage.sql.conditions import is_in, quote, quote_name
from firstsight.storage.store import Store

FIRST_READ = 64
"""Rows read first, at least: a page and what may stand before it."""

SELECTIVE = 1_000
"""A filter that leaves this many items or fewer is given to the views as a list of ids."""

POOL = 200
"""Items of each side that hybrid joins, whatever the page, so that pages are cut from one ranking. After them, the
nearest of the rest."""

_EQUAL = 1e-6  # cosines closer than this may change their order with the number of rows read


@dataclass(frozen=True)
class FetchRequest:
    """Rows that a ranking asks for; see `nearest_rows`."""

    table: Literal["items", "views"]
    vector: Vector
    k: int
    condition: str | None
    column: str  # that holds the item's id


@dataclass(frozen=True)
class Candidate:
    """An item in a ranking."""

    item_id: str
    cosine: float  # of what is compared to the query
    value: float  # what ranks it
    has_every_word: bool = False  # it was found by words, and has all of them
    words: float | None = None  # its BM25 score, 0 without the words; None where no words were compared
    rank_score: float | None = None  # what a reranker gave it, where one did


@dataclass(frozen=True)
class CandidateRanking:
    """The first items of a ranking, certain of their places."""

    candidates: list[Candidate]
    bound: float  # no item left out has a cosine above this
    complete: bool  # there are no more


T = TypeVar("T")
FetchGenerator: TypeAlias = Generator[FetchRequest, list[dict[str, Any]], T]


def run_rankings(store: Store, asking: Sequence[FetchGenerator[T]]) -> list[T | FirstsightError]:
    """Run rankings side by side, what they ask for at one moment going to the database in as few calls as can be.

    Returns:
        What each gives in the end, or the error that ended it.
    """
    answers: dict[int, T | FirstsightError] = {}
    sent: dict[int, list[dict[str, Any]] | Exception | None] = dict.fromkeys(range(len(asking)))
    while sent:
        waiting: dict[int, FetchRequest] = {}
        for n, rows in sent.items():
            try:
                waiting[n] = asking[n].throw(rows) if isinstance(rows, Exception) else _send(asking[n], rows)
            except StopIteration as end:
                answers[n] = end.value
            except FirstsightError as error:
                answers[n] = error
        sent = _fetch(store, waiting)
    return [answers[n] for n in range(len(asking))]


def _send(asking: FetchGenerator[T], rows: list[dict[str, Any]] | None) -> FetchRequest:
    return next(asking) if rows is None else asking.send(rows)


def _fetch(store: Store, waiting: dict[int, FetchRequest]) -> dict[int, list[dict[str, Any]] | Exception | None]:
    groups: dict[tuple[Literal["items", "views"], int, str | None, str], list[int]] = {}
    for n, fetch in waiting.items():
        groups.setdefault((fetch.table, fetch.k, fetch.condition, fetch.column), []).append(n)
    found: dict[int, list[dict[str, Any]] | Exception | None] = {}
    for (table, k, condition, column), members in groups.items():
        vectors = np.stack([waiting[n].vector for n in members])
        try:
            rows = nearest_rows(store, table, vectors, k=k, condition=condition, columns=[column])
            found.update(zip(members, rows, strict=True))
        except (ValueError, RuntimeError, OSError) as error:
            found.update(dict.fromkeys(members, error))
    return found


@dataclass(frozen=True)
class Ranker:
    """Makes the rankings of one query."""

    store: Store
    encoded: EncodedQuery
    condition: str | None  # from `build_condition`
    background: RandomPairCosines
    frames: RandomPairCosines | None = None  # of frames, where moments are asked for
    blocked_ids: frozenset[str] | None = None  # what `condition` keeps out, where it keeps out nothing else

    def rank(self, need: int) -> FetchGenerator[CandidateRanking]:
        """At least `need` items certain of their places, or all there are.

        Raises:
            QueryError: a condition that fails on a row.
        """
        query = self.encoded.query
        mode = query.resolved_mode
        try:
            if mode == "words":
                return self._rank_by_words(need)
            if mode == "hybrid":
                return (yield from self._rank_hybrid(need))
            return (yield from (self._rank_by_items(need) if query.part == "item" else self._rank_by_views(need)))
        except (ValueError, RuntimeError, OSError) as error:
            if query.where is None:
                raise
            raise QueryError(explain_condition_error(self.store, query.where, str(error))) from None

    # ---- by vectors

    def _rank_by_items(self, need: int) -> FetchGenerator[CandidateRanking]:
        # not by a condition: one that nearly all rows pass costs as any other
        condition = self.condition if self.blocked_ids is None else None
        left_out = set(self.encoded.query.items)
        k = _first_read(need + len(left_out))
        left_out |= self.blocked_ids or set()
        while True:
            rows = yield FetchRequest("items", self.encoded.vector, k, condition, "item_id")
            cosines = {str(row["item_id"]): 1.0 - float(row["_distance"]) for row in rows}
            cosines = {item_id: cosine for item_id, cosine in cosines.items() if item_id not in left_out}
            ranking = self._certain_candidates(cosines, last=_lowest_cosine(rows), complete=len(rows) < k)
            if ranking.complete or len(ranking.candidates) >= need:
                return ranking
            k *= 4

    def _rank_by_views(self, need: int) -> FetchGenerator[CandidateRanking]:
        part = self.encoded.query.part
        condition = None if part == "any" else f"part = {quote(part)}"
        few = self._few_items()
        if few is not None:
            if not few:
                return CandidateRanking([], -1.0, complete=True)
            condition = _join_conditions(condition, is_in("item_id", few))
        k = _first_read(need) * 2  # an item has several views
        allowed = dict.fromkeys(self.encoded.query.items, False)
        while True:
            rows = yield FetchRequest("views", self.encoded.vector, k, condition, "item_id")
            best: dict[str, float] = {}
            for row in rows:
                best.setdefault(str(row["item_id"]), 1.0 - float(row["_distance"]))  # best first
            new = [item_id for item_id in best if item_id not in allowed]
            passing = {str(row["item_id"]) for row in self._rows(new, ["item_id"], self.condition)}
            allowed.update((item_id, item_id in passing) for item_id in new)
            cosines = {item_id: cosine for item_id, cosine in best.items() if allowed[item_id]}
            ranking = self._certain_candidates(cosines, last=_lowest_cosine(rows), complete=len(rows) < k)
            if ranking.complete or len(ranking.candidates) >= need:
                return ranking
            k *= 4

    def _few_items(self) -> list[str] | None:
        """The ids that the filter leaves, where they are few; views have none of the columns it names."""
        if (
            self.condition is None
            or self.blocked_ids is not None
            or self.store.items.count_rows(self.condition) > SELECTIVE
        ):
            return None
        found = self.store.items.search().where(self.condition).select(["item_id"]).limit(None).to_arrow()
        return [str(item_id) for item_id in found["item_id"].to_pylist()]

    def _certain_candidates(self, cosines: dict[str, float], *, last: float, complete: bool) -> CandidateRanking:
        """The items whose value no item that was not read can reach, best first, equal ones by id."""
        penalties = self.penalties(list(cosines))
        values = {item_id: cosine - penalties.get(item_id, 0.0) for item_id, cosine in cosines.items()}
        sure = [item_id for item_id, value in values.items() if complete or value > last + _EQUAL]
        sure.sort(key=lambda item_id: (-values[item_id], item_id))
        return CandidateRanking([Candidate(i, cosines[i], values[i]) for i in sure], last, complete)

    def penalties(self, item_ids: Sequence[str]) -> dict[str, float]:
        """What there is to avoid in each item, 0 to `minus_weight`; items without any are left out."""
        minus = self.encoded.minus
        if not len(minus) or not item_ids:
            return {}
        ids, vectors = self.vectors(item_ids)
        most = (vectors @ minus.T).max(axis=1) if ids else []
        weight = self.encoded.query.minus_weight
        return {item_id: weight * min(float(m), 1.0) for item_id, m in zip(ids, most, strict=True) if m > 0}

    # ---- by words

    def _rank_by_words(self, need: int) -> CandidateRanking:
        text = self.encoded.query.text
        assert text is not None
        words = split_query_words(self.store, text)
        limit = _first_read(need)
        while True:
            hits = search_by_words(self.store, words, limit=limit, condition=self.condition)
            complete = len(hits) < limit
            last = hits[-1][1] if hits else 0.0
            sure = [(item_id, score) for item_id, score in hits if complete or score > last + _EQUAL]
            if complete or len(sure) >= need:
                break
            limit *= 4
        every = self._find_items_with_every_word(words, [item_id for item_id, _ in sure])
        cosines = self._cosines([item_id for item_id, _ in sure])
        # what was not read may be of any cosine
        return CandidateRanking(
            [Candidate(i, cosines[i], score, i in every, score) for i, score in sure], 1.0, complete
        )

    def _rank_hybrid(self, need: int) -> FetchGenerator[CandidateRanking]:
        """Hybrid: what both sides found, fused; after it, the nearest of the rest."""
        query = self.encoded.query
        plain = replace(self, encoded=_without_minus(self.encoded))
        near = yield from plain._rank_by_items(POOL)
        cosines = {c.item_id: c.cosine for c in near.candidates[:POOL]}
        assert query.text is not None
        left_out = set(query.items)
        words = split_query_words(self.store, query.text)
        hits = search_by_words(self.store, words, limit=POOL, condition=self.condition)
        hits = [(item_id, score) for item_id, score in hits if item_id not in left_out]
        found = {**self._cosines([item_id for item_id, _ in hits if item_id not in cosines]), **cosines}
        if query.fusion == "rrf":
            fused = reciprocal_rank([list(cosines), [item_id for item_id, _ in hits]])
        else:
            fused = weighted(found, dict(hits), floor=self.background.floor)
        penalties = self.penalties(list(fused))
        values = {item_id: score * (1.0 - penalties.get(item_id, 0.0)) for item_id, score in fused.items()}
        every = self._find_items_with_every_word(words, [item_id for item_id, _ in hits])
        order = sorted(values, key=lambda item_id: (-values[item_id], -found[item_id], item_id))
        bm25 = dict(hits)
        first = [Candidate(i, found[i], values[i], i in every, bm25.get(i, 0.0)) for i in order]
        complete = near.complete and len(near.candidates) <= POOL
        if complete or len(first) >= need:
            last = near.candidates[POOL - 1].cosine if not complete else -1.0
            return CandidateRanking(first, last, complete)
        rest = yield from self._rank_by_items(need + len(first))
        after = [c for c in rest.candidates if c.item_id not in values]
        return CandidateRanking(first + after, rest.bound, rest.complete)

    def _find_items_with_every_word(self, words: WordQuery, item_ids: Sequence[str]) -> set[str]:
        if not item_ids:
            return set()
        hits = search_by_words(self.store, words, limit=len(item_ids), condition=is_in("item_id", item_ids), every=True)
        return {item_id for item_id, _ in hits}

    # ---- rows by id

    def vectors(self, item_ids: Sequence[str]) -> tuple[list[str], Vector]:
        """The fused vectors of those of these items that have one: ids, and (n, dim)."""
        ids: list[str] = []
        vectors = [np.empty((0, self.store.spec.dim), dtype=np.float32)]
        columns = ["item_id", "vector"]
        for found in self.store.rows_by_id(self.store.items, item_ids, columns=columns, condition="vector IS NOT NULL"):
            ids += (str(item_id) for item_id in found["item_id"].to_pylist())
            vectors.append(pc.list_flatten(found["vector"]).to_numpy().reshape(found.num_rows, -1))
        return ids, np.concatenate(vectors)

    def values_of(self, item_ids: Sequence[str], column: str) -> dict[str, object]:
        """One column of items."""
        return {str(row["item_id"]): row[column] for row in self._rows(item_ids, ["item_id", column], None)}

    def group_sizes(self, column: str, values: Sequence[object]) -> dict[object, int]:
        """How many items that pass the filter have each of these values."""
        if not values:
            return {}
        condition = _join_conditions(self.condition, is_in(quote_name(column), values))
        found = self.store.items.search().where(condition).select([column]).limit(None).to_arrow()
        return Counter(found[column].to_pylist())

    def _cosines(self, item_ids: Sequence[str]) -> dict[str, float]:
        """Cosines to the query, 0 for an item that has no vector."""
        ids, vectors = self.vectors(item_ids)
        known = dict(zip(ids, (vectors @ self.encoded.vector).tolist(), strict=True)) if ids else {}
        return {item_id: known.get(item_id, 0.0) for item_id in item_ids}

    def _rows(self, item_ids: Sequence[str], columns: list[str], condition: str | None) -> Iterator[dict[str, Any]]:
        wanted = list(dict.fromkeys(columns))
        for part in self.store.rows_by_id(self.store.items, item_ids, columns=wanted, condition=condition):
            yield from part.to_pylist()


def _without_minus(encoded: EncodedQuery) -> EncodedQuery:
    return EncodedQuery(encoded.query, encoded.vector, encoded.minus[:0], encoded.medium)


def _first_read(need: int) -> int:
    """How many rows to read first: the next power of two, so that pages of one ranking read the same rows."""
    return max(FIRST_READ, 1 << need.bit_length())


def _lowest_cosine(rows: Sequence[dict[str, Any]]) -> float:
    return 1.0 - float(rows[-1]["_distance"]) if rows else -1.0


@overload
def _join_conditions(first: str | None, second: str) -> str: ...
@overload
def _join_conditions(first: str | None, second: str | None) -> str | None: ...
def _join_conditions(first: str | None, second: str | None) -> str | None:
    return " AND ".join(condition for condition in (first, second) if condition) or None
