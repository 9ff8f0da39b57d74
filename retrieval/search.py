"""Similarity search: a text, a picture, a video or an item in, the nearest items out.

Items are ranked by the cosine of their fused vector to the query. For the items found, their views are
compared with the query, too, and the nearest one is named as the evidence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow.compute as pc

from firstsight.encoders.base import Vector
from firstsight.errors import QueryError
from firstsight.indexer.catalog import KINDS
from firstsight.indexer.store import Store, quote
from firstsight.indexer.tables import HIDDEN_COLUMNS
from firstsight.retrieval.results import SearchResult, ViewMatch, locate

if TYPE_CHECKING:
    from lancedb.query import LanceVectorQueryBuilder

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
        raise QueryError(
            f"item {item_id!r} has no vector, since nothing of it could be encoded; see: firstsight failures"
        )
    return np.asarray(row["vector"], dtype=np.float32)


def nearest_items(
    store: Store, vector: Vector, *, k: int, condition: str | None, exclude: str | None = None
) -> list[SearchResult]:
    """The k items nearest to a vector, best first, each with its best view.

    Args:
        vector: (dim,) float32, unit length.
        condition: from `check_query`.
        exclude: an item left out: the one that asked.
    """
    conditions = [c for c in (condition, f"item_id != {quote(exclude)}" if exclude is not None else None) if c]
    shown = [name for name in store.items.schema.names if name not in HIDDEN_COLUMNS - {"catalog_dir"}]
    query = cast("LanceVectorQueryBuilder", store.items.search(vector, vector_column_name="vector"))
    query = query.distance_type("cosine").limit(k)
    if conditions:
        query = query.where(" AND ".join(conditions), prefilter=True)
    try:
        rows = query.select([*shown, "_distance"]).to_arrow().to_pylist()
    except (ValueError, RuntimeError, OSError) as error:
        if condition is None:
            raise
        raise QueryError(_explain(store, condition, str(error))) from None  # such as a CAST that fails on a row
    # equal scores keep one order from call to call
    rows.sort(key=lambda row: (row["_distance"], row["item_id"]))
    matches = _view_matches(store, vector, {row["item_id"]: row["catalog_dir"] for row in rows})
    return [_result(row, matches.get(row["item_id"], [])) for row in rows]


_HEAD = frozenset({"item_id", "kind", "title", "catalog_dir", "_distance"})
"""Columns that a result holds in fields of its own, or not at all."""


def _result(row: dict[str, Any], matches: Sequence[ViewMatch]) -> SearchResult:
    return SearchResult(
        item_id=row["item_id"],
        kind=row["kind"],
        title=row["title"],
        score=1.0 - row["_distance"],
        view=matches[0] if matches else None,
        picture=next((match for match in matches if match.part != "title"), None),
        columns={name: value for name, value in row.items() if name not in _HEAD},
    )


def _view_matches(store: Store, vector: Vector, folders: Mapping[str, str]) -> dict[str, list[ViewMatch]]:
    """The views of items with their cosine to the query, best first, by item."""
    views = store.view_rows(list(folders))
    if not views.num_rows:
        return {}
    vectors = pc.list_flatten(views["vector"]).to_numpy().reshape(views.num_rows, -1)
    scores = vectors @ vector
    rows = views.select(["item_id", "part", "uri", "time_s"]).to_pylist()
    matches: dict[str, list[ViewMatch]] = {}
    for index in np.argsort(-scores, kind="stable"):
        row = rows[index]
        uri = None if row["uri"] is None else locate(row["uri"], folders[row["item_id"]])
        match = ViewMatch(row["part"], uri, row["time_s"], float(scores[index]))
        matches.setdefault(row["item_id"], []).append(match)
    return matches


def _check_where(store: Store, where: str) -> None:
    """Let LanceDB plan the filter, and answer what it does not understand in terms of this database."""
    if not where.strip():
        raise QueryError("the filter is empty; leave --where out, or give a condition such as price < 50")
    _check_stands_alone(where)
    try:
        store.items.search().where(f"({where})").limit(1).explain_plan()
    except (ValueError, RuntimeError, OSError) as error:
        raise QueryError(_explain(store, where, str(error))) from None


def _check_stands_alone(where: str) -> None:
    """Refuse a filter that would reach past the parentheses it is put into and undo the conditions beside it.

    LanceDB's parser reads one condition and ignores what follows, so "a = 1; b" passes there, and so does
    "a = 1) OR (b = 2" in parentheses.
    """
    depth = 0
    for token in _TOKEN.findall(where):
        if token in {";", "--", "/*", "\\'"}:
            raise QueryError(f"the filter {where!r} has {token} in it; give one plain condition such as price < 50")
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth < 0:
            raise QueryError(f"the filter {where!r} closes a parenthesis that it has not opened")


_TOKEN = re.compile(r"\\'|'(?:[^'\\]|''|\\(?!'))*'|\"[^\"]*\"|`[^`]*`|--|/\*|[;()]")
"""Literals and quoted names as one token each, so that what stands in them counts for nothing."""

_NOISE = (
    r"(Invalid (user )?input, |Invalid user input: |Error parsing (statement|function): |Error during planning: )",
    r"SELECT 1 FROM t WHERE .*\(sql parser error: ",
    r"(Error resolving filter expression .*?: |invalid SQL predicate: |sql parser error: )",
    r",? ?\S+\.rs:[\d:]+$",
    r"[ .)]+$",
)
"""What LanceDB's parser says around its reason: its own layers, the statement it builds, places in its source."""


def _explain(store: Store, where: str, message: str) -> str:
    columns = ", ".join(name for name in store.items.schema.names if name not in HIDDEN_COLUMNS)
    unknown = re.search(r"No field named ([^\s.]+(?:\.[^\s.]+)*)", message)
    if unknown:
        name = unknown.group(1).rstrip(".").strip('`"')
        return f"the filter {where!r} asks for {name!r}, which is no column; the columns are {columns}"
    said = message.splitlines()[0]
    for noise in _NOISE:
        said = re.sub(noise, "", said)
    return f"the filter {where!r} cannot be read ({said}); the columns are {columns}"
