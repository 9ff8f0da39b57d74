"""Select the items of one result page from a ranking: reranking, boosts, thresholds, collapse, diversity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from firstsight.retrieval.personalisation import PERSONAL_CANDIDATES, Personaliser, personalise
from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.candidates import Ranker
from firstsight.retrieval.ranking.collapse import (
    DUPLICATES,
    CollapseRule,
    GroupSize,
    collapse_duplicates,
    count_groups,
)
from firstsight.retrieval.ranking.colour_boost import COLOUR_CANDIDATES, boost_colours
from firstsight.retrieval.ranking.diversity import maximal_marginal_relevance
from firstsight.retrieval.ranking.fetch_batching import FetchGenerator
from firstsight.retrieval.ranking.readings import Candidate, CandidateRanking
from firstsight.retrieval.rerank.reranker import CANDIDATES, Reranker
from firstsight.storage.product_groups import GROUP_COLUMN
from firstsight.storage.tables import PICTURE_PARTS

DIVERSITY_POOL = 200
"""Number of items that diversity reorders, the same for every page. Later items keep their order."""

GROUPS_READ = 64
"""Minimum number of items whose groups are read first. More follow if they are of too few groups."""

PICTURE_TEXT_RELEVANCE = 0.6
"""Least relevance of an item that has all words of the query, some of them in its pictures alone.

It is above 0.5, the usual threshold, and below the 1 of an item that has them in its title and texts.
"""


@dataclass(frozen=True)
class PageHit:
    """One item of a result page."""

    candidate: Candidate
    relevance: float  # 0 to 1
    others: int | None = None  # with collapse: number of further items in the group
    duplicates: tuple[str, ...] | None = None  # with collapse="duplicates": ids of the near-duplicates
    group: object = None  # with collapse by a column: the item's value
    variants: int | None = None  # with one result per product: number of its variants


def select_page(
    ranker: Ranker, reranker: Reranker | None, personaliser: Personaliser | None = None
) -> FetchGenerator[list[PageHit]]:
    """Rank the items of a query and return those of the page from `offset` to `offset + k`."""
    query, rule = ranker.encoded.query, ranker.collapse
    end = query.offset + query.k
    want = max(end, DIVERSITY_POOL) if query.diversity else end
    # every page reranks the same items, also those that a threshold removes later
    wish = ranker.encoded.wish
    need = max(
        want,
        CANDIDATES if reranker else 0,
        COLOUR_CANDIDATES if wish else 0,
        PERSONAL_CANDIDATES if personaliser else 0,
    )
    reranked: list[Candidate] = []
    coloured: list[Candidate] = []
    boosted: list[Candidate] = []
    min_cosine = _min_cosine(ranker)
    while True:
        ranking = yield from ranker.rank(need)
        candidates = ranking.candidates
        if reranker:
            reranked = reranked or reranker.order(ranker.store, ranker.encoded, candidates[:CANDIDATES])
            candidates = [*reranked, *candidates[CANDIDATES:]]
        if wish:
            first = candidates[:COLOUR_CANDIDATES]
            near_best = query.part not in PICTURE_PARTS
            coloured = coloured or boost_colours(
                ranker.store, first, wish.colours, query.colour_weight, near_best=near_best
            )
            candidates = [*coloured, *candidates[COLOUR_CANDIDATES:]]
        if personaliser:
            boosted = boosted or personalise(candidates[:PERSONAL_CANDIDATES], personaliser)
            candidates = [*boosted, *candidates[PERSONAL_CANDIDATES:]]
        hits = [PageHit(candidate, _relevance(ranker, candidate)) for candidate in candidates]
        hits = [hit for hit in hits if _passes_thresholds(query, hit)]
        groups = _collapse_hits(ranker, rule, hits, want) if rule else hits
        # no unread item can pass the thresholds
        exhausted = ranking.complete or _is_below_thresholds(ranker, ranking, min_cosine)
        if exhausted or len(groups) >= want:
            break
        need = 4 * max(need, len(ranking.candidates))
    if query.diversity:
        groups = _diversify(ranker, groups)
    page = groups[query.offset : end]
    return page if rule is None or rule.column == DUPLICATES else _count_group_sizes(ranker, rule, page)


def _passes_thresholds(query: Query, hit: PageHit) -> bool:
    return (query.min_score is None or hit.candidate.cosine >= query.min_score) and (
        query.min_relevance is None or hit.relevance >= query.min_relevance
    )


def _relevance(ranker: Ranker, candidate: Candidate) -> float:
    if candidate.every_word == "texts":
        return 1.0
    relevance = ranker.background.relevance(candidate.cosine) if candidate.relevance is None else candidate.relevance
    return max(relevance, PICTURE_TEXT_RELEVANCE) if candidate.every_word == "pictures" else relevance


def _is_below_thresholds(ranker: Ranker, ranking: CandidateRanking, min_cosine: float | None) -> bool:
    """Whether no further item can pass the thresholds."""
    if ranking.relevance_bound is None:
        return min_cosine is not None and ranking.bound < min_cosine
    query = ranker.encoded.query
    return (query.min_score is not None and ranking.bound < query.min_score) or (
        query.min_relevance is not None and ranking.relevance_bound < query.min_relevance
    )


def _min_cosine(ranker: Ranker) -> float | None:
    """Lowest cosine that passes both thresholds; None without thresholds."""
    query = ranker.encoded.query
    bounds = [] if query.min_score is None else [query.min_score]
    if query.min_relevance is not None:
        bounds.append(ranker.background.cosine(query.min_relevance))
    return max(bounds, default=None)


def _collapse_hits(ranker: Ranker, rule: CollapseRule, hits: Sequence[PageHit], want: int) -> list[PageHit]:
    """Keep the best item of each group, until there are `want` of them; an item without a value stays."""
    if rule.column == DUPLICATES:
        kept = collapse_duplicates(ranker.store, [hit.candidate.item_id for hit in hits])
        return [
            replace(hit, others=len(kept[hit.candidate.item_id]), duplicates=kept[hit.candidate.item_id])
            for hit in hits
            if hit.candidate.item_id in kept
        ]
    examples = list(ranker.encoded.query.items) if rule.by_default else []
    seen: set[object] = set()
    best: list[PageHit] = []
    start, count = 0, max(GROUPS_READ, 2 * want)
    while start < len(hits) and len(best) < want:
        part = hits[start : start + count]
        groups = ranker.group_of([*examples, *(hit.candidate.item_id for hit in part)])
        seen.update(groups[item_id] for item_id in examples)
        for hit in part:
            value = groups[hit.candidate.item_id]
            if value is None or value not in seen:
                seen.add(value)
                best.append(replace(hit, group=value))
        start, count = start + count, count * 4
    return best


def _count_group_sizes(ranker: Ranker, rule: CollapseRule, page: Sequence[PageHit]) -> list[PageHit]:
    values = [value for value in dict.fromkeys(hit.group for hit in page) if value is not None]
    sizes = count_groups(ranker.store, rule.column, values, ranker.condition)
    counted = []
    for hit in page:
        size = sizes.get(hit.group, GroupSize(1, 1))
        variants = size.variants if rule.column == GROUP_COLUMN else None
        counted.append(replace(hit, others=size.items - 1, variants=variants))
    return counted


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
    if (ranker.encoded.query.resolved_mode == "vector" and ranker.part != "moment") or best <= 0:
        return values
    return [value / best for value in values]
