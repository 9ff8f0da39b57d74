"""Search: answer queries with ranked items, each with its best-matching view.

queries -> query_understanding.py      price filter, words to avoid and the text that is left
        -> ranking/query_encoding.py   query vectors
        -> ranking/part_choice.py      what to compare: items, moments, clips
        -> ranking/candidates.py       rankings, read as far as needed (moment_ranking.py, clip_ranking.py, fusion.py)
        -> page_selection.py           reranking, thresholds, collapse, diversity, offset and k
        -> result_rows.py              results with their views
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from firstsight.encoders.base import Encoder
from firstsight.errors import FirstsightError, QueryError
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.line_matches import QueryLines
from firstsight.retrieval.page_selection import select_page
from firstsight.retrieval.personalisation import Personaliser
from firstsight.retrieval.picture_text_matches import find_picture_texts
from firstsight.retrieval.query import Medium, Query
from firstsight.retrieval.query_understanding import UnderstoodSearch, understand_search
from firstsight.retrieval.query_vectors import check_dimensions
from firstsight.retrieval.ranking.candidates import Ranker
from firstsight.retrieval.ranking.collapse import choose_collapse
from firstsight.retrieval.ranking.fetch_batching import FetchGenerator, run_rankings
from firstsight.retrieval.ranking.item_filters import (
    NOT_BLOCKED,
    blocked_items,
    build_condition,
    expired_items,
    not_expired,
)
from firstsight.retrieval.ranking.moment_ranking import MomentScale
from firstsight.retrieval.ranking.part_choice import choose_part
from firstsight.retrieval.ranking.query_encoding import encode_queries
from firstsight.retrieval.ranking.readings import Candidate
from firstsight.retrieval.ranking.relevance import RelevanceCalibration
from firstsight.retrieval.rerank.reranker import Reranker
from firstsight.retrieval.result_rows import ResultRows
from firstsight.retrieval.results import SearchResults
from firstsight.storage.snapshots import name_snapshot
from firstsight.storage.store import Store

QUERIES_PER_BATCH = 64
"""Number of queries that are encoded and searched at once; limits memory."""


def search_many(
    store: Store,
    queries: Sequence[Query],
    *,
    encoder: Callable[[], Encoder],
    policy: MediaPolicy,
    calibration: Callable[[], RelevanceCalibration],
    rerankers: Sequence[Reranker | None] | None = None,
    personalisers: Sequence[Personaliser | None] | None = None,
    snapshot: str | None = None,
) -> list[SearchResults | FirstsightError]:
    """Answer queries over one state of a database, in order.

    Args:
        store: the state to search; the `snapshot` of the queries is ignored.
        encoder: loads the encoder; called only if a query has a text, picture or video.
        policy: permitted sources and limits of query media.
        calibration: loads the relevance calibration of this state.
        rerankers: one per query, None for no reranking; by default no query is reranked.
        personalisers: one per query, None for no boost; by default no query is personalised.
        snapshot: token to put into the results; by default that of the store's rows.

    Returns:
        For each query its results or its own error.

    Raises:
        QueryError: the database is empty.
        EncoderError: the encoder cannot be loaded, or fails on every input.
        EncoderMismatchError: the encoder differs from the one of the database.
    """
    if not store.items.count_rows():
        raise QueryError(f"{store.uri} has no items yet; index a catalogue first: firstsight index CATALOGUE")
    by_query = rerankers or [None] * len(queries)
    users = personalisers or [None] * len(queries)
    answers: list[SearchResults | FirstsightError] = []
    for start in range(0, len(queries), QUERIES_PER_BATCH):
        batch = slice(start, start + QUERIES_PER_BATCH)
        rankers = make_rankers(store, queries[batch], encoder=encoder, policy=policy, calibration=calibration)
        answers += _answer_queries(store, rankers, by_query[batch], users[batch], snapshot or name_snapshot(store))
    return answers


def rank_candidates(
    store: Store,
    queries: Sequence[Query],
    need: int,
    *,
    encoder: Callable[[], Encoder],
    policy: MediaPolicy,
    calibration: Callable[[], RelevanceCalibration],
) -> list[list[Candidate] | FirstsightError]:
    """The first `need` candidates of each query, before reranking, thresholds and collapse, or the query's error.

    Other arguments and exceptions as for `search_many`.
    """

    def first(ranker: Ranker) -> FetchGenerator[list[Candidate]]:
        ranking = yield from ranker.rank(need)
        return ranking.candidates[:need]

    rankers = make_rankers(store, queries, encoder=encoder, policy=policy, calibration=calibration)
    valid = [ranker for ranker in rankers if isinstance(ranker, Ranker)]
    outcomes = iter(run_rankings(store, [first(ranker) for ranker in valid]))
    return [next(outcomes) if isinstance(ranker, Ranker) else ranker for ranker in rankers]


def make_rankers(
    store: Store,
    queries: Sequence[Query],
    *,
    encoder: Callable[[], Encoder],
    policy: MediaPolicy,
    calibration: Callable[[], RelevanceCalibration],
) -> list[Ranker | FirstsightError]:
    """Make the ranker of each query, or return the query's error. Arguments and exceptions as for `search_many`."""
    conditions = [_check_query(store, query) for query in queries]
    searches = {
        n: understand_search(store, queries[n])
        for n, condition in enumerate(conditions)
        if not isinstance(condition, FirstsightError)
    }
    understood = [search.query for search in searches.values()]
    encoded_queries = dict(
        zip(searches, encode_queries(store, understood, encoder=encoder, policy=policy), strict=True)
    )
    cosines = calibration() if searches else None
    rankers: list[Ranker | FirstsightError] = []
    for n, condition in enumerate(conditions):
        encoded = condition if isinstance(condition, FirstsightError) else encoded_queries[n]
        if isinstance(encoded, FirstsightError):
            rankers.append(encoded)
            continue
        assert cosines is not None
        assert not isinstance(condition, FirstsightError)
        query = encoded.query
        part = choose_part(store, query, clip=len(encoded.frames) > 0)
        search, full_condition, hidden_ids = _apply_price_limits(store, searches[n], condition)
        rankers.append(
            Ranker(
                store=store,
                encoded=encoded,
                condition=full_condition,
                hidden_ids=hidden_ids,
                collapse=choose_collapse(store, query),
                part=part,
                background=cosines.background(encoded.medium, "item" if part == "moment" else part),
                scale=_moment_scale(cosines, encoded.medium) if part == "moment" else None,
                frames=cosines.background(encoded.medium, "frame") if query.moments else None,
                understood=search.understood,
            )
        )
    return rankers


