"""Search: queries in, ranked items out, each with the view that matched.

Query -> encoding.py: its vector -> candidates.py: a ranking, read as far as needed (words.py, fusion.py)
      -> rerank.py: a learned order of its first items, where one is promoted
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
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.moments import Moment, find_moments
from firstsight.retrieval.query import PartChoice, Query
from firstsight.retrieval.ranking.candidates import Candidate, FetchGenerator, Ranker, run_rankings
from firstsight.retrieval.ranking.collapse import DUPLICATES, collapse_duplicates
from firstsight.retrieval.ranking.diversity import maximal_marginal_relevance
from firstsight.retrieval.ranking.item_filters import NOT_BLOCKED, blocked_items, build_condition, check_collapse_column
from firstsight.retrieval.ranking.query_encoding import encode_queries
from firstsight.retrieval.ranking.relevance import RelevanceCalibration
from firstsight.retrieval.rerank.reranker import CANDIDATES, Reranker
from firstsight.retrieval.results import SearchResult, SearchResults, ViewMatch, locate
from firstsight.storage.snapshots import name_snapshot
from firstsight.storage.store import Store
from firstsight.storage.tables import HIDDEN_COLUMNS

QUERIES_PER_BATCH = 64
"""Queries that are encoded and searched at once: bounds memory."""

MAX_MOMENTS = 5
"""Moments of one result, at most."""

DIVERSITY_POOL = 200
"""Items that diversity reorders, whatever the page; after them the ranking goes on as it was."""


def search_many(
    store: Store,
    queries: Sequence[Query],
    *,
    encoder: Callable[[], Encoder],
    policy: MediaPolicy,
    calibration: Callable[[], RelevanceCalibration],
    rerankers: Sequence[Reranker | None] | None = None,
    snapshot: str | None = None,
) -> list[SearchResults | FirstsightError]:
    """Answer queries over one state of a database, in order.

    Args:
        store: what is searched; the queries' own `snapshot` is not looked at.
        encoder: called where a query has a text, a picture or a video.
        policy: where query media may come from.
        calibration: of this state of the database.
        rerankers: one for each query, or None where the search's own order stands.
        snapshot: the token that the answers carry; that of the store's rows by default.

    Returns:
        For each query its results or the error that it alone has.

    Raises:
        QueryError: an empty database.
        EncoderError, EncoderMismatchError: the encoder cannot be loaded, or is not the database's.
    """
    if not store.items.count_rows():
        raise QueryError(f"{store.uri} has no items yet; index a catalogue first: firstsight index CATALOGUE")
    chosen = rerankers or [None] * len(queries)
    answers: list[SearchResults | FirstsightError] = []
    for start in range(0, len(queries), QUERIES_PER_BATCH):
        some = slice(start, start + QUERIES_PER_BATCH)
        rankers = make_rankers(store, queries[some], encoder=encoder, policy=policy, calibration=calibration)
        answers += _answer_queries(store, rankers, chosen[some], snapshot or name_snapshot(store))
    return answers


@dataclass(frozen=True)
class _Hit:
    """An item on the page."""

    candidate: Candidate
    relevance: float
    others: int | None = None
    duplicates: tuple[str, ...] | None = None


def make_rankers(
    store: Store,
    queries: Sequence[Query],
    *,
    encoder: Callable[[], Encoder],
    policy: MediaPolicy,
    calibration: Callable[[], RelevanceCalibration],
) -> list[Ranker | FirstsightError]:
    """For each query what makes its rankings, or what is wrong with it; arguments as for `search_many`."""
    conditions = [_check_query(store, query) for query in queries]
    fine = [n for n, condition in enumerate(conditions) if not isinstance(condition, FirstsightError)]
    encoded = dict(
        zip(fine, encode_queries(store, [queries[n] for n in fine], encoder=encoder, policy=policy), strict=True)
    )
    cosines = calibration() if fine else None
    rankers: list[Ranker | FirstsightError] = []
    for n, condition in enumerate(conditions):
        one = condition if isinstance(condition, FirstsightError) else encoded[n]
        if isinstance(one, FirstsightError):
            rankers.append(one)
            continue
        assert cosines is not None
        assert not isinstance(condition, FirstsightError)
        background = cosines.background(one.medium, one.query.part)
        frames = cosines.background(one.medium, "frame") if one.query.moments else None
        condition, blocked_ids = _without_blocked(store, one.query, condition)
        rankers.append(Ranker(store, one, condition, background, frames, blocked_ids))
    return rankers


def _answer_queries(
    store: Store,
    rankers: Sequence[Ranker | FirstsightError],
    rerankers: Sequence[Reranker | None],
    snapshot: str,
) -> list[SearchResults | FirstsightError]:
    asked = {n: ranker for n, ranker in enumerate(rankers) if isinstance(ranker, Ranker)}
    asking = [_read_page(ranker, rerankers[n]) for n, ranker in asked.items()]
    pages = dict(zip(asked, run_rankings(store, asking), strict=True))
    found = {n: page for n, page in pages.items() if not isinstance(page, FirstsightError)}
    shown = _ResultRows.read(store, [hit.candidate.item_id for page in found.values() for hit in page])
    answers: list[SearchResults | FirstsightError] = []
    for n, ranker in enumerate(rankers):
        error = next((e for e in (ranker, pages.get(n)) if isinstance(e, FirstsightError)), None)
        if error is not None:
            answers.append(error)
            continue
        reranker = rerankers[n]
        results = (shown.result(asked[n], hit) for hit in found[n])
        answers.append(SearchResults(results, snapshot, reranker.version.version if reranker else None))
    return answers


def _check_query(store: Store, query: Query) -> str | FirstsightError | None:
    """The query's condition, or what is wrong with it, before an encoder is loaded for it."""
    try:
        if query.collapse not in {None, DUPLICATES}:
            assert query.collapse is not None
            check_collapse_column(store, query.collapse)
        return build_condition(store, query.where, query.kinds)
    except QueryError as error:
        return error


