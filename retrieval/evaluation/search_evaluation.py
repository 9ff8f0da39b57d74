"""How well a search ranks: the usual measures over judged queries, mode by mode, and whether a difference is real."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast, get_args

import ir_measures
import numpy as np
from ir_measures import RR, P, R, nDCG
from numpy.typing import NDArray
from scipy.stats import permutation_test

from firstsight.errors import FirstsightError, MediaError, OptionalDependencyError, QueryError, StoreError
from firstsight.retrieval.evaluation.judgements import JudgedQuery
from firstsight.retrieval.query import Query
from firstsight.retrieval.reranker_store import RerankerVersion, digest
from firstsight.retrieval.results import SearchResults

Mode = Literal["vector", "words", "hybrid"]
MODES: tuple[Mode, ...] = get_args(Mode)

MEASURES = ("ndcg", "rr", "recall", "p")
"""NDCG, reciprocal rank, recall and precision, each at k."""

RESAMPLES = 9_999
"""Random sign flips per comparison: the smallest p-value it can give is 1 in 10,000."""

FLIP_BYTES = 64 * 2**20
"""Memory for one lot of sign flips."""


class Searchable(Protocol):
    """What is evaluated: `firstsight.Database`, or anything that searches as it does."""

    def search_many(
        self, queries: Sequence[Query], *, reranker: int | None = None
    ) -> list[SearchResults | FirstsightError]: ...


@dataclass(frozen=True)
class QueryOutcome:
    """One query under one mode."""

    query: JudgedQuery
    found: tuple[str, ...]  # item ids, best first, at most k
    values: Mapping[str, float]  # measure to value, 0 to 1


@dataclass(frozen=True)
class ModeReport:
    """One mode over all queries."""

    mode: str
    means: Mapping[str, float]  # measure to its mean over queries, 0 to 1
    outcomes: tuple[QueryOutcome, ...]  # in the order of the queries


@dataclass(frozen=True)
class ModeComparison:
    """Whether two modes differ in NDCG@k by more than chance."""

    better: str  # of the two, by its mean
    worse: str
    difference: float  # of the mean NDCG@k, 0 or more
    p: float  # two-sided, paired randomisation test
    p_holm: float  # the same, corrected for the number of pairs of modes (Holm)


@dataclass(frozen=True)
class Task:
    """One set of queries, ranked by one or more modes."""

    name: str
    about: str
    k: int
    modes: tuple[ModeReport, ...]
    comparisons: tuple[ModeComparison, ...] = ()
    notes: tuple[str, ...] = ()
    chance: float | None = None  # the recall@k of a random order, where it is known

    @property
    def best(self) -> ModeReport:
        """The mode with the highest mean NDCG@k; of equals the first."""
        return max(self.modes, key=lambda report: report.means["ndcg"])

    def as_dict(self) -> dict[str, Any]:
        """What JSON holds of it: figures, without the queries."""
        return {
            "task": self.name,
            "about": self.about,
            "k": self.k,
            "queries": len(self.modes[0].outcomes),
            "modes": {report.mode: dict(report.means) for report in self.modes},
            "chance_recall": self.chance,
            "comparisons": [vars(comparison) for comparison in self.comparisons],
            "notes": list(self.notes),
        }


@dataclass
class ModeRankings:
    """What a mode found for each query, and what it could not answer."""

    mode: str
    found: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run_queries(
    database: Searchable, queries: Sequence[JudgedQuery], k: int, mode: str, reranker: int | None = None
) -> list[SearchResults]:
    """Search for every query in one mode: the one place where evaluation meets search.

    Args:
        reranker: the version that orders the results; None for the search's own order.

    Raises:
        QueryError: the database's search has no such mode, or a query picture cannot be read.
        OptionalDependencyError, StoreError: the reranker cannot be used.
    """
    asked = [
        # a mode that is none is refused there
        Query(text=query.text, mode=cast("Mode", mode), k=k, rerank=reranker is not None)
        if query.text is not None
        else Query(images=[str(query.image)], k=k)
        for query in queries
    ]
    answers = []
    for query, answer in zip(queries, database.search_many(asked, reranker=reranker), strict=True):
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
) -> Task:
    """Rank judged queries in each mode and measure the rankings.

    Queries for which no item has a grade above 0 are left out, and the notes say how many. An item that was not
    judged counts as one that does not answer the query; one that was judged and is not in the database cannot be
    found, so it lowers recall.

    Args:
        database: searched once per query and mode.
        queries: from `read_judgements`.
        k: depth of every measure, 1 to 1,000.
        modes: "vector", "words", "hybrid", as far as the search has them, without a reranker; each once.
        rerankers: each is one more row beside its mode.
        known: which of some ids are in the database, for the note about those that are not.
        name, about: of the task, for the report.

    Raises:
        QueryError: no query can be used, a k out of range, a mode that is not there or named twice, or a query
            whose picture cannot be read.
    """
    check_depth(k)
    unknown = next((mode for mode in modes if mode not in MODES or list(modes).count(mode) > 1), None)
    if unknown is not None or not modes:
        raise QueryError(f"mode {unknown!r} is not one of {', '.join(MODES)}, each named once")
    usable = [query for query in queries if query.relevant_items]
    if not usable:
        raise QueryError("no query has an item with a grade above 0, so there is nothing to find; add such judgements")
    notes = []
    if len(usable) < len(queries):
        notes.append(f"{len(queries) - len(usable)} queries are left out: none of their items has a grade above 0")
    if known is not None:
        asked = sorted({item_id for query in usable for item_id in query.relevant_items})
        absent = set(asked) - known(asked)
        if absent:
            some = ", ".join(sorted(absent)[:3])
            notes.append(f"{len(absent)} of {len(asked)} wanted items are not in the database (such as {some})")
    rankings = []
    for mode in modes:
        rankings.append(ModeRankings(mode, _ranked_ids(run_queries(database, usable, k, mode))))
        for reranker in (one for one in rerankers if one.mode == mode):
            try:
                results = run_queries(database, usable, k, mode, reranker.version)
            except (OptionalDependencyError, StoreError) as error:
                notes.append(f"reranker {reranker.version} is left out: {error}")
                continue
            row = f"{mode} + reranker {reranker.version}" + ("" if reranker.promoted else " (not promoted)")
            rankings.append(ModeRankings(row, _ranked_ids(results)))
            learned = sum(digest(query.text) in reranker.learned for query in usable if query.text is not None)
            if learned:
                notes.append(
                    f"reranker {reranker.version} has learned from {learned} of these {len(usable)} queries, which "
                    "flatters its row; firstsight rerank status has its held-out figures"
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
) -> Task:
    """Put rankings of the same queries into one report.

    The measures are trec_eval's, by the library `ir_measures`: NDCG@k with the grade as gain and log2 discount
    (Järvelin and Kekäläinen 2002), RR@k, recall@k and P@k over all items with a grade above 0.
    """
    reports = tuple(_mode_report(queries, ranking, k) for ranking in rankings)
    return Task(name, about, k, reports, compare(reports), tuple(notes), chance)


def check_depth(k: int) -> None:
    """Refuse a depth that no measure is meant for.

    Raises:
        QueryError: it is below 1 or above 1,000.
    """
    if not 1 <= k <= 1_000:
        raise QueryError(f"k must be between 1 and 1000, not {k}")


def _mode_report(queries: Sequence[JudgedQuery], ranking: ModeRankings, k: int) -> ModeReport:
    values = score(queries, ranking.found, k)
    outcomes = tuple(
        QueryOutcome(query, found[:k], value)
        for query, found, value in zip(queries, ranking.found, values, strict=True)
    )
    return ModeReport(ranking.mode, {name: float(np.mean([v[name] for v in values])) for name in MEASURES}, outcomes)


def score(queries: Sequence[JudgedQuery], found: Sequence[Sequence[str]], k: int) -> list[dict[str, float]]:
    """NDCG, RR, recall and precision at k of each query's ranking, each 0 to 1.

    Args:
        found: item ids, best first, one list per query; no id twice in one.
    """
    names = {nDCG @ k: "ndcg", RR @ k: "rr", R @ k: "recall", P @ k: "p"}
    # numbered, since two queries may share an id across tasks; falling scores, since trec_eval orders by score
    # and breaks ties by the item's id, and it is our order that is measured
    qrels = {str(n): dict(query.grades) for n, query in enumerate(queries)}
    run = {str(n): {i: float(len(ids) - rank) for rank, i in enumerate(ids)} for n, ids in enumerate(found)}
    values = [dict.fromkeys(MEASURES, 0.0) for _ in queries]
    for metric in ir_measures.iter_calc(list(names), qrels, run):
        values[int(metric.query_id)][names[metric.measure]] = float(metric.value)
    return values


def compare(reports: Sequence[ModeReport]) -> tuple[ModeComparison, ...]:
    """Every pair of modes by NDCG@k, with the p-value of a paired randomisation test, Holm-corrected over pairs."""
    found = []
    for one, two in itertools.combinations(reports, 2):
        better, worse = (one, two) if one.means["ndcg"] >= two.means["ndcg"] else (two, one)
        p = paired_p_value(*([o.values["ndcg"] for o in report.outcomes] for report in (better, worse)))
        found.append((better, worse, p))
    return tuple(
        ModeComparison(better.mode, worse.mode, better.means["ndcg"] - worse.means["ndcg"], p, corrected)
        for (better, worse, p), corrected in zip(found, holm([p for _, _, p in found]), strict=True)
    )


def paired_p_value(
    one: Sequence[float] | NDArray[np.float64], two: Sequence[float] | NDArray[np.float64], *, seed: int = 0
) -> float:
    """Two-sided p-value of the mean difference of paired values: the randomisation (sign-flip) test.

    Recommended for retrieval measures by Smucker, Allan and Carterette (CIKM 2007): unlike a t-test it asks nothing
    of the distribution. Exact where all sign flips number at most 9,999, else by as many random ones.

    Args:
        one, two: the same queries in the same order, n >= 1 values each.
        seed: of the random flips, so that a figure can be had again.
    """
    differences = np.asarray(one, dtype=np.float64) - np.asarray(two, dtype=np.float64)
    if len(differences) < 2 or not differences.any():
        return 1.0
    result = permutation_test(
        (differences,),
        lambda values, axis: np.mean(values, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, FLIP_BYTES // (8 * len(differences))),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method (1979), in the order given."""
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
