"""Fitting a reranker, and the rule by which it may be used: it has to help on queries that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import FirstsightError, QueryError
from firstsight.retrieval.evaluation.judgements import JudgedQuery
from firstsight.retrieval.evaluation.search_evaluation import paired_p_value, score
from firstsight.retrieval.query import Mode, Query
from firstsight.retrieval.ranking.candidates import Candidate, FetchGenerator, Ranker, run_rankings
from firstsight.retrieval.rerank.candidate_features import LEARNABLE, feature_names, features
from firstsight.retrieval.rerank.reranker import CANDIDATES
from firstsight.retrieval.reranker_store import RerankerShelf, RerankerVersion, digest, find_version, normalise_text
from firstsight.storage.store import Store

FOLDS = 5
"""Queries are held out a fold at a time, so that each is judged by a model that has not seen it."""

MIN_QUERIES = 20
"""Fewest usable queries: below it no difference that matters could be told from chance."""

MAX_P = 0.05

DEPTH = 10

RULE = f"promoted when NDCG@{DEPTH} on held-out queries is higher with p < {MAX_P} (paired randomisation test)"

QUERIES_PER_BATCH = 64
"""Queries that are searched at once: bounds memory."""

T = TypeVar("T")
MakeRankers = Callable[[Sequence[Query]], Sequence[Ranker | FirstsightError]]
Ranked = tuple[JudgedQuery, Ranker, list[Candidate] | FirstsightError]


@dataclass(frozen=True)
class TrainingExample:
    """A judged query with the candidates that search finds for it."""

    query: JudgedQuery
    ids: tuple[str, ...]  # as search ranks them, at most 100
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
    """Learn a reranker from judged text queries and measure it on held-out ones.

    Held-out figures come from five folds over the queries, those of one text always in one fold. The model that is
    kept is fitted on all of them.

    Args:
        queries: from `read_judgements` or `read_events`. Pictures are left out. Queries none of whose wanted items is
            among the 100 candidates teach nothing, and count as unchanged in the figures.
        rankers: makes the rankings of queries: `firstsight.retrieval.search.make_rankers`, bound to the encoder.
        columns: numbers and flags of the catalogue to learn from; all of them by default.
        mode: of the searches that are learned from and reranked: "hybrid", "vector" or "words".
        seed: of the folds.
        on_progress: told each step.

    Returns:
        The version, numbered 0 and not kept yet; its figures say whether it may be promoted.

    Raises:
        QueryError: too few usable queries, an unknown mode, or a column that is not there or is text.
        OptionalDependencyError: LightGBM is not installed.
    """
    from firstsight.retrieval.rerank import lambdamart

    if mode not in get_args(Mode):
        raise QueryError(f"mode {mode!r} is not one of {', '.join(get_args(Mode))}")
    columns = _check_columns(store, columns)
    asked = [query for query in queries if query.text is not None and query.relevant_items]
    on_progress(f"searching for {len(asked):,} queries")
    examples = _examples(store, asked, rankers, columns, cast("Mode", mode)) if len(asked) >= MIN_QUERIES else []
    usable = [example for example in examples if example.is_informative]
    if len(usable) < MIN_QUERIES:
        raise QueryError(
            f"{len(usable)} of {len(asked)} judged text queries can be learned from, and {MIN_QUERIES} are needed: "
            f"one counts where its first {CANDIDATES} results hold items of different grades. Give more judgements"
        )

    def train(some: Sequence[TrainingExample]) -> Any:
        return lambdamart.train([e.table for e in some], [e.grades for e in some], feature_names(columns))

    on_progress(f"fitting to {len(usable):,} queries, and {FOLDS} times to those that are not held out")
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
    """Let searches use a version, the newest unless one is named; the caller holds the writer lock.

    Raises:
        QueryError: there is none, it was fitted to another encoder, or it does not keep the rule: higher NDCG@10 on
            held-out queries, p < 0.05. The message has the figures.
    """
    wanted = find_version(shelf, version)
    if wanted.fingerprint != store.spec.fingerprint:
        raise QueryError(f"reranker {wanted.version} was fitted to another encoder's scores; fit it again")
    if not passes_rule(wanted):
        figures = wanted.figures
        raise QueryError(
            f"reranker {wanted.version} is not promoted: NDCG@{DEPTH} on {figures['queries']} held-out queries is "
            f"{figures['ndcg_after']:.4f} with it and {figures['ndcg_before']:.4f} without (p = {figures['p']:.4f}), "
            f"and one is {RULE}"
        )
    shelf.promote(wanted)
    return replace(wanted, promoted=True)


def drop(shelf: RerankerShelf, version: int | None = None) -> list[RerankerVersion]:
    """Let searches use a version no more, or none of them; all are kept. The caller holds the writer lock.

    Returns:
        Those that were in use until now.

    Raises:
        QueryError: there is no such version.
    """
    wanted = shelf.versions() if version is None else [find_version(shelf, version)]
    used = [one for one in wanted if one.promoted]
    if used:
        shelf.drop([one.version for one in used])
    return [replace(one, promoted=False) for one in used]


def passes_rule(version: RerankerVersion) -> bool:
    """Whether a version's held-out figures keep the rule."""
    figures = version.figures
    return bool(figures["ndcg_after"] > figures["ndcg_before"] and figures["p"] < MAX_P)


