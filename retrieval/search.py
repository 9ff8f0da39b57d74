"""Similarity search: a text, a picture, a video or an item in, the nearest items out.

Items are ranked by the cosine of their fused vector to the query. For the items found, their views are
compared with the query, too, and the nearest one is named as the evidence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.indexer.assembly import Vector
from firstsight.indexer.catalog import KINDS, ItemKind
from firstsight.indexer.store import Store, quote
from firstsight.indexer.tables import HIDDEN_COLUMNS
from firstsight.retrieval.results import SearchResult, ViewMatch, locate

MAX_RESULTS = 10_000
"""Most results one query may ask for."""


def check_query(store: Store, *, k: int, where: str | None, kinds: Sequence[str]) -> str | None:
    """Check all of a query but its vector, before an encoder is loaded for it.

    Args:
        where: an SQL condition over the columns of `items`.
        kinds: "product", "video", "live"; none means all of them.

    Returns:
        The condition that LanceDB filters with, or None.

    Raises:
        QueryError: an empty database, a k out of range, an unknown kind, or a condition that does not
            parse or names a column that is not there.
    """
    if not 1 <= k <= MAX_RESULTS:
        raise QueryError(f"k must be between 1 and {MAX_RESULTS}, not {k}")
    for kind in kinds:
        if kind not in KINDS:
            raise QueryError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    if not store.items.count_rows():
        raise QueryError(f"{store.uri} has no items yet; index a catalogue first: firstsight index CATALOGUE")
    conditions = []
    if where is not None:
        _check_where(store, where)
        conditions.append(f"({where})")
    if kinds:
        conditions.append(f"kind IN ({', '.join(quote(kind) for kind in kinds)})")
    return " AND ".join(conditions) or None


def item_vector(store: Store, item_id: str) -> Vector:
    """An item's fused vector, (dim,) of unit length.

    Raises:
        QueryError: no such item, or nothing of it could be encoded.
    """
    row = store.item_rows([item_id]).get(item_id)
    if row is None:
        raise QueryError(f"there is no item {item_id!r} in {store.uri}")
    if row["vector"] is None:
        raise QueryError(f"item {item_id!r} has no vector, since nothing of it could be encoded; see: firstsight failures")
    return np.asarray(row["vector"], dtype=np.float32)


def nearest_items(
    store: Store, vector: NDArray[np.float32], *, k: int, condition: str | None, exclude: str | None = None
) -> list[SearchResult]:
    """The k items nearest to a vector, best first, each with its best view.

    Args:
        vector: (dim,) float32, unit length.
        condition: from `check_query`.
        exclude: an item left out: the one that asked.
    """
    conditions = [c for c in (condition, f"item_id != {quote(exclude)}" if exclude is not None else None) if c]
    shown = [name for name in store.items.schema.names if name not in HIDDEN_COLUMNS - {"catalog_dir"}]
    query = store.items.search(vector, vector_column_name="vector").distance_type("cosine").limit(k)
    if conditions:
        query = query.where(" AND ".join(conditions), prefilter=True)
    rows = query.select([*shown, "_distance"]).to_arrow().to_pylist()
    # equal scores keep one order from call to call
    rows.sort(key=lambda row: (row["_distance"], row["item_id"]))
    best = _best_views(store, vector, {row["item_id"]: row["catalog_dir"] for row in rows})
    return [_result(row, best.get(row["item_id"])) for row in rows]


def _result(row: dict[str, Any], view: ViewMatch | None) -> SearchResult:
    columns = {name: value for name, value in row.items() if name not in _HEAD}
    score = 1.0 - row["_distance"]
    return SearchResult(row["item_id"], row["kind"], row["title"], score, view, columns)


_HEAD = {"item_id", "kind", "title", "catalog_dir", "_distance"}


def _best_views(store: Store, vector: NDArray[np.float32], folders: dict[str, str]) -> dict[str, ViewMatch]:
    views = store.view_rows(list(folders))
    if not views.num_rows:
        return {}
    column = views["vector"].combine_chunks()
    scores = column.flatten().to_numpy().reshape(views.num_rows, -1) @ vector
    best: dict[str, ViewMatch] = {}
    rows = views.select(["item_id", "part", "uri", "time_s"]).to_pylist()
    for index in np.argsort(-scores, kind="stable"):
        row = rows[index]
        if row["item_id"] not in best:
            uri = None if row["uri"] is None else locate(row["uri"], folders[row["item_id"]])
            best[row["item_id"]] = ViewMatch(row["part"], uri, row["time_s"], float(scores[index]))
    return best


def _check_where(store: Store, where: str) -> None:
    """Let LanceDB plan the filter, and answer what it does not understand in terms of this database."""
    if not where.strip():
        raise QueryError("the filter is empty; leave --where out, or give a condition such as price < 50")
    plan: Callable[[], str] = store.items.search().where(where).limit(1).explain_plan
    try:
        plan()
    except (ValueError, RuntimeError, OSError) as error:
        raise QueryError(_explain(store, where, str(error))) from None


def _explain(store: Store, where: str, message: str) -> str:
    columns = ", ".join(name for name in store.items.schema.names if name not in HIDDEN_COLUMNS)
    unknown = re.search(r"No field named ([^\s.]+(?:\.[^\s.]+)*)", message)
    if unknown:
        name = unknown.group(1).rstrip(".").strip("`\"")
        return f"the filter {where!r} asks for {name!r}, which is no column; the columns are {columns}"
    reason = re.search(r"(?:sql parser error: |Invalid user input: |Error during planning: )([^\n]*?)(?:\)*, [^ ]*\.rs:|\)?$)", message)
    said = reason.group(1) if reason else message.splitlines()[0]
    return f"the filter {where!r} cannot be read: {said}. The columns are {columns}"
