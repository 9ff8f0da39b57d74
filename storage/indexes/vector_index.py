"""The vector index of a table: build it, and search with it.

Tables below `MIN_ROWS` rows are searched exactly. Larger tables have an IVF index with RaBitQ codes (Gao and Long,
SIGMOD 2024); the best candidates are compared again by their full vectors. The search effort is the number of
partitions that a query probes and the number of candidates that it compares again. It is measured, not guessed: after
each build, `index_recall.tune` raises it until the recall against exact search reaches `TARGET_RECALL`. The metadata of
the vector column holds the chosen effort for all readers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import pyarrow as pa
from lancedb.index import IvfRq, IvfSq
from lancedb.table import Table

from firstsight.records import Record
from firstsight.storage.store import Store
from firstsight.storage.vector_format import vectors_of_column as vectors_of_column
from firstsight.vectors import Vectors

if TYPE_CHECKING:
    from lancedb.query import LanceVectorQueryBuilder

COLUMN = "vector"
NAME = "vector_idx"

MIN_ROWS = 50_000
"""Minimum rows of a table with a vector index; below it exact search is as fast."""

ROWS_PER_PARTITION = 4_096
"""LanceDB's default; smaller partitions had a lower recall in measurements."""

TARGET_RECALL = 0.95
"""Minimum share of the true ten nearest rows that a search finds."""

WIDE_K = 1_000
"""Results per query above which a search probes all partitions: the nearest few hold too few rows."""

_METADATA = "firstsight:vector_index"

_INITIAL_EFFORT = (0.32, 10)


@dataclass(frozen=True)
class IndexTuning(Record):
    """Search effort of a table's vector index."""

    rows: int  # rows of the table at the build
    partitions: int
    nprobes: int  # partitions that each query probes
    refine: int  # candidates compared by their full vectors, per result
    recall: float | None = None  # recall@10 against exact search; None if a kill came before the measurement

    @property
    def reaches_target(self) -> bool:
        """Whether the measured recall is at least `TARGET_RECALL`."""
        return self.recall is not None and self.recall >= TARGET_RECALL


# ---- searching


def nearest_rows(
    store: Store,
    table: Literal["items", "views"],
    vectors: Vectors,
    *,
    k: int,
    condition: str | None,
    columns: Sequence[str],
) -> list[list[dict[str, Any]]]:
    """Find the rows nearest to each vector by cosine, through the index if the table has one, else exactly.

    Rows newer than the index are compared one by one, so searches find them too.

    Args:
        vectors: (n, dim) float32, unit rows; all go to LanceDB in one call.
        k: maximum number of rows per vector, at least 1.
        condition: SQL condition on the rows, applied before the search: k matching rows give k results. None for all
            rows.
        columns: columns to read.

    Returns:
        One list of rows per vector, nearest first. Each row has the columns and `_distance`: 1 minus the cosine.

    Raises:
        ValueError, RuntimeError, OSError: LanceDB cannot evaluate the condition.
    """
    if not len(vectors):
        return []
    handle = store.items if table == "items" else store.views
    return _rows_by_query(
        build_query(handle, vectors, k, condition, columns, stored_tuning(handle)).to_arrow(), len(vectors)
    )


def build_query(
    handle: Table, vectors: Vectors, k: int, condition: str | None, columns: Sequence[str], tuning: IndexTuning | None
) -> LanceVectorQueryBuilder:
    """Build a search with the effort of `tuning`; None for exact search. Arguments as for `nearest_rows`."""
    searched = vectors[0] if len(vectors) == 1 else list(vectors)
    query = cast("LanceVectorQueryBuilder", handle.search(searched, vector_column_name=COLUMN))
    query = query.distance_type("cosine").limit(k).select([*columns, "_distance"])
    if condition is not None:
        query = query.where(condition, prefilter=True)
    if tuning is None:
        return query
    if condition is None and k <= WIDE_K:
        query = query.nprobes(tuning.nprobes)
    else:
        # rows that pass a filter may be in any partition; 0 probes them all, and evaluating the filter takes longer
        query = query.minimum_nprobes(tuning.nprobes).maximum_nprobes(0)
    return query.refine_factor(tuning.refine)


def _rows_by_query(results: pa.Table, queries: int) -> list[list[dict[str, Any]]]:
    rows: list[list[dict[str, Any]]] = [[] for _ in range(queries)]
    for row in results.to_pylist():
        row["_distance"] = max(row["_distance"], 0.0)  # rounding gives -1e-7 for a float16 vector itself
        rows[row.pop("query_index", 0)].append(row)
    for of_query in rows:
        of_query.sort(key=lambda row: row["_distance"])
    return rows


# ---- the effort, as readers find it


def stored_tuning(handle: Table) -> IndexTuning | None:
    """Read the search effort of a table's index from its metadata; None if the table has no index."""
    raw = (handle.schema.field(COLUMN).metadata or {}).get(_METADATA.encode())
    return None if raw is None else IndexTuning(**json.loads(raw))


def store_tuning(handle: Table, tuning: IndexTuning, column: str = COLUMN) -> None:
    """Store the search effort for all readers, in one small commit."""
    handle.update_field_metadata({"path": column, "metadata": {_METADATA: json.dumps(asdict(tuning))}})


# ---- building


def build_index(handle: Table, column: str = COLUMN, name: str = NAME) -> IndexTuning:
    """Build or replace the index of a column of vectors; readers use the old one until the build ends.

    Returns:
        The initial search effort, without a measured recall.
    """
    rows = handle.count_rows()
    partitions = max(1, rows // ROWS_PER_PARTITION)
    tuning = IndexTuning(rows, partitions, *search_effort(partitions, *_INITIAL_EFFORT))
    # the effort before the index: after a kill in between, the missing recall marks the index for another build
    store_tuning(handle, tuning, column)
    dim = handle.schema.field(column).type.list_size
    # RaBitQ needs dimensions that are multiples of eight
    config = (IvfRq if dim % 8 == 0 else IvfSq)(distance_type="cosine", num_partitions=partitions)
    handle.create_index(column, config=config, replace=True, name=name)
    return tuning


def search_effort(partitions: int, share: float, refine: int) -> tuple[int, int]:
    """Number of probed partitions, and candidates per result, for a share of the partitions."""
    return max(1, math.ceil(share * partitions)), refine
