"""The vector index: how it is built, how hard a search looks in it, and the search through it.

Exact search below `MIN_ROWS`; above it IVF with RaBitQ codes (Gao and Long, SIGMOD 2024), whose best candidates are
compared again by their full vectors. How many partitions a query probes and how many candidates are compared again is
not guessed: after each build it is raised along `EFFORTS` until the recall measured against exact search reaches
`TARGET_RECALL`. What was chosen stands in the metadata of the vector column, where every reader finds it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pyarrow as pa
from lancedb.index import IvfRq, IvfSq
from lancedb.table import Table

from firstsight.storage.store import Store
from firstsight.vectors import Vectors

if TYPE_CHECKING:
    from lancedb.query import LanceVectorQueryBuilder

COLUMN = "vector"
NAME = "vector_idx"

MIN_ROWS = 50_000
"""Rows below which a table has no vector index: comparing all of them is as fast."""

ROWS_PER_PARTITION = 4_096
"""LanceDB's own default; more and smaller partitions were measured to lose recall."""

TARGET_RECALL = 0.95
"""Share of the true ten nearest that a search is to find."""

EFFORTS = (
    *((share, 5) for share in (0.04, 0.08, 0.12, 0.16, 0.2, 0.24, 0.28, 0.32)),
    *((0.32, 10), (0.5, 10), (1.0, 10), (1.0, 20), (1.0, 40), (1.0, 100)),
)
"""What is tried in turn: the share of the partitions probed, and candidates compared again per result wanted."""

WIDE_K = 1_000
"""Results per query above which every partition is searched: the nearest few partitions do not hold so many."""

RECALL_QUERIES = 200
RECALL_K = 10
_SAMPLING_ERROR = 0.01  # of a recall near the target, over this many queries
_TIE = 1e-5  # distances this close are the same: copies of one picture may stand in for each other
_SCAN_ROWS = 16_384
_METADATA = "firstsight:vector_index"

_INITIAL_EFFORT = (0.32, 10)


@dataclass(frozen=True)
class Tuning:
    """How a table's vector index is searched."""

    rows: int  # in the table when it was built
    partitions: int
    nprobes: int  # partitions that each query looks into
    refine: int  # candidates compared by their full vectors, per result wanted
    recall: float | None = None  # at 10, against exact search; None where a kill came before the measurement

    @property
    def reaches_target(self) -> bool:
        """Whether the recall measured is what it should be."""
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
    """The rows nearest to each of some vectors by cosine: exact where there is no index, else through the index.

    Rows written since the index was built are found, too: they are compared one by one.

    Args:
        vectors: (n, dim) float32, unit rows; several go to LanceDB in one call.
        k: most rows for each vector, 1 or more.
        condition: an SQL condition that holds for every row found; applied before the search, so that k rows are found
            if there are as many. None for all rows.
        columns: what to read of each row.

    Returns:
        For each vector its rows, best first; each has the columns and `_distance`, 1 less the cosine, 0 to 2.

    Raises:
        ValueError, RuntimeError, OSError: LanceDB's own, for a condition that it cannot evaluate.
    """
    if not len(vectors):
        return []
    handle = store.items if table == "items" else store.views
    return _rows_by_query(
        _query(handle, vectors, k, condition, columns, stored_tuning(handle)).to_arrow(), len(vectors)
    )


def _query(
    handle: Table, vectors: Vectors, k: int, condition: str | None, columns: Sequence[str], tuning: Tuning | None
) -> LanceVectorQueryBuilder:
    asked = vectors[0] if len(vectors) == 1 else list(vectors)
    query = cast("LanceVectorQueryBuilder", handle.search(asked, vector_column_name=COLUMN))
    query = query.distance_type("cosine").limit(k).select([*columns, "_distance"])
    if condition is not None:
        query = query.where(condition, prefilter=True)
    if tuning is None:
        return query
    if condition is None and k <= WIDE_K:
        query = query.nprobes(tuning.nprobes)
    else:
        # What passes a filter may lie in any partition: 0 searches them all. Finding out which rows pass takes longer.
        query = query.minimum_nprobes(tuning.nprobes).maximum_nprobes(0)
    return query.refine_factor(tuning.refine)


def _rows_by_query(found: pa.Table, queries: int) -> list[list[dict[str, Any]]]:
    rows: list[list[dict[str, Any]]] = [[] for _ in range(queries)]
    for row in found.to_pylist():
        rows[row.pop("query_index", 0)].append(row)
    for of_one in rows:
        of_one.sort(key=lambda row: row["_distance"])
    return rows


# ---- what readers know of the index