def _moment_scale(cosines: RelevanceCalibration, medium: Medium) -> MomentScale:
    item, frame, moment = (cosines.background(medium, part) for part in ("item", "frame", "moment"))
    return MomentScale(item, frame, moment)


def _answer_queries(
    store: Store,
    rankers: Sequence[Ranker | FirstsightError],
    rerankers: Sequence[Reranker | None],
    personalisers: Sequence[Personaliser | None],
    snapshot: str,
) -> list[SearchResults | FirstsightError]:
    valid = {n: ranker for n, ranker in enumerate(rankers) if isinstance(ranker, Ranker)}
    selections = [select_page(ranker, rerankers[n], personalisers[n]) for n, ranker in valid.items()]
    outcomes = dict(zip(valid, run_rankings(store, selections), strict=True))
    pages = {n: page for n, page in outcomes.items() if not isinstance(page, FirstsightError)}
    rows = ResultRows.read(store, [hit.candidate.item_id for page in pages.values() for hit in page])
    answers: list[SearchResults | FirstsightError] = []
    for n, ranker in enumerate(rankers):
        error = next((e for e in (ranker, outcomes.get(n)) if isinstance(e, FirstsightError)), None)
        if error is not None:
            answers.append(error)
            continue
        reranker = rerankers[n]
        text, ids = valid[n].encoded.query.text, [hit.candidate.item_id for hit in pages[n]]
        lines = QueryLines.find(store, text, ids)
        picture_texts = find_picture_texts(store, text, {item_id: rows.items[item_id] for item_id in ids})
        results = tuple(rows.result(valid[n], hit, lines, picture_texts) for hit in pages[n])
        version = reranker.version.version if reranker else None
        answers.append(SearchResults(results, snapshot, version, understood=valid[n].understood))
    return answers


def _check_query(store: Store, query: Query) -> str | FirstsightError | None:
    """Return the query's condition or its error; called before the encoder is loaded."""
    try:
        check_dimensions(query.vectors, store.spec)
        condition = build_condition(store, query.where, query.kinds)
        choose_collapse(store, query)
        return condition
    except QueryError as error:
        return error


def _apply_price_limits(
    store: Store, search: UnderstoodSearch, condition: str | None
) -> tuple[UnderstoodSearch, str | None, frozenset[str] | None]:
    """Add the price limits of a query's text and the exclusion of hidden items to a condition.

    Returns:
        The search without its price limits if no item passes them; the condition; the hidden ids as for
        `_exclude_hidden`.
    """
    if search.condition is None:
        return search, *_exclude_hidden(store, search.query, condition)
    limited = search.condition if condition is None else f"{condition} AND {search.condition}"
    full_condition, _ = _exclude_hidden(store, search.query, limited)
    assert full_condition is not None
    if len(store.items.search().where(full_condition).select(["item_id"]).limit(1).to_arrow()):
        return search, full_condition, None
    search = search.without_condition()
    return search, *_exclude_hidden(store, search.query, condition)


def _exclude_hidden(store: Store, query: Query, condition: str | None) -> tuple[str | None, frozenset[str] | None]:
    """Add the exclusion of blocked and expired items to a condition.

    Returns:
        The condition, and the hidden ids if hiding them is all that the condition does, else None.
    """
    now = datetime.now(UTC)
    known: frozenset[str] | None = frozenset()
    conditions = [] if condition is None else [condition]
    for asked, ids, exclusion in (
        (query.include_blocked, blocked_items, NOT_BLOCKED),
        (query.include_expired, partial(expired_items, now=now), not_expired(now)),
    ):
        found = frozenset[str]() if asked else ids(store)
        if found is None or found:
            conditions.append(exclusion)
            known = None if found is None or known is None else known | found
    return " AND ".join(conditions) or None, known if condition is None and known else None
