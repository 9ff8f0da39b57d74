"""Evaluate search over judged queries: the usual measures for each mode, and the significance of differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast, get_args

import numpy as np

from firstsight.errors import FirstsightError, MediaError, OptionalDependencyError, QueryError, StoreError
from firstsight.extras import require_packages
from firstsight.records import Record, plain_value
from firstsight.retrieval.evaluation.judgements import JudgedQuery
from firstsight.retrieval.evaluation.significance import holm, paired_p_value
from firstsight.retrieval.query import NO_COLLAPSE, Query
from firstsight.retrieval.reranker_store import RerankerVersion, digest
from firstsight.retrieval.results import SearchResults

Mode = Literal["vector", "words", "hybrid"]
MODES: tuple[Mode, ...] = get_args(Mode)

MEASURES = ("ndcg", "rr", "recall", "p")
"""Measures: NDCG, reciprocal rank, recall and precision, each at k."""


class Searchable(Protocol):
    """Interface of an evaluated search; `firstsight.Database` implements it."""

    def search_many(
        self, queries: Sequence[Query], *, reranker: int | None = None, on_error: Literal["return"]
    ) -> list[SearchResults | FirstsightError]: ...


@dataclass(frozen=True)
class QueryOutcome(Record):
    """Result of one query in one mode."""

    query: JudgedQuery
    item_ids: tuple[str, ...]  # best first, at most k
    values: Mapping[str, float]  # measure to value, 0 to 1


@dataclass(frozen=True)
class ModeReport(Record):
    """Results of one mode over all queries."""

    mode: str
    means: Mapping[str, float]  # measure to its mean over the queries, 0 to 1
    outcomes: tuple[QueryOutcome, ...]  # in the order of the queries


@dataclass(frozen=True)
class ModeComparison(Record):
    """Comparison of two modes by NDCG@k."""

    better: str  # mode with the higher mean
    worse: str
    difference: float  # of the mean NDCG@k, 0 or more
    p: float  # two-sided, paired randomisation test
    p_holm: float  # corrected for the number of mode pairs (Holm)


@dataclass(frozen=True)
class SearchTask(Record):
    """Evaluation of one set of queries in one or more modes."""

    name: str
    about: str
    k: int
    modes: tuple[ModeReport, ...]
    comparisons: tuple[ModeComparison, ...] = ()
    notes: tuple[str, ...] = ()
    chance: float | None = None  # recall@k of a random order, if known

    @property
    def best(self) -> ModeReport:
        """The mode with the highest mean NDCG@k; the first one of a tie."""
        return max(self.modes, key=lambda report: report.means["ndcg"])

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON, without the single queries."""
        return {
            "task": self.name,
            "about": self.about,
            "k": self.k,
            "queries": len(self.modes[0].outcomes),
            "modes": {report.mode: dict(report.means) for report in self.modes},
            "chance_recall": self.chance,
            "comparisons": plain_value(self.comparisons),
            "notes": list(self.notes),
        }


@dataclass
class ModeRankings:
    """Rankings of one mode for all queries."""

    mode: str
    item_ids: list[tuple[str, ...]] = field(default_factory=list)  # one ranking per query, best first


def run_queries(
    database: Searchable, queries: Sequence[JudgedQuery], k: int, mode: str, reranker: int | None = None
) -> list[SearchResults]:
    """Search for every query in one mode.

    Args:
        database: the search to evaluate.
        queries: texts or pictures.
        k: number of results per query.
        mode: mode of the text queries.
        reranker: version that orders the results; None for no reranking.

    Raises:
        QueryError: the mode is unknown, or the picture of a query cannot be read.
        OptionalDependencyError: the reranker needs LightGBM, which is not installed.
        StoreError: the reranker's model cannot be used.
    """
    search_queries = [
        # judgements grade items, not products; `Query` checks the mode
        Query(text=query.text, mode=cast("Mode", mode), k=k, collapse=NO_COLLAPSE, rerank=reranker is not None)
        if query.text is not None
        else Query(images=[str(query.image)], k=k, collapse=NO_COLLAPSE)
        for query in queries
    ]
    answers = []
    found = database.search_many(search_queries, reranker=reranker, on_error="return")
    for query, answer in zip(queries, found, strict=True):
        if isinstance(answer, MediaError):
            raise QueryError(f"the picture of query {query.query_id!r} cannot be used: {answer}")
        if isinstance(answer, FirstsightError):
            raise answer
        answers.append(answer)
    return answers


