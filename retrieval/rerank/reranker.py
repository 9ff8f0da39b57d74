"""Reranking: the promoted model's order for the first candidates of a search.

It orders the first 100 of the ranking, whatever the page; the rest follow as they came. Thresholds, collapse, diversity
and pages come after it, so that they cut one order. An item takes the value of the place that it comes to, so that what
compares values (diversity) goes on to; its cosine and relevance stay its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from firstsight.errors import OptionalDependencyError, StoreError
from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.candidates import Candidate
from firstsight.retrieval.ranking.query_encoding import EncodedQuery
from firstsight.retrieval.rerank.candidate_features import feature_names, features
from firstsight.retrieval.reranker_store import RerankerVersion
from firstsight.storage.store import Store

if TYPE_CHECKING:
    import lightgbm

CANDIDATES = 100
"""Items of a ranking that are reranked, and learned from."""


def mode_to_rerank(query: Query) -> str | None:
    """The mode whose reranker a query is for; None where it is unlike the queries that rerankers learn from.

    Those are a text alone, compared with whole items: nothing to avoid, no other parts, the default fusion. Filters,
    thresholds, collapse and diversity are all the same to it.
    """
    others = query.images or query.videos or query.items or query.minus or query.minus_images
    if not query.rerank or query.text is None or others or query.part != "item":
        return None
    mode = query.resolved_mode
    return None if mode == "hybrid" and query.fusion != "weighted" else mode


@dataclass(frozen=True)
class Reranker:
    """A version that can be used: bound to the encoder, its model read."""

    version: RerankerVersion
    model: lightgbm.Booster
    day: date  # that ages are counted to

    @classmethod
    def of(cls, version: RerankerVersion, store: Store, day: date) -> Reranker:
        """Make a version ready.

        Raises:
            OptionalDependencyError: LightGBM is not installed.
            StoreError: the model cannot be read, or was fitted to another encoder's scores or other features.
        """
        if version.fingerprint != store.spec.fingerprint:
            raise StoreError(_unusable(version, "it was fitted to another encoder's scores"))
        try:
            model = _model(version.model, version.columns)
        except OptionalDependencyError as error:
            raise OptionalDependencyError(
                f"reranker {version.version} is in use here: {error}; or search with --no-rerank"
            ) from None
        except StoreError as error:
            raise StoreError(_unusable(version, str(error))) from None
        return cls(version, model, day)

    def order(self, store: Store, encoded: EncodedQuery, candidates: Sequence[Candidate]) -> list[Candidate]:
        """At most 100 candidates in the model's order, equal ones as they came."""
        from firstsight.retrieval.rerank.lambdamart import scores

        assert encoded.query.text is not None  # see `mode_to_rerank`
        table = features(store, encoded.query.text, encoded.vector, candidates, self.version.columns, day=self.day)
        given = scores(self.model, table)
        order = sorted(range(len(candidates)), key=lambda n: -given[n])
        return [
            replace(candidates[n], value=place.value, rank_score=given[n])
            for n, place in zip(order, candidates, strict=True)
        ]


def choose_rerankers(
    promoted: Mapping[str, RerankerVersion], store: Store, queries: Sequence[Query], day: date
) -> list[Reranker | None]:
    """The reranker of each query, or None; a model is read only where a query is for it.

    Raises:
        OptionalDependencyError, StoreError: as `Reranker.of`.
    """
    modes = [mode_to_rerank(query) for query in queries]
    ready = {mode: Reranker.of(version, store, day) for mode, version in promoted.items() if mode in modes}
    return [None if mode is None else ready.get(mode) for mode in modes]


@lru_cache(maxsize=4)
def _model(text: str, columns: tuple[str, ...]) -> lightgbm.Booster:
    from firstsight.retrieval.rerank.lambdamart import load

    return load(text, feature_names(columns))


def _unusable(version: RerankerVersion, reason: str) -> str:
    return (
        f"reranker {version.version} is in use here and cannot be used: {reason}; fit another, search with "
        "--no-rerank, or: firstsight rerank drop"
    )
