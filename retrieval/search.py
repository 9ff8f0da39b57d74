"""Search: queries in, ranked items out, each with the view that matched.

Query -> encoding.py: its vector -> candidates.py: a ranking, read as far as needed (words.py, fusion.py)
      -> here: thresholds, collapse, diversity, the page -> results with their evidence
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from firstsight.encoders.base import Encoder, Vector
from firstsight.errors import FirstsightError, QueryError
from firstsight.indexer.store import Store
from firstsight.indexer.tables import HIDDEN_COLUMNS
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.candidates import Candidate, Fetching, Ranker, run_together
from firstsight.retrieval.collapsing import DUPLICATES, collapse_duplicates
from firstsight.retrieval.diversity import maximal_marginal_relevance
from firstsight.retrieval.encoding import EncodedQuery, encode_queries
from firstsight.retrieval.filters import build_condition, check_column
from firstsight.retrieval.query import PartChoice, Query
from firstsight.retrieval.relevance import Calibration
from firstsight.retrieval.results import SearchResult, SearchResults, ViewMatch, locate
from firstsight.retrieval.snapshots import name_snapshot

TOGETHER = 64
"""Queries that are encoded and searched at once: bounds memory."""

DIVERSITY_POOL = 200
"""Items that diversity reorders, whatever the page; after them the ranking goes on as it was."""


def search_many(
    store: Store,
    queries: Sequence[Query],
    *,
    encoder: Callable[[], Encoder],
    policy: MediaPolicy,
    calibration: Callable[[], Calibration],
) -> list[SearchResults | FirstsightError]:
    """Answer queries over one state of a database, in order.

    Args:
        store: what is searched; the queries' own `snapshot` is not looked at.
        encoder: called where a query has a text, a picture or a video.
        policy: where query media may come from.
        calibration: of this state of the database.

    Returns:
        For each query its results or the error that it alone has.

    Raises:
        QueryError: an empty database.
        EncoderError, EncoderMismatchError: the encoder cannot be loaded, or is not the database's.
    """
    if not store.items.count_rows():
        raise QueryError(f"{store.uri} has no items yet; index a catalogue first: firstsight index CATALOGUE")
    answers: list[SearchResults | FirstsightError] = []
    for start in range(0, len(queries), TOGETHER):
        answers += _answer(store, queries[start : start + TOGETHER], encoder, policy, calibration)
    return answers


@dataclass(frozen=True)
class _Hit:
    """An item on the page."""

    candidate: Candidate
    relevance: float
    others: int | None = None
    duplicates: tuple[str, ...] | None = None


def _answer(
    store: Store,
    queries: Sequence[Query],
    encoder: Callable[[], Encoder],
    policy: MediaPolicy,
    calibration: Callable[[], Calibration],
) -> list[SearchResults | FirstsightError]:
    conditions = [_checked(store, query) for query in queries]
    fine = [n for n, condition in enumerate(conditions) if not isinstance(condition, FirstsightError)]
    encoded = dict(
        zip(fine, encode_queries(store, [queries[n] for n in fine], encoder=encoder, policy=policy), strict=True)
    )
    asked = {n: one for n, one in encoded.items() if not isinstance(one, FirstsightError)}
    rankers = []
    for n, one in asked.items():
        condition = conditions[n]
        assert not isinstance(condition, FirstsightError)
        rankers.append(Ranker(store, one, condition, calibration().background(one.medium, one.query.part)))
    pages = dict(zip(asked, run_together(store, [_page(ranker) for ranker in rankers]), strict=True))
    found = {n: page for n, page in pages.items() if not isinstance(page, FirstsightError)}
    shown = _Shown.read(store, [hit.candidate.item_id for page in found.values() for hit in page])
    snapshot = name_snapshot(store)
    results: list[SearchResults | FirstsightError] = []
    for n, condition in enumerate(conditions):
        error = next((e for e in (condition, encoded.get(n), pages.get(n)) if isinstance(e, FirstsightError)), None)
        results.append(error or SearchResults((shown.result(asked[n], hit) for hit in found[n]), snapshot))
    return results


def _checked(store: Store, query: Query) -> str | FirstsightError | None:
    """The query's condition, or what is wrong with it, before an encoder is loaded for it."""
    try:
        if query.collapse not in {None, DUPLICATES}:
            assert query.collapse is not None
            check_column(store, query.collapse)
        return build_condition(store, query.where, query.kinds)
    except QueryError as error:
        return error


def _page(ranker: Ranker) -> Fetching[list[_Hit]]:
    """The items of the page that was asked for."""
    query = ranker.asked.query
    end = query.offset + query.k
    want = max(end, DIVERSITY_POOL) if query.diversity else end
    need = want
    least = _least_cosine(ranker)
    while True:
        ranking = yield from ranker.rank(need)
        hits = [_Hit(c, 1.0 if c.every_word else ranker.background.relevance(c.cosine)) for c in ranking.candidates]
        hits = [hit for hit in hits if _is_enough(query, hit)]
        groups = _first_of_groups(ranker, hits) if query.collapse else hits
        # no item that was not read can be good enough
        none_left = ranking.complete or (least is not None and ranking.bound < least)
        if none_left or len(groups) >= want:
            break
        need *= 4
    if query.diversity:
        groups = _diverse(ranker, groups)
    page = groups[query.offset : end]
    return _count_others(ranker, page) if query.collapse not in {None, DUPLICATES} else page