def _without_blocked(store: Store, query: Query, condition: str | None) -> tuple[str | None, frozenset[str] | None]:
    """The condition that keeps blocked items out as well, and what it keeps out where that is all it does."""
    blocked = frozenset[str]() if query.include_blocked else blocked_items(store)
    if blocked is not None and not blocked:
        return condition, None
    return (NOT_BLOCKED, blocked) if condition is None else (f"{condition} AND {NOT_BLOCKED}", None)


def _read_page(ranker: Ranker, reranker: Reranker | None) -> FetchGenerator[list[_Hit]]:
    """The items of the page that was asked for."""
    query = ranker.encoded.query
    end = query.offset + query.k
    want = max(end, DIVERSITY_POOL) if query.diversity else end
    # the same items are reranked whatever the page, and whatever the thresholds leave of them
    need = max(want, CANDIDATES) if reranker else want
    reranked: list[Candidate] = []
    least = _min_cosine(ranker)
    while True:
        ranking = yield from ranker.rank(need)
        candidates = ranking.candidates
        if reranker:
            reranked = reranked or reranker.order(ranker.store, ranker.encoded, candidates[:CANDIDATES])
            candidates = [*reranked, *candidates[CANDIDATES:]]
        hits = [_Hit(c, 1.0 if c.has_every_word else ranker.background.relevance(c.cosine)) for c in candidates]
        hits = [hit for hit in hits if _passes_thresholds(query, hit)]
        groups = _collapse_hits(ranker, hits) if query.collapse else hits
        # no item that was not read can be good enough
        none_left = ranking.complete or (least is not None and ranking.bound < least)
        if none_left or len(groups) >= want:
            break
        need *= 4
    if query.diversity:
        groups = _diversify(ranker, groups)
    page = groups[query.offset : end]
    return _count_others(ranker, page) if query.collapse not in {None, DUPLICATES} else page


def _passes_thresholds(query: Query, hit: _Hit) -> bool:
    return (query.min_score is None or hit.candidate.cosine >= query.min_score) and (
        query.min_relevance is None or hit.relevance >= query.min_relevance
    )


def _min_cosine(ranker: Ranker) -> float | None:
    """The cosine below which nothing is wanted; None where everything is."""
    query = ranker.encoded.query
    bounds = [] if query.min_score is None else [query.min_score]
    if query.min_relevance is not None:
        bounds.append(ranker.background.cosine(query.min_relevance))
    return max(bounds, default=None)


