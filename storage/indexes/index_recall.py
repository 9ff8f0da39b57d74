"""Recall of a vector index: measured against exact search, and the search effort that reaches a target."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from lancedb.table import Table

from firstsight.storage.indexes.vector_index import (
    COLUMN,
    TARGET_RECALL,
    IndexTuning,
    build_query,
    search_effort,
    vectors_of_column,
)
from firstsight.vectors import Vectors

EFFORTS = (
    *((share, 5) for share in (0.04, 0.08, 0.12, 0.16, 0.2, 0.24, 0.28, 0.32)),
    *((0.32, 10), (0.5, 10), (1.0, 10), (1.0, 20), (1.0, 40), (1.0, 100)),
)
"""Search efforts in the order of trial: share of the partitions probed, candidates compared again per result."""

RECALL_QUERIES = 200
RECALL_K = 10
_SAMPLING_ERROR = 0.01  # of a recall near the target, with `RECALL_QUERIES` queries
_TIE = 1e-5  # distances this close are equal: copies of one picture may replace each other
_SCAN_ROWS = 16_384


def tune(handle: Table, tuning: IndexTuning, *, target: float = TARGET_RECALL, seed: int = 0) -> IndexTuning:
    """Measure recall@10 on stored vectors, and raise the effort until the recall reaches the target.

    Each query is a stored vector; its own row does not count. A result is correct if it is as near as the true tenth.

    Args:
        tuning: with a measured recall, it is measured again first, and kept if it still reaches the target.
        target: recall to reach, 0 to 1.
        seed: of the sample of queries.

    Returns:
        The smallest effort in `EFFORTS` that reaches the target, with its recall; the largest if none does.
    """
    queries = sample_vectors(handle, RECALL_QUERIES, seed)
    if not len(queries):
        return replace(tuning, recall=1.0)
    tenth = exact_distances(handle, queries, RECALL_K + 1)[:, -1]
    threshold = min(target + _SAMPLING_ERROR, 1.0)
    if tuning.recall is not None:
        tuning = replace(tuning, recall=_recall(handle, queries, tenth, tuning))
        if cast("float", tuning.recall) >= target:
            return tuning
    # with few partitions several shares give the same number
    for nprobes, refine in dict.fromkeys(search_effort(tuning.partitions, share, refine) for share, refine in EFFORTS):
        tuning = replace(tuning, nprobes=nprobes, refine=refine)
        tuning = replace(tuning, recall=_recall(handle, queries, tenth, tuning))
        if cast("float", tuning.recall) >= threshold:
            break
    return tuning


def sample_vectors(handle: Table, count: int, seed: int = 0) -> Vectors:
    """Read the vectors of random rows: (n, dim) float32, n at most `count`; rows without a vector are left out."""
    rows = handle.count_rows()
    offsets = np.random.default_rng(seed).choice(rows, size=min(rows, count), replace=False)
    sampled = handle.take_offsets(sorted(offsets.tolist())).select([COLUMN]).to_arrow()
    return vectors_of_column(sampled[COLUMN].combine_chunks())


def exact_distances(handle: Table, queries: Vectors, k: int) -> Vectors:
    """Cosine distances of the k rows nearest to each query, in one pass over the stored vectors.

    LanceDB's exact search makes one pass per query.

    Args:
        queries: (n, dim) float32, unit rows.

    Returns:
        (n, k) float32, ascending; infinite where the table has fewer rows.
    """
    best = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for batch in handle.search().select([COLUMN]).limit(None).to_batches(_SCAN_ROWS):
        block = vectors_of_column(batch[COLUMN])
        if len(block):
            scores = np.concatenate([best, queries @ block.T], axis=1)
            best = np.partition(scores, scores.shape[1] - k, axis=1)[:, -k:]
    return np.sort(1 - best, axis=1)


def _recall(handle: Table, queries: Vectors, tenth: Vectors, tuning: IndexTuning) -> float:
    nearest = build_query(handle, queries, RECALL_K + 1, None, [], tuning).to_arrow()
    distances, query = nearest["_distance"].to_numpy(), nearest["query_index"].to_numpy()
    hits = np.bincount(query[distances <= tenth[query] + _TIE], minlength=len(queries))
    return float(np.mean(np.clip(hits - 1, 0, RECALL_K) / RECALL_K))  # minus one: each query finds its own row