def _is_enough(query: Query, hit: _Hit) -> bool:
    return (query.min_score is None or hit.candidate.cosine >= query.min_score) and (
        query.min_relevance is None or hit.relevance >= query.min_relevance
    )


def _least_cosine(ranker: Ranker) -> float | None:
    """The cosine below which nothing is wanted; None where everything is."""
    query = ranker.asked.query
    bounds = [] if query.min_score is None else [query.min_score]
    if query.min_relevance is not None:
        bounds.append(ranker.background.cosine(query.min_relevance))
    return max(bounds, default=None)


def _first_of_groups(ranker: Ranker, hits: Sequence[_Hit]) -> list[_Hit]:
    """The best item of each value of the column, one without a value a group of its own; or of near-duplicates."""
    column = ranker.asked.query.collapse
    assert column is not None
    if column == DUPLICATES:
        kept = collapse_duplicates(ranker.store, [hit.candidate.item_id for hit in hits])
        return [
            replace(hit, others=len(kept[hit.candidate.item_id]), duplicates=kept[hit.candidate.item_id])
            for hit in hits
            if hit.candidate.item_id in kept
        ]
    values = ranker.values_of([hit.candidate.item_id for hit in hits], column)
    seen: set[object] = set()
    first = []
    for hit in hits:
        value = values[hit.candidate.item_id]
        if value is None or value not in seen:
            seen.add(value)
            first.append(hit)
    return first


def _count_others(ranker: Ranker, page: Sequence[_Hit]) -> list[_Hit]:
    column = ranker.asked.query.collapse
    assert column is not None
    values = ranker.values_of([hit.candidate.item_id for hit in page], column)
    named = [value for value in dict.fromkeys(values.values()) if value is not None]
    sizes = ranker.group_sizes(column, named)
    return [replace(hit, others=sizes.get(values[hit.candidate.item_id], 1) - 1) for hit in page]


def _diverse(ranker: Ranker, hits: Sequence[_Hit]) -> list[_Hit]:
    pool, rest = list(hits[:DIVERSITY_POOL]), list(hits[DIVERSITY_POOL:])
    ids, vectors = ranker.vectors([hit.candidate.item_id for hit in pool])
    known = dict(zip(ids, vectors, strict=True))
    blank = np.zeros(ranker.store.spec.dim, dtype=np.float32)
    matrix = np.array([known.get(hit.candidate.item_id, blank) for hit in pool], dtype=np.float32)
    order = maximal_marginal_relevance(
        _on_a_cosines_scale(ranker, pool), matrix.reshape(len(pool), -1), diversity=ranker.asked.query.diversity
    )
    return [pool[n] for n in order] + rest


def _on_a_cosines_scale(ranker: Ranker, pool: Sequence[_Hit]) -> list[float]:
    """What ranks the items, as it can be weighed against cosines: fused and BM25 scores as shares of the best."""
    values = [hit.candidate.value for hit in pool]
    best = max(values, default=0.0)
    if ranker.asked.query.resolved_mode == "vector" or best <= 0:
        return values
    return [value / best for value in values]


@dataclass(frozen=True)
class _Shown:
    """The rows of the items on the pages, with their views."""

    items: dict[str, dict[str, Any]]
    views: list[dict[str, Any]]
    vectors: Vector  # (views, dim)
    places: dict[str, list[int]]  # where an item's views stand

    @classmethod
    def read(cls, store: Store, item_ids: Sequence[str]) -> _Shown:
        wanted = list(dict.fromkeys(item_ids))
        table = store.view_rows(wanted)
        flat = pc.list_flatten(table["vector"]).to_numpy()
        views = table.select(["item_id", "part", "uri", "time_s"]).to_pylist()
        places: dict[str, list[int]] = {}
        for n, view in enumerate(views):
            places.setdefault(view["item_id"], []).append(n)
        return cls(store.item_rows(wanted), views, flat.reshape(len(views), store.spec.dim), places)

    def result(self, asked: EncodedQuery, hit: _Hit) -> SearchResult:
        item_id = hit.candidate.item_id
        row = self.items[item_id]
        matches = self._matches(item_id, asked.vector, row["catalog_dir"])
        return SearchResult(
            item_id=item_id,
            kind=row["kind"],
            title=row["title"],
            score=hit.candidate.cosine,
            relevance=hit.relevance,
            view=next((match for match in matches if _is_compared(match, asked.query.part)), None),
            picture=next((match for match in matches if match.part != "title"), None),
            columns={name: value for name, value in row.items() if name not in _HEAD | HIDDEN_COLUMNS},
            others=hit.others,
            duplicates=hit.duplicates,
        )

    def _matches(self, item_id: str, vector: Vector, folder: str) -> list[ViewMatch]:
        """The item's views with their cosine to the query, best first."""
        places = self.places.get(item_id, [])
        scores = self.vectors[places] @ vector
        matches = []
        for n in np.argsort(-scores, kind="stable"):
            view = self.views[places[n]]
            uri = None if view["uri"] is None else locate(view["uri"], folder)
            matches.append(ViewMatch(view["part"], uri, view["time_s"], float(scores[n])))
        return matches


_HEAD = frozenset({"item_id", "kind", "title"})
"""Columns that a result holds in fields of its own."""


def _is_compared(match: ViewMatch, part: PartChoice) -> bool:
    return part in {"item", "any", match.part}
