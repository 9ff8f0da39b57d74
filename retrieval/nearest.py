"""The nearest rows of a table to vectors, compared with every row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
from lancedb.query import LanceVectorQueryBuilder

from firstsight.encoders.base import Vectors
from firstsight.indexer.store import Store


def nearest_rows(
    store: Store,
    table: Literal["items", "views"],
    vectors: Vectors,
    *,
    k: int,
    condition: str | None,
    columns: Sequence[str],
) -> list[list[dict[str, Any]]]:
    """The k rows nearest to each vector, in one call.

    Args:
        vectors: (n, dim) float32, unit rows.
        condition: an SQL condition that rows must meet, applied before the nearest are chosen.
        columns: what each row holds, besides `_distance`.

    Returns:
        A list for each vector: at most k rows, best first, with `_distance`, the cosine distance (0 to 2).

    Raises:
        ValueError, RuntimeError, OSError: from LanceDB, such as for a condition that fails on a row.
    """
    if not len(vectors):
        return []
    handle = store.items if table == "items" else store.views
    query = cast(LanceVectorQueryBuilder, handle.search(list(vectors), vector_column_name="vector"))
    query = query.distance_type("cosine").bypass_vector_index().limit(k)
    if condition is not None:
        query = query.where(condition, prefilter=True)
    found = query.select([*columns, "_distance"]).to_arrow()
    if "query_index" not in found.column_names:  # LanceDB leaves it out for one vector
        return [_best_first(found)]
    return [
        _best_first(found.filter(pc.field("query_index") == n).drop_columns(["query_index"]))
        for n in range(len(vectors))
    ]


def _best_first(found: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = found.sort_by("_distance").to_pylist()
    return rows
