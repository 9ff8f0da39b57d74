"""Rank the items of one query, reading only the rows that the ranking needs.

A ranking reads the nearest rows, and then four times more in each round, until enough items have a certain place.
A place is certain if no unread item can outrank it. `minus` terms only lower a value, so a value is at most the cosine.
An item whose value is above the last cosine read therefore has a certain place. In a ranking over views, the best view
of an item counts, and views of items that the filter excludes are skipped. A ranking by part best reads items and
views; an item's value must be above the last cosine of both. The result equals that of comparing all items, for every
filter and every `minus` term, if `nearest_rows` is exact.

A ranking is a generator of row requests, so that several queries share database calls (see `fetch_batching`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
import pyarrow.compute as pc

from firstsight.encoders.base import Vector
from firstsight.errors import QueryError
from firstsight.retrieval.query import PartChoice
from firstsight.retrieval.ranking.collapse import DUPLICATES, CollapseRule
from firstsight.retrieval.ranking.fetch_batching import FetchGenerator, FetchRequest, Rows, TableName
from firstsight.retrieval.ranking.full_text import WordQuery, search_by_words, split_query_words
from firstsight.retrieval.ranking.fusion import reciprocal_rank, weighted
from firstsight.retrieval.ranking.item_filters import explain_condition_error
from firstsight.retrieval.ranking.query_encoding import EncodedQuery
from firstsight.retrieval.ranking.relevance import COPY_COSINE, RandomPairCosines
from firstsight.storage.sql.conditions import is_in, quote
from firstsight.storage.store import Store
from firstsight.storage.tables import PICTURE_PARTS

FIRST_READ = 64
"""Minimum number of rows to read first: a page, and some rows for uncertain places."""

SELECTIVE_ITEMS = 1_000
"""Maximum number of items for which a filter is passed to the view search as a list of ids."""

POOL = 200
"""Items of each side that hybrid fuses. The number does not depend on the page, so all pages come from one ranking. The
remaining items follow by cosine."""


TIE_TOLERANCE = 1e-6
"""Cosines closer than this may change their order with the number of rows read."""


@dataclass(frozen=True)
class Candidate:
    """An item in a ranking."""

    item_id: str
    cosine: float  # of the compared vector to the query, -1 to 1
    value: float  # score that orders the ranking
    has_every_word: bool = False  # found by words, and has all words of the query
    words: float | None = None  # BM25 score, 0 without the words; None if the search did not compare words
    rank_score: float | None = None  # score of the reranker; None if not reranked


@dataclass(frozen=True)
class CandidateRanking:
    """First items of a ranking, all with a certain place."""

    candidates: list[Candidate]  # best first
    bound: float  # no further item has a cosine above this
    complete: bool  # there are no further items


@dataclass
class _Reading:
    """The rows of one table that are nearest to the query, read as far as the ranking needs."""

    table: TableName
    vector: Vector  # (dim,) of unit length
    k: int  # number of rows to read
    condition: str | None
    columns: tuple[str, ...]
    rows: Rows = field(default_factory=list)  # nearest first
    complete: bool = False  # there are no further rows
    last: float = 1.0  # no unread row has a higher cosine

    @property
    def request(self) -> FetchRequest:
        return FetchRequest(self.table, self.vector, self.k, self.condition, self.columns)

    def take(self, rows: Rows) -> None:
        self.rows = rows
        self.complete = len(rows) < self.k
        self.last = 1.0 - float(rows[-1]["_distance"]) if rows else -1.0


@dataclass(frozen=True)
class Ranker:
    """Ranks the items of one query."""

    store: Store
    encoded: EncodedQuery
    condition: str | None  # from `build_condition`
    background: RandomPairCosines  # of the compared part
    frames: RandomPairCosines | None = None  # of frames, if the query asks for moments
    blocked_ids: frozenset[str] | None = None  # blocked ids, if blocking is all that `condition` does; else None
    collapse: CollapseRule | None = None  # what to keep one result of; None for every item
    groups: dict[str, object] = field(default_factory=dict)  # item id to group, read together with other columns

    def rank(self, need: int) -> FetchGenerator[CandidateRanking]:
        """Rank at least `need` items, or all items if there are fewer.

        Raises:
            QueryError: the query's `where` condition fails on a row.
        """
        query = self.encoded.query
        mode = query.resolved_mode
        try:
            if mode == "words":
                return self._rank_by_words(need)
            if mode == "hybrid":
                return (yield from self._rank_hybrid(need))
            return (yield from self._rank_by_vectors(need, query.resolved_part))
        except (ValueError, RuntimeError, OSError) as error:
            if query.where is None:
                raise
            raise QueryError(explain_condition_error(self.store, query.where, str(error))) from None

    # ---- by vectors

    def _rank_by_vectors(self, need: int, part: PartChoice) -> FetchGenerator[CandidateRanking]:
        """Rank by the chosen part; `best` reads both tables and takes an item's higher cosine.

        An unread vector has at most the last cosine of its table. So an item's higher cosine is known if it is above
        the last cosine of both tables.
        """
        readings = self._start_readings(need, part)
        to_extend = readings
        allowed = dict.fromkeys(self.encoded.query.items, False)
        while to_extend:
            answers = yield [reading.request for reading in to_extend]
            for reading, rows in zip(to_extend, answers, strict=True):
                reading.take(rows)
                if reading.table == "items":
                    self._note_groups(rows)
            cosines: dict[str, float] = {}
            for reading in readings:
                for item_id, cosine in self._allowed_cosines(reading, allowed).items():
                    cosines[item_id] = max(cosine, cosines.get(item_id, -1.0))
            values = self._values(cosines, part)
            ranking = self._certain_candidates(cosines, values, readings, part)
            if ranking.complete or len(ranking.candidates) >= need:
                return ranking
            lowest = sorted(values.values(), reverse=True)[need - 1] if len(values) >= need else -math.inf
            # a table whose unread rows are all below the needed items is not read further
            to_extend = [
                reading
                for reading in readings
                if not reading.complete and _order_value(reading.last, part) + TIE_TOLERANCE >= lowest
            ]
            for reading in to_extend:
                reading.k *= 4
        return CandidateRanking([], -1.0, complete=True)

    def _start_readings(self, need: int, part: PartChoice) -> list[_Reading]:
        """Readings of the tables that hold the vectors of a part; none if no item passes the filter."""
        vector = self.encoded.vector
        readings = []
        if part in {"item", "best"}:
            # few blocked ids are removed after reading: a condition is slow even if nearly all rows pass it
            condition = self.condition if self.blocked_ids is None else None
            k = _first_read(need + len(set(self.encoded.query.items)))
            readings.append(_Reading("items", vector, k, condition, self._with_group("item_id")))
        if part != "item":
            condition = None if part in {"any", "best"} else f"part = {quote(part)}"
            item_ids = self._ids_of_selective_filter()
            if item_ids is not None:
                if not item_ids:
                    return []
                condition = _join_conditions(condition, is_in("item_id", item_ids))
            k = _first_read(need) * 2  # an item has several views
            # views of text are removed after reading, for the same reason as blocked ids
            columns = ("item_id", "part") if part == "best" else ("item_id",)
            readings.append(_Reading("views", vector, k, condition, columns))
        return readings

    def _allowed_cosines(self, reading: _Reading, allowed: dict[str, bool]) -> dict[str, float]:
        """Highest cosine that was read of each item, for items that the filter allows.

        Args:
            reading: rows of one table.
            allowed: whether the known items are allowed; items of this reading are added.
        """
        best: dict[str, float] = {}
        for row in reading.rows:  # best first
            if row.get("part", "image") in PICTURE_PARTS:
                best.setdefault(str(row["item_id"]), 1.0 - float(row["_distance"]))
        new = [item_id for item_id in best if item_id not in allowed]
        if reading.table == "items":  # read with the condition, except for blocked ids
            passing = set(new) - (self.blocked_ids or set())
        else:
            passing = {str(row["item_id"]) for row in self._rows(new, self._with_group("item_id"), self.condition)}
        allowed.update((item_id, item_id in passing) for item_id in new)
        return {item_id: cosine for item_id, cosine in best.items() if allowed[item_id]}

    def _ids_of_selective_filter(self) -> list[str] | None:
        """Ids of the items that pass the filter; None without a filter or if they are more than SELECTIVE_ITEMS.

        The view search needs ids, because the `views` table lacks the columns of `items`.
        """
        if (
            self.condition is None
            or self.blocked_ids is not None
            or self.store.items.count_rows(self.condition) > SELECTIVE_ITEMS
        ):
            return None
        found = self.store.items.search().where(self.condition).select(["item_id"]).limit(None).to_arrow()
        return [str(item_id) for item_id in found["item_id"].to_pylist()]

    def _values(self, cosines: Mapping[str, float], part: PartChoice) -> dict[str, float]:
        penalties = self.penalties(list(cosines))
        return {
            item_id: _order_value(cosine, part) - penalties.get(item_id, 0.0) for item_id, cosine in cosines.items()
        }

    def _certain_candidates(
        self, cosines: Mapping[str, float], values: Mapping[str, float], readings: Sequence[_Reading], part: PartChoice
    ) -> CandidateRanking:
        """Items that no unread item can outrank, best first; ties by id, with part best first by the fused cosine."""
        complete = all(reading.complete for reading in readings)
        last = max((reading.last for reading in readings if not reading.complete), default=-1.0)
        bound = -math.inf if complete else _order_value(last, part) + TIE_TOLERANCE
        certain = [item_id for item_id, value in values.items() if value > bound]
        fused: Mapping[str, float] = {}
        if part == "best":
            counts = Counter(values[item_id] for item_id in certain)
            fused = self._fused_cosines([item_id for item_id in certain if counts[values[item_id]] > 1])
        certain.sort(key=lambda item_id: (-values[item_id], -fused.get(item_id, 0.0), item_id))
        return CandidateRanking([Candidate(i, cosines[i], values[i]) for i in certain], last, complete)

    def _fused_cosines(self, item_ids: Sequence[str]) -> dict[str, float]:
        """Cosines of fused vectors to the query, equal for equal vectors."""
        ids, vectors = self.vectors(item_ids)
        # float32 sums depend on a row's place in the matrix
        cosines = vectors.astype(np.float64) @ self.encoded.vector.astype(np.float64)
        return dict(zip(ids, np.round(cosines, 9).tolist(), strict=True))

    def penalties(self, item_ids: Sequence[str]) -> dict[str, float]:
        """Penalty of each item for the query's `minus` terms, 0 to `minus_weight`; only items that have one."""
        minus = self.encoded.minus
        if not len(minus) or not item_ids:
            return {}
        ids, vectors = self.vectors(item_ids)
        largest = (vectors @ minus.T).max(axis=1) if ids else []
        weight = self.encoded.query.minus_weight
        return {i: weight * min(float(cosine), 1.0) for i, cosine in zip(ids, largest, strict=True) if cosine > 0}

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
            certain = [(item_id, score) for item_id, score in hits if complete or score > last + TIE_TOLERANCE]
            if complete or len(certain) >= need:
                break
            limit *= 4
        every = self._find_items_with_every_word(words, [item_id for item_id, _ in certain])
        cosines = self._cosines([item_id for item_id, _ in certain])
        # unread items may have any cosine, so the bound is 1
        return CandidateRanking(
            [Candidate(i, cosines[i], score, i in every, score) for i, score in certain], 1.0, complete
        )

    def _rank_hybrid(self, need: int) -> FetchGenerator[CandidateRanking]:
        """Fuse the first items of both sides; the remaining items follow by cosine."""
        query = self.encoded.query
        without_minus = replace(self, encoded=_without_minus(self.encoded))
        nearest = yield from without_minus._rank_by_vectors(POOL, "item")
        cosines = {c.item_id: c.cosine for c in nearest.candidates[:POOL]}
        assert query.text is not None
        excluded = set(query.items)
        words = split_query_words(self.store, query.text)
        hits = search_by_words(self.store, words, limit=POOL, condition=self.condition)
        hits = [(item_id, score) for item_id, score in hits if item_id not in excluded]
        all_cosines = {**self._cosines([item_id for item_id, _ in hits if item_id not in cosines]), **cosines}
        if query.fusion == "rrf":
            fused = reciprocal_rank([list(cosines), [item_id for item_id, _ in hits]])
        else:
            fused = weighted(all_cosines, dict(hits), floor=self.background.floor)
        penalties = self.penalties(list(fused))
        values = {item_id: score * (1.0 - penalties.get(item_id, 0.0)) for item_id, score in fused.items()}
        every = self._find_items_with_every_word(words, [item_id for item_id, _ in hits])
        order = sorted(values, key=lambda item_id: (-values[item_id], -all_cosines[item_id], item_id))
        bm25 = dict(hits)
        first = [Candidate(i, all_cosines[i], values[i], i in every, bm25.get(i, 0.0)) for i in order]
        complete = nearest.complete and len(nearest.candidates) <= POOL
        if complete or len(first) >= need:
            last = nearest.candidates[POOL - 1].cosine if not complete else -1.0
            return CandidateRanking(first, last, complete)
        rest = yield from self._rank_by_vectors(need + len(first), "item")
        remaining = [c for c in rest.candidates if c.item_id not in values]
        return CandidateRanking(first + remaining, rest.bound, rest.complete)

    def _find_items_with_every_word(self, words: WordQuery, item_ids: Sequence[str]) -> set[str]:
        if not item_ids:
            return set()
        hits = search_by_words(self.store, words, limit=len(item_ids), condition=is_in("item_id", item_ids), every=True)
        return {item_id for item_id, _ in hits}

    # ---- rows by id

    def vectors(self, item_ids: Sequence[str]) -> tuple[list[str], Vector]:
        """Read the fused vectors of items.

        Returns:
            The ids of the items that have a vector, and their vectors, (n, dim), in the same order.
        """
        ids: list[str] = []
        vectors = [np.empty((0, self.store.spec.dim), dtype=np.float32)]
        columns = self._with_group("item_id", "vector")
        for rows in self.store.rows_by_id(self.store.items, item_ids, columns=columns, condition="vector IS NOT NULL"):
            if self.collapse:
                self._note_groups(rows.drop_columns("vector").to_pylist())
            ids += (str(item_id) for item_id in rows["item_id"].to_pylist())
            vectors.append(pc.list_flatten(rows["vector"]).to_numpy().reshape(rows.num_rows, -1))
        return ids, np.concatenate(vectors)

    def group_of(self, item_ids: Sequence[str]) -> dict[str, object]:
        """The group of each item: its value of the column of `collapse`; None for no value, or no such item."""
        if unread := [item_id for item_id in item_ids if item_id not in self.groups]:
            self.groups.update(dict.fromkeys(unread))
            list(self._rows(unread, self._with_group("item_id"), None))
        return {item_id: self.groups[item_id] for item_id in item_ids}

    def _with_group(self, *columns: str) -> tuple[str, ...]:
        column = self.collapse.column if self.collapse else None
        return columns if column is None or column == DUPLICATES or column in columns else (*columns, column)

    def _note_groups(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.collapse and self.collapse.column != DUPLICATES:
            self.groups.update((str(row["item_id"]), row[self.collapse.column]) for row in rows)

    def _cosines(self, item_ids: Sequence[str]) -> dict[str, float]:
        """Cosines to the query; 0 for an item without a vector."""
        ids, vectors = self.vectors(item_ids)
        known = dict(zip(ids, (vectors @ self.encoded.vector).tolist(), strict=True)) if ids else {}
        return {item_id: known.get(item_id, 0.0) for item_id in item_ids}

    def _rows(
        self, item_ids: Sequence[str], columns: tuple[str, ...], condition: str | None
    ) -> Iterator[dict[str, Any]]:
        for rows in self.store.rows_by_id(self.store.items, item_ids, columns=columns, condition=condition):
            found = rows.to_pylist()
            self._note_groups(found)
            yield from found


def _without_minus(encoded: EncodedQuery) -> EncodedQuery:
    return EncodedQuery(encoded.query, encoded.vector, encoded.minus[:0], encoded.medium)


def _first_read(need: int) -> int:
    """Number of rows to read first: a power of two, so that pages of one ranking read the same rows."""
    return max(FIRST_READ, 1 << need.bit_length())


def _order_value(cosine: float, part: PartChoice) -> float:
    """Value of a cosine before penalties: with part best, all copies of the query's picture are equal."""
    return 1.0 if part == "best" and cosine >= COPY_COSINE else cosine


@overload
def _join_conditions(first: str | None, second: str) -> str: ...
@overload
def _join_conditions(first: str | None, second: str | None) -> str | None: ...
def _join_conditions(first: str | None, second: str | None) -> str | None:
    return " AND ".join(condition for condition in (first, second) if condition) or None
