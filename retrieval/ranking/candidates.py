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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from firstsight.errors import QueryError
from firstsight.retrieval.query import PartChoice
from firstsight.retrieval.ranking.clip_ranking import rank_by_clip
from firstsight.retrieval.ranking.fetch_batching import FetchGenerator
from firstsight.retrieval.ranking.full_text import (
    WordQuery,
    find_items_with_words_in_pictures,
    search_by_words,
    split_query_words,
)
from firstsight.retrieval.ranking.fusion import reciprocal_rank, weighted
from firstsight.retrieval.ranking.item_filters import explain_condition_error
from firstsight.retrieval.ranking.item_reader import ItemReader
from firstsight.retrieval.ranking.moment_ranking import MomentScale, compare_moments, rank_by_moments
from firstsight.retrieval.ranking.query_encoding import EncodedQuery
from firstsight.retrieval.ranking.readings import (
    TIE_TOLERANCE,
    Candidate,
    CandidateRanking,
    Reading,
    WordPlace,
    first_read,
)
from firstsight.retrieval.ranking.relevance import COPY_COSINE, RandomPairCosines
from firstsight.storage.sql.conditions import is_in, quote

POOL = 200
"""Items of each side that hybrid fuses. The number does not depend on the page, so all pages come from one ranking. The
remaining items follow by cosine."""