def evaluate(
    database: Searchable,
    queries: Sequence[JudgedQuery],
    *,
    k: int = 10,
    modes: Sequence[str] = ("vector",),
    rerankers: Sequence[RerankerVersion] = (),
    known: Callable[[Sequence[str]], set[str]] | None = None,
    name: str = "judgements",
    about: str = "",
) -> SearchTask:
    """Rank judged queries in each mode and measure the rankings.

    Queries without an item of grade above 0 are skipped; a note has their number. An unjudged item counts as not
    relevant. A judged item that is not in the database cannot be found, so it lowers recall.

    Args:
        database: searched once per query and mode.
        queries: from `read_judgements`.
        k: depth of every measure, 1 to 1,000.
        modes: "vector", "words", "hybrid", each at most once; evaluated without a reranker.
        rerankers: each adds a row for its mode.
        known: returns which of the given ids are in the database, for a note about missing items.
        name, about: name and description of the task, for the report.

    Raises:
        QueryError: no query is usable, k is out of range, a mode is unknown or repeated, or the picture of a query
            cannot be read.
        OptionalDependencyError: ir-measures is not installed.
    """
    require_measures()
    check_depth(k)
    unknown = next((mode for mode in modes if mode not in MODES or list(modes).count(mode) > 1), None)
    if unknown is not None or not modes:
        raise QueryError(f"mode {unknown!r} is not one of {', '.join(MODES)}; give each at most once")
    usable = [query for query in queries if query.relevant_items]
    if not usable:
        raise QueryError("no query has an item with a grade above 0, so nothing can be found; add such judgements")
    notes = []
    if len(usable) < len(queries):
        notes.append(f"{len(queries) - len(usable)} queries are skipped: none of their items has a grade above 0")
    if known is not None:
        relevant = sorted({item_id for query in usable for item_id in query.relevant_items})
        missing = set(relevant) - known(relevant)
        if missing:
            examples = ", ".join(sorted(missing)[:3])
            notes.append(
                f"{len(missing)} of {len(relevant)} relevant items are not in the database (such as {examples})"
            )
    rankings = []
    for mode in modes:
        rankings.append(ModeRankings(mode, _ranked_ids(run_queries(database, usable, k, mode))))
        for reranker in (version for version in rerankers if version.mode == mode):
            try:
                results = run_queries(database, usable, k, mode, reranker.version)
            except (OptionalDependencyError, StoreError) as error:
                notes.append(f"reranker {reranker.version} is skipped: {error}")
                continue
            row = f"{mode} + reranker {reranker.version}" + ("" if reranker.promoted else " (not promoted)")
            rankings.append(ModeRankings(row, _ranked_ids(results)))
            learned = sum(digest(query.text) in reranker.learned for query in usable if query.text is not None)
            if learned:
                notes.append(
                    f"reranker {reranker.version} was trained on {learned} of these {len(usable)} queries, so its row "
                    "is too good; firstsight rerank status has its held-out figures"
                )
    return measure(usable, rankings, k=k, name=name, about=about, notes=notes)


def _ranked_ids(answers: Sequence[SearchResults]) -> list[tuple[str, ...]]:
    return [tuple(result.item_id for result in results) for results in answers]


def measure(
    queries: Sequence[JudgedQuery],
    rankings: Sequence[ModeRankings],
    *,
    k: int,
    name: str,
    about: str,
    notes: Sequence[str] = (),
    chance: float | None = None,
) -> SearchTask:
    """Measure rankings of the same queries.

    The measures are those of trec_eval, from the library `ir_measures`: NDCG@k with the grade as gain and log2 discount
    (Järvelin and Kekäläinen 2002), and RR@k, recall@k and P@k over all items with a grade above 0.

    Args:
        queries: the judged queries.
        rankings: for each mode, the rankings in the order of the queries.
        k: depth of every measure, 1 to 1,000.
        name, about, notes: name, description and notes of the task, for the report.
        chance: recall@k of a random order, if known.
    """
    reports = tuple(_mode_report(queries, ranking, k) for ranking in rankings)
    return SearchTask(name, about, k, reports, compare(reports), tuple(notes), chance)


def require_measures() -> None:
    """Check that the library of the measures is installed, before anything is searched.

    Raises:
        OptionalDependencyError: it is not.
    """
    require_packages("evaluate", "the evaluation of search", ("ir_measures",))


def check_depth(k: int) -> None:
    """Check the depth of the measures.

    Raises:
        QueryError: k is below 1 or above 1,000.
    """
    if not 1 <= k <= 1_000:
        raise QueryError(f"k must be between 1 and 1000, not {k}")


def _mode_report(queries: Sequence[JudgedQuery], ranking: ModeRankings, k: int) -> ModeReport:
    values = score(queries, ranking.item_ids, k)
    outcomes = tuple(
        QueryOutcome(query, item_ids[:k], value)
        for query, item_ids, value in zip(queries, ranking.item_ids, values, strict=True)
    )
    return ModeReport(ranking.mode, {name: float(np.mean([v[name] for v in values])) for name in MEASURES}, outcomes)


def score(queries: Sequence[JudgedQuery], rankings: Sequence[Sequence[str]], k: int) -> list[dict[str, float]]:
    """Compute NDCG, RR, recall and precision at k of each ranking, each 0 to 1.

    Args:
        queries: the judged queries.
        rankings: for each query the item ids, best first, without repeats.
        k: depth of the measures.
    """
    import ir_measures
    from ir_measures import RR, P, R, nDCG

    names = {nDCG @ k: "ndcg", RR @ k: "rr", R @ k: "recall", P @ k: "p"}
    # Queries are numbered, since two may share an id across tasks. The scores fall by rank, since trec_eval orders by
    # score and breaks ties by item id.
    qrels = {str(n): dict(query.grades) for n, query in enumerate(queries)}
    run = {str(n): {i: float(len(ids) - rank) for rank, i in enumerate(ids)} for n, ids in enumerate(rankings)}
    values = [dict.fromkeys(MEASURES, 0.0) for _ in queries]
    for metric in ir_measures.iter_calc(list(names), qrels, run):
        values[int(metric.query_id)][names[metric.measure]] = float(metric.value)
    return values


def compare(reports: Sequence[ModeReport]) -> tuple[ModeComparison, ...]:
    """Compare every pair of modes by NDCG@k: paired randomisation test, Holm correction over the pairs."""
    pairs = []
    for first, second in itertools.combinations(reports, 2):
        better, worse = (first, second) if first.means["ndcg"] >= second.means["ndcg"] else (second, first)
        p = paired_p_value(*([o.values["ndcg"] for o in report.outcomes] for report in (better, worse)))
        pairs.append((better, worse, p))
    return tuple(
        ModeComparison(better.mode, worse.mode, better.means["ndcg"] - worse.means["ndcg"], p, corrected)
        for (better, worse, p), corrected in zip(pairs, holm([p for _, _, p in pairs]), strict=True)
    )
