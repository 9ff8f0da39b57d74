"""Features of candidates for a reranker: scores, parts, age, and numbers of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstsight.encoders.base import Vector
from firstsight.indexer.columns.catalog_options import KINDS
from firstsight.retrieval.ranking.readings import Candidate
from firstsight.storage.store import Store

PARTS = ("title", "image", "frame")

LEARNABLE = ("number", "flag")
"""Kinds of catalogue columns that can be features."""


def feature_names(columns: Sequence[str]) -> tuple[str, ...]:
    """Names of the features in their order.

    Args:
        columns: catalogue columns that the model uses.
    """
    parts = [f"{part}_score" for part in PARTS]
    kinds = [f"kind={kind}" for kind in KINDS]
    return ("rank", "vector_score", "words_score", *parts, "age_days", "query_words", *kinds, *columns)


def features(
    store: Store, text: str, vector: Vector, candidates: Sequence[Candidate], columns: Sequence[str], *, day: date
) -> NDArray[np.float32]:
    """Compute the features of candidates, in their order.

    Args:
        text: the query text; its number of words is a feature.
        vector: (dim,) query vector of unit length, to compare the parts with.
        candidates: in the order of the search, best first; the rank is a feature.
        columns: numeric or flag columns of the catalogue, such as a price or a number of sales.
        day: reference day of ages, from its start (UTC), so that ages stay constant during a day.

    Returns:
        (n, number of names) float32, in the order of `feature_names(columns)`; NaN for a missing value.
    """
    positions = {name: position for position, name in enumerate(feature_names(columns))}
    table = np.full((len(candidates), len(positions)), np.nan, dtype=np.float32)
    ids = [candidate.item_id for candidate in candidates]
    rows = _item_rows(store, ids, columns)
    parts = _part_scores(store, vector, ids)
    cosines = _fused_cosines(store, vector, ids)
    for rank, candidate in enumerate(candidates):
        row = rows.get(candidate.item_id, {})
        values: dict[str, float | None] = {
            "rank": float(rank),
            "vector_score": cosines.get(candidate.item_id, 0.0),
            "words_score": candidate.words,
            **{f"{part}_score": score for part, score in parts.get(candidate.item_id, {}).items()},
            "age_days": _age(row.get("created_at"), day),
            "query_words": float(len(text.split())),
            **{f"kind={kind}": float(row.get("kind") == kind) for kind in KINDS},
            **{name: _number(row.get(name)) for name in columns},
        }
        for name, value in values.items():
            if value is not None:
                table[rank, positions[name]] = value
    return table


def _item_rows(store: Store, item_ids: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, object]]:
    existing = set(store.items.schema.names)  # a snapshot may be older than a column
    names = ["item_id", "kind", "created_at", *(name for name in columns if name in existing)]
    tables = store.rows_by_id(store.items, item_ids, columns=names)
    return {row["item_id"]: row for table in tables for row in table.to_pylist()}


def _fused_cosines(store: Store, vector: Vector, item_ids: Sequence[str]) -> dict[str, float]:
    """Cosine of each item's fused vector to the query. The score of a candidate may be that of its best frame."""
    found: dict[str, float] = {}
    columns = ["item_id", "vector"]
    for rows in store.rows_by_id(store.items, item_ids, columns=columns, condition="vector IS NOT NULL"):
        vectors = pc.list_flatten(rows["vector"]).to_numpy().reshape(rows.num_rows, store.spec.dim)
        ids = [str(item_id) for item_id in rows["item_id"].to_pylist()]
        found |= dict(zip(ids, (vectors @ vector).tolist(), strict=True))
    return found


def _part_scores(store: Store, vector: Vector, item_ids: Sequence[str]) -> Mapping[str, dict[str, float]]:
    """Largest cosine of each part's views to the query, by item."""
    if not item_ids:
        return {}
    columns = ["item_id", "part", "vector"]
    views = pa.concat_tables(store.rows_by_id(store.views, item_ids, columns=columns))
    cosines = pc.list_flatten(views["vector"]).to_numpy().reshape(views.num_rows, store.spec.dim) @ vector
    by_item: dict[str, dict[str, float]] = {}
    for row, cosine in zip(views.select(["item_id", "part"]).to_pylist(), cosines, strict=True):
        best = by_item.setdefault(row["item_id"], {})
        best[row["part"]] = max(float(cosine), best.get(row["part"], -1.0))
    return {item_id: {part: best[part] for part in PARTS if part in best} for item_id, best in by_item.items()}


def _age(created: object, day: date) -> float | None:
    if not isinstance(created, datetime):
        return None
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) - created).total_seconds() / 86_400


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