@dataclass(frozen=True, kw_only=True)
class Ranker(ItemReader):
    """Ranks the items of one query."""

    background: RandomPairCosines  # of the compared part
    scale: MomentScale | None = None  # with part moment
    frames: RandomPairCosines | None = None  # of frames, if the query asks for moments
    understood: Mapping[str, Any] | None = None  # of the query's text, for the answer

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
            return (yield from self._rank_by_similarity(need))
        except (ValueError, RuntimeError, OSError) as error:
            if query.where is None:
                raise
            raise QueryError(explain_condition_error(self.store, query.where, str(error))) from None

    # ---- by vectors

    def _rank_by_similarity(self, need: int) -> FetchGenerator[CandidateRanking]:
        if self.part == "moment":
            assert self.scale is not None
            return (yield from rank_by_moments(self, self.scale, need))
        if self.part == "clip":
            return (yield from rank_by_clip(self, need))
        return (yield from self._rank_by_vectors(need, self.part))

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
                    self.note_groups(rows)
            cosines: dict[str, float] = {}
            for reading in readings:
                for item_id, cosine in self.allowed_cosines(reading, allowed).items():
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

    def _start_readings(self, need: int, part: PartChoice) -> list[Reading]:
        """Readings of the tables that hold the vectors of a part; none if no item passes the filter."""
        readings = [self.items_reading(need)] if part in {"item", "best"} else []
        if part != "item":
            condition = None if part in {"any", "best"} else f"part = {quote(part)}"
            # views of text are removed after reading, for the same reason as hidden ids
            columns = ("item_id", "part") if part == "best" else ("item_id",)
            views = self.views_readings(need, condition, columns, [self.encoded.vector])
            if views is None:
                return []
            readings += views
        return readings

    def _values(self, cosines: Mapping[str, float], part: PartChoice) -> dict[str, float]:
        penalties = self.penalties(list(cosines))
        return {
            item_id: _order_value(cosine, part) - penalties.get(item_id, 0.0) for item_id, cosine in cosines.items()
        }

    def _certain_candidates(
        self, cosines: Mapping[str, float], values: Mapping[str, float], readings: Sequence[Reading], part: PartChoice
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

    # ---- by words

    def _rank_by_words(self, need: int) -> CandidateRanking:
        text = self.encoded.query.text
        assert text is not None
        words = split_query_words(self.store, text)
        limit = first_read(need)
        while True:
            hits = search_by_words(self.store, words, limit=limit, condition=self.condition)
            complete = len(hits) < limit
            last = hits[-1][1] if hits else 0.0
            certain = [(item_id, score) for item_id, score in hits if complete or score > last + TIE_TOLERANCE]
            if complete or len(certain) >= need:
                break
            limit *= 4
        every = self._find_items_with_every_word(words, [item_id for item_id, _ in certain])
        cosines = self.cosines([item_id for item_id, _ in certain])
        # unread items may have any cosine, so the bound is 1
        return CandidateRanking(
            [Candidate(i, cosines[i], score, every.get(i), score) for i, score in certain], 1.0, complete
        )

    def _rank_hybrid(self, need: int) -> FetchGenerator[CandidateRanking]:
        """Fuse the first items of both sides; the remaining items follow by cosine."""
        query = self.encoded.query
        without_minus = replace(self, encoded=_without_minus(self.encoded))
        nearest = yield from without_minus._rank_by_similarity(POOL)
        similar = {c.item_id: c for c in nearest.candidates[:POOL]}
        assert query.text is not None
        excluded = set(query.items)
        words = split_query_words(self.store, query.text)
        hits = search_by_words(self.store, words, limit=POOL, condition=self.condition)
        hits = [(item_id, score) for item_id, score in hits if item_id not in excluded]
        similar |= self._by_id([item_id for item_id, _ in hits if item_id not in similar])
        if query.fusion == "rrf":
            near = [c.item_id for c in nearest.candidates[:POOL]]
            fused = reciprocal_rank([near, [item_id for item_id, _ in hits]])
        else:
            # the values of moments are deviations from a random item's
            floor = 0.0 if self.part == "moment" else self.background.floor
            fused = weighted({i: c.value for i, c in similar.items()}, dict(hits), floor=floor)
        penalties = self.penalties(list(fused), *([self.scale.minus_cosine] if self.scale else []))
        values = {item_id: score * (1.0 - penalties.get(item_id, 0.0)) for item_id, score in fused.items()}
        every = self._find_items_with_every_word(words, [item_id for item_id, _ in hits])
        order = sorted(values, key=lambda item_id: (-values[item_id], -similar[item_id].value, item_id))
        bm25 = dict(hits)
        first = [replace(similar[i], value=values[i], every_word=every.get(i), words=bm25.get(i, 0.0)) for i in order]
        complete = nearest.complete and len(nearest.candidates) <= POOL
        if complete or len(first) >= need:
            last = nearest.candidates[POOL - 1] if not complete else None
            bounds = (-1.0, 0.0) if last is None else (last.cosine, last.relevance)
            return CandidateRanking(first, bounds[0], complete, bounds[1])
        rest = yield from self._rank_by_similarity(need + len(first))
        remaining = [c for c in rest.candidates if c.item_id not in values]
        return CandidateRanking(first + remaining, rest.bound, rest.complete, rest.relevance_bound)

    def _by_id(self, item_ids: Sequence[str]) -> dict[str, Candidate]:
        """Compare items by their ids; the cosine of an item without a vector is 0."""
        if self.part == "moment":
            assert self.scale is not None
            return compare_moments(self, self.scale, item_ids)
        return {i: Candidate(i, cosine, cosine) for i, cosine in self.cosines(item_ids).items()}

    def _find_items_with_every_word(self, words: WordQuery, item_ids: Sequence[str]) -> dict[str, WordPlace]:
        """Where items have all words of the query, by item id; without those that have not all of them."""
        if not item_ids:
            return {}
        hits = search_by_words(self.store, words, limit=len(item_ids), condition=is_in("item_id", item_ids), every=True)
        in_texts: dict[str, WordPlace] = {item_id: "texts" for item_id, _ in hits}
        others = [item_id for item_id in item_ids if item_id not in in_texts]
        in_pictures = find_items_with_words_in_pictures(self.store, words, others)
        return in_texts | dict.fromkeys(in_pictures, "pictures")


def _without_minus(encoded: EncodedQuery) -> EncodedQuery:
    return replace(encoded, minus=encoded.minus[:0])


def _order_value(cosine: float, part: PartChoice) -> float:
    """Value of a cosine before penalties: with part best, all copies of the query's picture are equal."""
    return 1.0 if part == "best" and cosine >= COPY_COSINE else cosine