def _examples(
    store: Store,
    queries: Sequence[JudgedQuery],
    rankers: MakeRankers,
    columns: tuple[str, ...],
    mode: Mode,
) -> list[TrainingExample]:
    """The candidates of each query, found and described as a search finds and describes them."""
    today = datetime.now(UTC).date()
    examples = []
    for query, ranker, ranking in _ranked(store, queries, rankers, mode):
        candidates = _or_raise(ranking)
        ids = tuple(candidate.item_id for candidate in candidates)
        assert query.text is not None
        table = features(store, query.text, ranker.encoded.vector, candidates, columns, day=today)
        grades = np.array([query.grades.get(item_id, 0) for item_id in ids], dtype=np.int32)
        examples.append(TrainingExample(query, ids, table, grades))
    return examples


def _ranked(store: Store, queries: Sequence[JudgedQuery], rankers: MakeRankers, mode: Mode) -> Iterator[Ranked]:
    for start in range(0, len(queries), QUERIES_PER_BATCH):
        some = queries[start : start + QUERIES_PER_BATCH]
        made = [_or_raise(one) for one in rankers([Query(query.text, mode=mode, k=CANDIDATES) for query in some])]
        yield from zip(some, made, run_rankings(store, [_first_candidates(ranker) for ranker in made]), strict=True)


def _first_candidates(ranker: Ranker) -> FetchGenerator[list[Candidate]]:
    ranking = yield from ranker.rank(CANDIDATES)
    return ranking.candidates[:CANDIDATES]


def _rank_held_out(
    examples: Sequence[TrainingExample],
    train: Callable[[Sequence[TrainingExample]], Any],
    scores: Callable[[Any, NDArray[np.float32]], list[float]],
    seed: int,
) -> list[tuple[str, ...]]:
    """Each query's order under a model fitted without it, and without any query of the same text."""
    said = [normalise_text(cast("str", example.query.text)) for example in examples]
    texts = sorted(set(said))
    shuffled = np.random.default_rng(seed).permutation(len(texts))
    fold = {text: int(place) % FOLDS for text, place in zip(texts, shuffled, strict=True)}
    orders = [example.ids for example in examples]
    for held in range(FOLDS):
        seen = [
            example
            for example, text in zip(examples, said, strict=True)
            if fold[text] != held and example.is_informative
        ]
        if not seen:
            continue  # all that teaches is in this fold: unchanged
        model = train(seen)
        for place, example in enumerate(examples):
            if fold[said[place]] == held:
                given = scores(model, example.table)
                order = sorted(range(len(given)), key=lambda n: -given[n])
                orders[place] = tuple(example.ids[n] for n in order)
    return orders


def _check_columns(store: Store, columns: Sequence[str] | None) -> tuple[str, ...]:
    usable = [name for name, kind in store.column_kinds().items() if kind in LEARNABLE]
    for name in columns or ():
        if name not in usable:
            listed = ", ".join(usable) or "there are none"
            raise QueryError(f"--column {name!r} is no number or flag of {store.uri}; those it has: {listed}")
    return tuple(dict.fromkeys(usable if columns is None else columns))


def _or_raise(answer: T | FirstsightError) -> T:
    if isinstance(answer, FirstsightError):
        raise answer
    return answer
