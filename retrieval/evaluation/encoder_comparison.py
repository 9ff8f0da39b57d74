"""Shadow queries: the same queries on the vectors of two encoders, with overlaps, judged measures and latencies."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import numpy as np

from firstsight.errors import FirstsightError, MediaError, QueryError
from firstsight.records import Record
from firstsight.retrieval.evaluation.judgements import JudgedQuery
from firstsight.retrieval.evaluation.search_evaluation import (
    MODES,
    Mode,
    ModeComparison,
    ModeRankings,
    Searchable,
    check_depth,
    measure,
    require_measures,
)
from firstsight.retrieval.query import NO_COLLAPSE, Query

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class ComparedQuery(Record):
    """One query on the vectors of both encoders."""

    query: JudgedQuery
    overlap: float  # share of the k results that both have, 0 to 1
    before: tuple[str, ...]  # item ids with the encoder in force, best first
    after: tuple[str, ...]  # with the other encoder
    ndcg_before: float | None = None  # with judgements
    ndcg_after: float | None = None

    @property
    def name(self) -> str:
        """The text, or the address of the picture."""
        return self.query.text or self.query.image or self.query.query_id


@dataclass(frozen=True)
class EncoderComparison(Record):
    """Shadow queries on the vectors of two encoders."""

    db: str
    before: str  # encoder in force
    after: str  # the other encoder
    k: int
    mode: str
    source: str  # of the queries
    overlap: float  # mean share of the k results that both have, 0 to 1
    same_first: float  # share of the queries with the same first result
    latency_ms: Mapping[str, Mapping[str, float]]  # "before" and "after" to p50 and p95 of single searches
    compared: tuple[ComparedQuery, ...]
    measures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # with judgements: NDCG, RR, recall, P
    difference: ModeComparison | None = None  # of NDCG@k; with judgements
    notes: tuple[str, ...] = ()

    def worst(self, count: int) -> list[ComparedQuery]:
        """The queries that change most: by the loss of NDCG with judgements, then by the overlap."""

        def loss(compared: ComparedQuery) -> float:
            if compared.ndcg_before is None or compared.ndcg_after is None:
                return 0.0
            return compared.ndcg_before - compared.ndcg_after

        changed = [compared for compared in self.compared if compared.overlap < 1 or loss(compared) > 0]
        return sorted(changed, key=lambda compared: (-loss(compared), compared.overlap, compared.name))[:count]


def compare_encoders(
    before: Searchable,
    after: Searchable,
    queries: Sequence[JudgedQuery],
    *,
    names: tuple[str, str],
    db: str,
    source: str,
    k: int = 10,
    mode: str = "vector",
    notes: Sequence[str] = (),
) -> EncoderComparison:
    """Search for every query on the vectors of both encoders, one query at a time, in turn.

    Args:
        before: searches the vectors in force.
        after: searches those of the other encoder.
        queries: texts or pictures; measures are computed if any has an item of grade above 0.
        names: of both encoders.
        db: address of the database.
        source: of the queries, for the report.
        k: number of results, 1 to 1,000.
        mode: "vector", "words" or "hybrid".
        notes: for the report.

    Raises:
        QueryError: there is no query, `k` or the mode is wrong, or the picture of a query cannot be read.
        OptionalDependencyError: there are judgements, and ir-measures is not installed.
    """
    check_depth(k)
    if mode not in MODES:
        raise QueryError(f"mode {mode!r} is not one of {', '.join(MODES)}")
    if not queries:
        raise QueryError(f"{source} has no query; give --queries or --judgements with some")
    judged = any(query.relevant_items for query in queries)
    if judged:
        require_measures()
        unjudged = sum(not query.relevant_items for query in queries)
        queries = [query for query in queries if query.relevant_items]
        if unjudged:
            notes = [*notes, f"{unjudged} queries are skipped: none of their items has a grade above 0"]
    rankings = (ModeRankings(BEFORE), ModeRankings(AFTER))
    seconds: tuple[list[float], list[float]] = ([], [])
    for searched in (before, after):  # the first search of each loads what the others find loaded
        _search(searched, queries[0], k, mode)
    for number, query in enumerate(queries):
        sides = ((0, before), (1, after))
        for side, searched in sides if number % 2 == 0 else sides[::-1]:  # neither is always the first
            began = time.perf_counter()
            ids = _search(searched, query, k, mode)
            seconds[side].append(time.perf_counter() - began)
            rankings[side].item_ids.append(ids)
    task = measure(queries, rankings, k=k, name=source, about="") if judged else None
    compared = []
    for number, query in enumerate(queries):
        old, new = rankings[0].item_ids[number], rankings[1].item_ids[number]
        ndcg = [None, None] if task is None else [of.outcomes[number].values["ndcg"] for of in task.modes]
        compared.append(ComparedQuery(query, _overlap(old, new), old, new, ndcg_before=ndcg[0], ndcg_after=ndcg[1]))
    return EncoderComparison(
        *(db, *names, k, mode, source),
        overlap=float(np.mean([each.overlap for each in compared])),
        same_first=float(np.mean([each.before[:1] == each.after[:1] for each in compared])),
        latency_ms={BEFORE: _percentiles(seconds[0]), AFTER: _percentiles(seconds[1])},
        compared=tuple(compared),
        measures={} if task is None else {report.mode: report.means for report in task.modes},
        difference=None if task is None or not task.comparisons else task.comparisons[0],
        notes=tuple(notes),
    )


def _search(searched: Searchable, query: JudgedQuery, k: int, mode: str) -> tuple[str, ...]:
    if query.text is not None:
        asked = Query(text=query.text, mode=cast("Mode", mode), k=k, collapse=NO_COLLAPSE, rerank=False)
    else:
        asked = Query(images=[str(query.image)], k=k, collapse=NO_COLLAPSE)
    (answer,) = searched.search_many([asked], on_error="return")
    if isinstance(answer, MediaError):
        raise QueryError(f"the picture of query {query.query_id!r} cannot be used: {answer}")
    if isinstance(answer, FirstsightError):
        raise answer
    return tuple(result.item_id for result in answer)


def _overlap(before: Sequence[str], after: Sequence[str]) -> float:
    most = max(len(before), len(after))
    return len(set(before) & set(after)) / most if most else 1.0


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{rank}": round(float(np.percentile(seconds, rank)) * 1000, 2) for rank in _RANKS}


_RANKS: Final = (50, 95)