def stored_tuning(handle: Table) -> Tuning | None:
    """How this table's index is to be searched, or None where it has none; metadata only."""
    raw = (handle.schema.field(COLUMN).metadata or {}).get(_METADATA.encode())
    return None if raw is None else Tuning(**json.loads(raw))


def store_tuning(handle: Table, tuning: Tuning) -> None:
    """Tell all readers how to search; one small commit."""
    handle.update_field_metadata({"path": COLUMN, "metadata": {_METADATA: json.dumps(asdict(tuning))}})


# ---- building and measuring


def build_index(handle: Table) -> Tuning:
    """Build the table's vector index, replacing the one it has; readers keep the old one until it is done.

    Returns:
        The effort to search it with, not measured yet.
    """
    rows = handle.count_rows()
    partitions = max(1, rows // ROWS_PER_PARTITION)
    tuning = Tuning(rows, partitions, *_effort(partitions, *_INITIAL_EFFORT))
    # first the effort, then the index: killed in between, the missing recall tells that it has to be built again
    store_tuning(handle, tuning)
    dim = handle.schema.field(COLUMN).type.list_size
    # RaBitQ takes dimensions that are multiples of eight
    config = (IvfRq if dim % 8 == 0 else IvfSq)(distance_type="cosine", num_partitions=partitions)
    handle.create_index(COLUMN, config=config, replace=True, name=NAME)
    return tuning


def tune(handle: Table, tuning: Tuning, *, target: float = TARGET_RECALL, seed: int = 0) -> Tuning:
    """Measure recall@10 on stored vectors, and raise the effort until it reaches the target or there is no more.

    Each query is a stored vector, and its own row does not count. Found counts whatever is as near as the true tenth.

    Returns:
        The least effort that reaches the target, with its recall; where none does, the most, with the recall that it
        has. An effort above the least one tried is kept as it is while it holds.
    """
    queries = sample_vectors(handle, RECALL_QUERIES, seed)
    if not len(queries):
        return replace(tuning, recall=1.0)
    tenth = exact_distances(handle, queries, RECALL_K + 1)[:, -1]
    wanted = min(target + _SAMPLING_ERROR, 1.0)
    if tuning.recall is not None:
        tuning = replace(tuning, recall=_recall(handle, queries, tenth, tuning))
        if cast("float", tuning.recall) >= target:
            return tuning
    # of few partitions several shares are the same number
    for nprobes, refine in dict.fromkeys(_effort(tuning.partitions, share, refine) for share, refine in EFFORTS):
        tuning = replace(tuning, nprobes=nprobes, refine=refine)
        tuning = replace(tuning, recall=_recall(handle, queries, tenth, tuning))
        if cast("float", tuning.recall) >= wanted:
            break
    return tuning


def sample_vectors(handle: Table, count: int, seed: int = 0) -> Vectors:
    """Stored vectors of random rows, (n, dim) float32, n at most `count`; rows without a vector are left out."""
    rows = handle.count_rows()
    offsets = np.random.default_rng(seed).choice(rows, size=min(rows, count), replace=False)
    found = handle.take_offsets(sorted(offsets.tolist())).select([COLUMN]).to_arrow()
    return vectors_of_column(found[COLUMN].combine_chunks())


def exact_distances(handle: Table, queries: Vectors, k: int) -> Vectors:
    """Cosine distances of the k rows nearest to each query, (n, k) ascending, by one pass over the stored vectors.

    LanceDB's own exact search takes one pass for each query.
    """
    best = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for batch in handle.search().select([COLUMN]).limit(None).to_batches(_SCAN_ROWS):
        block = vectors_of_column(batch[COLUMN])
        if len(block):
            scores = np.concatenate([best, queries @ block.T], axis=1)
            best = np.partition(scores, scores.shape[1] - k, axis=1)[:, -k:]
    return np.sort(1 - best, axis=1)


def _recall(handle: Table, queries: Vectors, tenth: Vectors, tuning: Tuning) -> float:
    found = _query(handle, queries, RECALL_K + 1, None, [], tuning).to_arrow()
    distances, of = found["_distance"].to_numpy(), found["query_index"].to_numpy()
    hits = np.bincount(of[distances <= tenth[of] + _TIE], minlength=len(queries))
    return float(np.mean(np.clip(hits - 1, 0, RECALL_K) / RECALL_K))  # less one: each query finds itself


def _effort(partitions: int, share: float, refine: int) -> tuple[int, int]:
    return max(1, math.ceil(share * partitions)), refine


def vectors_of_column(column: pa.Array[Any]) -> Vectors:
    """Stored vectors, (n, dim) float32; rows without one are left out."""
    vectors = cast("pa.FixedSizeListArray[Any, Any]", column.drop_null())
    return np.asarray(
        vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, vectors.type.list_size), dtype=np.float32
    )