def _collapse_hits(ranker: Ranker, hits: Sequence[_Hit]) -> list[_Hit]:
    """The best item of each value of the column, one without a value a group of its own; or of near-duplicates."""
    column = ranker.encoded.query.collapse
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
    column = ranker.encoded.query.collapse
    assert column is not None
    values = ranker.values_of([hit.candidate.item_id for hit in page], column)
    named = [value for value in dict.fromkeys(values.values()) if value is not None]
    sizes = ranker.group_sizes(column, named)
    return [replace(hit, others=sizes.get(values[hit.candidate.item_id], 1) - 1) for hit in page]


def _diversify(ranker: Ranker, hits: Sequence[_Hit]) -> list[_Hit]:
    pool, rest = list(hits[:DIVERSITY_POOL]), list(hits[DIVERSITY_POOL:])
    ids, vectors = ranker.vectors([hit.candidate.item_id for hit in pool])
    known = dict(zip(ids, vectors, strict=True))
    blank = np.zeros(ranker.store.spec.dim, dtype=np.float32)
    matrix = np.array([known.get(hit.candidate.item_id, blank) for hit in pool], dtype=np.float32)
    order = maximal_marginal_relevance(
        _scale_to_cosines(ranker, pool), matrix.reshape(len(pool), -1), diversity=ranker.encoded.query.diversity
    )
    return [pool[n] for n in order] + rest


def _scale_to_cosines(ranker: Ranker, pool: Sequence[_Hit]) -> list[float]:
    """What ranks the items, as it can be weighed against cosines: fused and BM25 scores as shares of the best."""
    values = [hit.candidate.value for hit in pool]
    best = max(values, default=0.0)
    if ranker.encoded.query.resolved_mode == "vector" or best <= 0:
        return values
    return [value / best for value in values]


@dataclass(frozen=True)
class _ResultRows:
    """The rows of the items on the pages, with their views."""

    items: dict[str, dict[str, Any]]
    views: list[dict[str, Any]]
    vectors: Vector  # (views, dim)
    places: dict[str, list[int]]  # where an item's views stand

    @classmethod
    def read(cls, store: Store, item_ids: Sequence[str]) -> _ResultRows:
        wanted = list(dict.fromkeys(item_ids))
        table = store.view_rows(wanted)
        flat = pc.list_flatten(table["vector"]).to_numpy()
        views = table.select(["item_id", "view_id", "part", "uri", "time_s", "start_s", "end_s"]).to_pylist()
        places: dict[str, list[int]] = {}
        for n, view in enumerate(views):
            places.setdefault(view["item_id"], []).append(n)
        return cls(store.item_rows(wanted), views, flat.reshape(len(views), store.spec.dim), places)

    def result(self, ranker: Ranker, hit: _Hit) -> SearchResult:
        """An item as it is shown."""
        asked, frames = ranker.encoded, ranker.frames
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
            columns={name: value for name, value in row.items() if name not in _RESULT_FIELDS | HIDDEN_COLUMNS},
            others=hit.others,
            rank_score=hit.candidate.rank_score,
            moments=None if frames is None else self._moments(item_id, asked.vector, row["catalog_dir"], frames.floor),
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
            matches.append(ViewMatch(view["part"], uri, view["time_s"], float(scores[n]), view["view_id"]))
        return matches

    def _moments(self, item_id: str, vector: Vector, folder: str, floor: float) -> tuple[Moment, ...]:
        """The stretches of the item's videos that match, best first."""
        videos: dict[str, list[int]] = {}
        for place in self.places.get(item_id, []):
            if self.views[place]["part"] == "frame":
                videos.setdefault(self.views[place]["uri"], []).append(place)
        found: list[Moment] = []
        for uri, places in videos.items():
            views = [self.views[place] for place in places]
            times = [view["time_s"] for view in views]
            shots = [None if view["start_s"] is None else (view["start_s"], view["end_s"]) for view in views]
            cosines = [float(cosine) for cosine in self.vectors[places] @ vector]
            for moment in find_moments(locate(uri, folder), times, shots, cosines, floor=floor):
                within = [n for n, second in enumerate(times) if moment.start_s <= second <= moment.end_s]
                best = views[max(within, key=lambda n: cosines[n])]["view_id"] if within else None
                found.append(replace(moment, view_id=best))
        return tuple(sorted(found, key=lambda moment: -moment.score)[:MAX_MOMENTS])


_RESULT_FIELDS = frozenset({"item_id", "kind", "title"})
"""Columns that a result holds in fields of its own."""


def _is_compared(match: ViewMatch, part: PartChoice) -> bool:
    return part in {"item", "any", match.part}
