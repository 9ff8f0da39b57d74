"""Fit, promote and drop rerankers. A reranker is promoted only if it improves held-out queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import FirstsightError, QueryError
from firstsight.extras import require_packages
from firstsight.retrieval.evaluation.judgements import JudgedQuery
from firstsight.retrieval.evaluation.search_evaluation import score
from firstsight.retrieval.evaluation.significance import paired_p_value
from firstsight.retrieval.query import Mode, Query
from firstsight.retrieval.ranking.candidates import Ranker
from firstsight.retrieval.ranking.fetch_batching import FetchGenerator, run_rankings
from firstsight.retrieval.ranking.readings import Candidate
from firstsight.retrieval.rerank.candidate_features import LEARNABLE, feature_names, features
from firstsight.retrieval.rerank.reranker import CANDIDATES
from firstsight.retrieval.reranker_store import RerankerShelf, RerankerVersion, digest, find_version, normalise_text
from firstsight.storage.store import Store

FOLDS = 5
"""Number of cross-validation folds: each query is judged by a model that was fitted without it."""

MIN_QUERIES = 20
"""Minimum number of usable queries. With fewer, a relevant difference cannot be significant."""

MAX_P = 0.05
"""A version is promoted only with a p-value below this."""

DEPTH = 10
"""Depth of NDCG."""

RULE = f"promoted when NDCG@{DEPTH} on held-out queries is higher with p < {MAX_P} (paired randomisation test)"

QUERIES_PER_BATCH = 64
"""Number of queries that are searched at once; limits memory."""

T = TypeVar("T")
MakeRankers: TypeAlias = Callable[[Sequence[Query]], Sequence[Ranker | FirstsightError]]
RankedQuery: TypeAlias = tuple[JudgedQuery, Ranker, list[Candidate] | FirstsightError]


@dataclass(frozen=True)
class TrainingExample:
    """A judged query with its search candidates and their features."""

    query: JudgedQuery
    ids: tuple[str, ...]  # in the order of the search, at most 100
    table: NDArray[np.float32]  # (n, features)
    grades: NDArray[np.int32]  # (n,)

    @property
    def is_informative(self) -> bool:
        """Whether its candidates have different grades, so that one order is better than another."""
        return len(set(self.grades.tolist())) > 1


def fit(
    store: Store,
    queries: Sequence[JudgedQuery],
    *,
    rankers: MakeRankers,
    columns: Sequence[str] | None = None,
    mode: str = "hybrid",
    seed: int = 0,
    on_progress: Callable[[str], None] = lambda step: None,
) -> RerankerVersion:
    """Fit a reranker to judged text queries and measure it on held-out queries.

    The held-out figures come from cross-validation with five folds; queries with the same text share a fold. The
    returned model is fitted to all queries.

    Args:
        store: the database to search.
        queries: from `read_judgements` or `read_events`. Picture queries are ignored. A query without a relevant item
            among its 100 candidates adds nothing to the training, and counts as unchanged in the figures.
        rankers: makes the rankers of queries: `firstsight.retrieval.search.make_rankers`, bound to the encoder.
        columns: numeric and flag columns of the catalogue to use as features; by default all of them.
        mode: search mode to train for and to rerank: "hybrid", "vector" or "words".
        seed: random seed of the folds.
        on_progress: called with a description of each step.

    Returns:
        The version, with number 0 and not stored yet. `passes_rule` says if its figures allow promotion.

    Raises:
        QueryError: there are too few usable queries, the mode is unknown, or a column does not exist or is neither
            numeric nor a flag.
        OptionalDependencyError: LightGBM or ir-measures is not installed.
    """
    require_packages("rerank", "fitting of rerankers", ("lightgbm", "ir_measures"))
    from firstsight.retrieval.rerank import lambdamart

    if mode not in get_args(Mode):
        raise QueryError(f"mode {mode!r} is not one of {', '.join(get_args(Mode))}")
    columns = _check_columns(store, columns)
    text_queries = [query for query in queries if query.text is not None and query.relevant_items]
    on_progress(f"searching for {len(text_queries):,} queries")
    enough = len(text_queries) >= MIN_QUERIES
    examples = _examples(store, text_queries, rankers, columns, cast("Mode", mode)) if enough else []
    usable = [example for example in examples if example.is_informative]
    if len(usable) < MIN_QUERIES:
        raise QueryError(
            f"{len(usable)} of {len(text_queries)} judged text queries are usable, and {MIN_QUERIES} are needed: a "
            f"query is usable if its first {CANDIDATES} results have different grades. Give more judgements"
        )

    def train(batch: Sequence[TrainingExample]) -> Any:
        return lambdamart.train([e.table for e in batch], [e.grades for e in batch], feature_names(columns))

    on_progress(f"fitting to {len(usable):,} queries, and {FOLDS} times for the held-out figures")
    held_out = _rank_held_out(examples, train, lambdamart.scores, seed)
    judged = [example.query for example in examples]
    before = [values["ndcg"] for values in score(judged, [example.ids[:DEPTH] for example in examples], DEPTH)]
    after = [values["ndcg"] for values in score(judged, [ids[:DEPTH] for ids in held_out], DEPTH)]
    figures = {
        "queries": len(examples),
        "ndcg_before": float(np.mean(before)),
        "ndcg_after": float(np.mean(after)),
        "p": paired_p_value(after, before, seed=seed),
    }
    return RerankerVersion(
        version=0,
        fitted_at=datetime.now(UTC),
        promoted=False,
        mode=mode,
        fingerprint=store.spec.fingerprint,
        columns=columns,
        learned=tuple(sorted({digest(cast("str", query.text)) for query in judged})),
        figures=figures,
        model=train(usable).model_to_string(),
    )


def promote(store: Store, shelf: RerankerShelf, version: int | None = None) -> RerankerVersion:
    """Use a version in searches; the caller holds the writer lock.

    Args:
        store: the database; its encoder must be that of the version.
        shelf: the rerankers of the same database.
        version: number of the version; by default the latest.

    Returns:
        The promoted version.

    Raises:
        QueryError: the version does not exist, was fitted to scores of another encoder, or fails the rule: higher
            NDCG@10 on held-out queries, with p < 0.05. The message has the figures.
    """
    chosen = find_version(shelf, version)
    if chosen.fingerprint != store.spec.fingerprint:
        raise QueryError(f"reranker {chosen.version} was fitted to another encoder's scores; fit it again")
    if not passes_rule(chosen):
        figures = chosen.figures
        raise QueryError(
            f"reranker {chosen.version} is not promoted: NDCG@{DEPTH} on {figures['queries']} held-out queries is "
            f"{figures['ndcg_after']:.4f} with it and {figures['ndcg_before']:.4f} without (p = {figures['p']:.4f}); "
            f"a reranker is {RULE}"
        )
    shelf.promote(chosen)
    return replace(chosen, promoted=True)


def drop(shelf: RerankerShelf, version: int | None = None) -> list[RerankerVersion]:
    """Stop the use of a version, or of all versions, in searches; the stored models stay.

    The caller holds the writer lock.

    Args:
        shelf: the rerankers of a database.
        version: number of the version; by default all.

    Returns:
        The versions that were in use before.

    Raises:
        QueryError: the version does not exist.
    """
    chosen = shelf.versions() if version is None else [find_version(shelf, version)]
    used = [reranker for reranker in chosen if reranker.promoted]
    if used:
        shelf.drop([reranker.version for reranker in used])
    return [replace(reranker, promoted=False) for reranker in used]


def passes_rule(version: RerankerVersion) -> bool:
    """Whether the held-out figures of a version allow promotion."""
    figures = version.figures
    return bool(figures["ndcg_after"] > figures["ndcg_before"] and figures["p"] < MAX_P)


def _examples(
    store: Store,
    queries: Sequence[JudgedQuery],
    rankers: MakeRankers,
    columns: tuple[str, ...],
    mode: Mode,
) -> list[TrainingExample]:
    """Search for each query, and compute the features of its candidates as a search does."""
    today = datetime.now(UTC).date()
    examples = []
    for query, ranker, ranking in _rank_queries(store, queries, rankers, mode):
        candidates = _or_raise(ranking)
        ids = tuple(candidate.item_id for candidate in candidates)
        assert query.text is not None
        table = features(store, query.text, ranker.encoded.vector, candidates, columns, day=today)
        grades = np.array([query.grades.get(item_id, 0) for item_id in ids], dtype=np.int32)
        examples.append(TrainingExample(query, ids, table, grades))
    return examples


def _rank_queries(
    store: Store, queries: Sequence[JudgedQuery], make_rankers: MakeRankers, mode: Mode
) -> Iterator[RankedQuery]:
    for start in range(0, len(queries), QUERIES_PER_BATCH):
        batch = queries[start : start + QUERIES_PER_BATCH]
        rankers = [
            _or_raise(ranker)
            for ranker in make_rankers([Query(query.text, mode=mode, k=CANDIDATES) for query in batch])
        ]
        rankings = run_rankings(store, [_first_candidates(ranker) for ranker in rankers])
        yield from zip(batch, rankers, rankings, strict=True)


def _first_candidates(ranker: Ranker) -> FetchGenerator[list[Candidate]]:
    ranking = yield from ranker.rank(CANDIDATES)
    return ranking.candidates[:CANDIDATES]


def _rank_held_out(
    examples: Sequence[TrainingExample],
    train: Callable[[Sequence[TrainingExample]], Any],
    scores: Callable[[Any, NDArray[np.float32]], list[float]],
    seed: int,
) -> list[tuple[str, ...]]:
    """Order the candidates of each query with a model that was fitted without queries of the same text."""
    texts = [normalise_text(cast("str", example.query.text)) for example in examples]
    distinct = sorted(set(texts))
    shuffled = np.random.default_rng(seed).permutation(len(distinct))
    fold_of = {text: int(place) % FOLDS for text, place in zip(distinct, shuffled, strict=True)}
    orders = [example.ids for example in examples]
    for fold in range(FOLDS):
        training = [
            example
            for example, text in zip(examples, texts, strict=True)
            if fold_of[text] != fold and example.is_informative
        ]
        if not training:
            continue  # all informative queries are in this fold, so its orders stay unchanged
        model = train(training)
        for place, example in enumerate(examples):
            if fold_of[texts[place]] == fold:
                model_scores = scores(model, example.table)
                order = sorted(range(len(model_scores)), key=lambda n: -model_scores[n])
                orders[place] = tuple(example.ids[n] for n in order)
    return orders


def _check_columns(store: Store, columns: Sequence[str] | None) -> tuple[str, ...]:
    usable = [name for name, kind in store.column_kinds().items() if kind in LEARNABLE]
    for name in columns or ():
        if name not in usable:
            listed = ", ".join(usable) or "none"
            raise QueryError(f"--column {name!r} is no numeric or flag column of {store.uri}; it has: {listed}")
    return tuple(dict.fromkeys(usable if columns is None else columns))


def _or_raise(answer: T | FirstsightError) -> T:
    if isinstance(answer, FirstsightError):
        raise answer
    return answer
