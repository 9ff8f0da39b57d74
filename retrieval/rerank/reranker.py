"""Reranking: order the first candidates of a search with the promoted model.

It orders the first 100 candidates, the same for every page; later ones keep their order. Thresholds, collapse,
diversity and pages come afterwards, so all pages come from one order. An item takes the value of its new place, so
that diversity, which compares values, still works. Its cosine and relevance do not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from firstsight.errors import OptionalDependencyError, StoreError
from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.query_encoding import EncodedQuery
from firstsight.retrieval.ranking.readings import Candidate
from firstsight.retrieval.rerank.candidate_features import feature_names, features
from firstsight.retrieval.reranker_store import RerankerVersion
from firstsight.storage.store import Store

if TYPE_CHECKING:
    import lightgbm

CANDIDATES = 100
"""Number of items of a ranking that are reranked, and that a reranker is trained on."""


def mode_to_rerank(query: Query) -> str | None:
    """Return the mode whose reranker a query uses; None if it is unlike the training queries.

    Training queries are a text alone over whole items: no `minus`, no other parts, the default fusion. Filters,
    thresholds, collapse and diversity make no difference.
    """
    others = query.images or query.videos or query.items or query.vectors or query.minus or query.minus_images
    if not query.rerank or query.text is None or others or query.resolved_part != "item":
        return None
    mode = query.resolved_mode
    return None if mode == "hybrid" and query.fusion != "weighted" else mode


@dataclass(frozen=True)
class Reranker:
    """A version with its model loaded, ready for use."""

    version: RerankerVersion
    model: lightgbm.Booster
    day: date  # reference day of ages

    @classmethod
    def of(cls, version: RerankerVersion, store: Store, day: date) -> Reranker:
        """Load the model of a version.

        Raises:
            OptionalDependencyError: LightGBM is not installed.
            StoreError: the model cannot be read, or was fitted to scores of another encoder or to other features.
        """
        if version.fingerprint != store.spec.fingerprint:
            raise StoreError(_unusable(version, "it was fitted to another encoder's scores"))
        try:
            model = _model(version.model, version.columns)
        except OptionalDependencyError as error:
            raise OptionalDependencyError(
                f"reranker {version.version} is promoted: {error}; or search with --no-rerank"
            ) from None
        except StoreError as error:
            raise StoreError(_unusable(version, str(error))) from None
        return cls(version, model, day)

    def order(self, store: Store, encoded: EncodedQuery, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Order at most 100 candidates by the model's score; ties keep their order."""
        from firstsight.retrieval.rerank.lambdamart import scores

        assert encoded.query.text is not None  # see `mode_to_rerank`
        table = features(store, encoded.query.text, encoded.vector, candidates, self.version.columns, day=self.day)
        rank_scores = scores(self.model, table)
        order = sorted(range(len(candidates)), key=lambda n: -rank_scores[n])
        return [
            replace(candidates[n], value=place.value, rank_score=rank_scores[n])
            for n, place in zip(order, candidates, strict=True)
        ]


def choose_rerankers(
    promoted: Mapping[str, RerankerVersion], store: Store, queries: Sequence[Query], day: date
) -> list[Reranker | None]:
    """Choose the reranker of each query, or None. Only models that a query uses are loaded.

    Args:
        promoted: promoted versions by mode.
        store: the database to search; its encoder must be that of the versions.
        queries: the queries to answer.
        day: reference day of ages.

    Raises:
        OptionalDependencyError: a query uses a reranker, and LightGBM is not installed.
        StoreError: a query uses a reranker whose model cannot be used; see `Reranker.of`.
    """
    modes = [mode_to_rerank(query) for query in queries]
    loaded = {mode: Reranker.of(version, store, day) for mode, version in promoted.items() if mode in modes}
    return [None if mode is None else loaded.get(mode) for mode in modes]


@lru_cache(maxsize=4)
def _model(text: str, columns: tuple[str, ...]) -> lightgbm.Booster:
    from firstsight.retrieval.rerank.lambdamart import load

    return load(text, feature_names(columns))


def _unusable(version: RerankerVersion, reason: str) -> str:
    return (
        f"reranker {version.version} is promoted but cannot be used: {reason}; fit another, search with "
        "--no-rerank, or: firstsight rerank drop"
    )
