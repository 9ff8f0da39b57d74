"""Select the items of one result page from a ranking: reranking, thresholds, collapse, diversity, offset and k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.candidates import Candidate, Ranker
from firstsight.retrieval.ranking.collapse import DUPLICATES, collapse_duplicates
from firstsight.retrieval.ranking.diversity import maximal_marginal_relevance
from firstsight.retrieval.ranking.fetch_batching import FetchGenerator
from firstsight.retrieval.rerank.reranker import CANDIDATES, Reranker

DIVERSITY_POOL = 200
"""Number of items that diversity reorders, the same for every page. Later items keep their order."""


@dataclass(frozen=True)
class PageHit:
    """One item of a result page."""

    candidate: Candidate
    relevance: float  # 0 to 1
    others: int | None = None  # with collapse: number of further items in the group
    duplicates: tuple[str, ...] | None = None  # with collapse="duplicates": ids of the near-duplicates


def select_page(ranker: Ranker, reranker: Reranker | None) -> FetchGenerator[list[PageHit]]:
    """Rank the items of a query and return those of the page from `offset` to `offset + k`."""
    query = ranker.encoded.query
    end = query.offset + query.k
    want = max(end, DIVERSITY_POOL) if query.diversity else end
    # every page reranks the same items, also those that a threshold removes later
    need = max(want, CANDIDATES) if reranker else want
    reranked: list[Candidate] = []
    min_cosine = _min_cosine(ranker)
    while True:
        ranking = yield from ranker.rank(need)
        candidates = ranking.candidates
        if reranker:
            reranked = reranked or reranker.order(ranker.store, ranker.encoded, candidates[:CANDIDATES])
            candidates = [*reranked, *candidates[CANDIDATES:]]
        hits = [PageHit(c, 1.0 if c.has_every_word else ranker.background.relevance(c.cosine)) for c in candidates]
        hits = [hit for hit in hits if _passes_thresholds(query, hit)]
        groups = _collapse_hits(ranker, hits) if query.collapse else hits
        # no unread item can pass the thresholds
        exhausted = ranking.complete or (min_cosine is not None and ranking.bound < min_cosine)
        if exhausted or len(groups) >= want:
            break
        need *= 4
    if query.diversity:
        groups = _diversify(ranker, groups)
    page = groups[query.offset : end]
    return _count_others(ranker, page) if query.collapse not in {None, DUPLICATES} else page


def _passes_thresholds(query: Query, hit: PageHit) -> bool:
    return (query.min_score is None or hit.candidate.cosine >= query.min_score) and (
        query.min_relevance is None or hit.relevance >= query.min_relevance
    )


def _min_cosine(ranker: Ranker) -> float | None:
    """Lowest cosine that passes both thresholds; None without thresholds."""
    query = ranker.encoded.query
    bounds = [] if query.min_score is None else [query.min_score]
    if query.min_relevance is not None:
        bounds.append(ranker.background.cosine(query.min_relevance))
    return max(bounds, default=None)


def _collapse_hits(ranker: Ranker, hits: Sequence[PageHit]) -> list[PageHit]:
    """Keep the best item of each near-duplicate group, or of each column value; items without a value all stay."""
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
    best = []
    for hit in hits:
        value = values[hit.candidate.item_id]
        if value is None or value not in seen:
            seen.add(value)
            best.append(hit)
    return best


def _count_others(ranker: Ranker, page: Sequence[PageHit]) -> list[PageHit]:
    column = ranker.encoded.query.collapse
    assert column is not None
    values = ranker.values_of([hit.candidate.item_id for hit in page], column)
    distinct = [value for value in dict.fromkeys(values.values()) if value is not None]
    sizes = ranker.group_sizes(column, distinct)
    return [replace(hit, others=sizes.get(values[hit.candidate.item_id], 1) - 1) for hit in page]


def _diversify(ranker: Ranker, hits: Sequence[PageHit]) -> list[PageHit]:
    pool, rest = list(hits[:DIVERSITY_POOL]), list(hits[DIVERSITY_POOL:])
    ids, vectors = ranker.vectors([hit.candidate.item_id for hit in pool])
    by_id = dict(zip(ids, vectors, strict=True))
    zeros = np.zeros(ranker.store.spec.dim, dtype=np.float32)
    matrix = np.array([by_id.get(hit.candidate.item_id, zeros) for hit in pool], dtype=np.float32)
    order = maximal_marginal_relevance(
        _scale_to_cosines(ranker, pool), matrix.reshape(len(pool), -1), diversity=ranker.encoded.query.diversity
    )
    return [pool[n] for n in order] + rest


def _scale_to_cosines(ranker: Ranker, pool: Sequence[PageHit]) -> list[float]:
    """Scale the ranking's scores so that they compare with cosines: fused and BM25 scores as shares of the best."""
    values = [hit.candidate.value for hit in pool]
    best = max(values, default=0.0)
    if ranker.encoded.query.resolved_mode == "vector" or best <= 0:
        return values
    return [value / best for value in values]
