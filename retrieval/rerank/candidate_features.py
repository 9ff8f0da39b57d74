"""What a reranker sees of each candidate: scores, parts, age and numbers of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstsight.encoders.base import Vector
from firstsight.indexer.catalog import KINDS
from firstsight.retrieval.ranking.candidates import Candidate
from firstsight.storage.store import Store

PARTS = ("title", "image", "frame")

LEARNABLE = ("number", "flag")
"""Kinds of columns that a reranker can learn from."""


def feature_names(columns: Sequence[str]) -> tuple[str, ...]:
    """The features in their order, for the columns that a model uses."""
    parts = [f"{part}_score" for part in PARTS]
    kinds = [f"kind={kind}" for kind in KINDS]
    return ("rank", "vector_score", "words_score", *parts, "age_days", "query_words", *kinds, *columns)


def features(
    store: Store, text: str, vector: Vector, candidates: Sequence[Candidate], columns: Sequence[str], *, day: date
) -> NDArray[np.float32]:
    """Features of candidates in their order; what an item does not have is NaN.

    Args:
        text: the query; its number of words is a feature.
        vector: (dim,) of the query, unit length; parts are compared with it.
        candidates: as search ranks them, best first; the place is a feature.
        columns: numbers and flags of the catalogue, such as a price or a number of sales.
        day: what ages are counted to, from its first moment (UTC), so that they stand still for a day.

    Returns:
        (n, number of names) float32, in the order of `feature_names(columns)`.
    """
    names = {name: place for place, name in enumerate(feature_names(columns))}
    table = np.full((len(candidates), len(names)), np.nan, dtype=np.float32)
    ids = [candidate.item_id for candidate in candidates]
    rows = _item_rows(store, ids, columns)
    parts = _part_scores(store, vector, ids)
    for place, candidate in enumerate(candidates):
        row = rows.get(candidate.item_id, {})
        values: dict[str, float | None] = {
            "rank": float(place),
            "vector_score": candidate.cosine,
            "words_score": candidate.words,
            **{f"{part}_score": score for part, score in parts.get(candidate.item_id, {}).items()},
            "age_days": _age(row.get("created_at"), day),
            "query_words": float(len(text.split())),
            **{f"kind={kind}": float(row.get("kind") == kind) for kind in KINDS},
            **{name: _number(row.get(name)) for name in columns},
        }
        for name, value in values.items():
            if value is not None:
                table[place, names[name]] = value
    return table


def _item_rows(store: Store, item_ids: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, object]]:
    there = set(store.items.schema.names)  # a snapshot may be older than a column
    wanted = ["item_id", "kind", "created_at", *(name for name in columns if name in there)]
    parts = store.rows_by_id(store.items, item_ids, columns=wanted)
    return {row["item_id"]: row for part in parts for row in part.to_pylist()}


def _part_scores(store: Store, vector: Vector, item_ids: Sequence[str]) -> Mapping[str, dict[str, float]]:
    """The largest cosine of each part's views to the query, by item."""
    if not item_ids:
        return {}
    columns = ["item_id", "part", "vector"]
    views = pa.concat_tables(store.rows_by_id(store.views, item_ids, columns=columns))
    cosines = pc.list_flatten(views["vector"]).to_numpy().reshape(views.num_rows, store.spec.dim) @ vector
    found: dict[str, dict[str, float]] = {}
    for row, cosine in zip(views.select(["item_id", "part"]).to_pylist(), cosines, strict=True):
        best = found.setdefault(row["item_id"], {})
        best[row["part"]] = max(float(cosine), best.get(row["part"], -1.0))
    return {item_id: {part: best[part] for part in PARTS if part in best} for item_id, best in found.items()}


def _age(created: object, day: date) -> float | None:
    if not isinstance(created, datetime):
        return None
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) - created).total_seconds() / 86_400


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
