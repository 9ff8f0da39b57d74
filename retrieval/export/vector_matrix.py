"""Vectors of a database as one matrix."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from firstsight.retrieval.export.row_stream import VECTOR, RowSelection, RowStream, check_selection
from firstsight.storage.indexes.vector_index import vectors_of_column
from firstsight.storage.store import Store
from firstsight.storage.tables import KEYS
from firstsight.vectors import Vectors

_DIMENSIONS_PER_STEP: Final = 16  # sorted at once: their copy is small, and 64 bytes fill a cache line


class VectorMatrix(NamedTuple):
    """Ids with their vectors: `ids, matrix = db.vectors()`."""

    ids: tuple[str, ...]  # of items or views, sorted
    matrix: Vectors  # (len(ids), dim) float32, unit rows


def read_vectors(store: Store, selection: RowSelection) -> VectorMatrix:
    """Read the vectors of the selected rows into one matrix, sorted by id.

    Args:
        store: the database.
        selection: the rows; its `columns` and `vectors` are ignored. Items without a vector are left out.

    Raises:
        QueryError: the table or a part is unknown, or the filter is wrong.
        StoreError: the tables cannot be read.
    """
    check_selection(selection)
    key = KEYS[selection.of]
    stream = RowStream(store, replace(selection, columns=[key], vectors=True))
    expected = stream.expected_rows()
    matrix = np.empty((stream.count_rows() if expected is None else expected, store.spec.dim), dtype=np.float32)
    ids: list[pa.Array[Any]] = []
    rows = 0
    for batch in stream.batches():
        batch = batch.filter(pc.is_valid(batch[VECTOR]))
        matrix[rows : rows + len(batch)] = vectors_of_column(batch[VECTOR])
        ids.append(batch[key])
        rows += len(batch)
    joined = pa.chunked_array(ids, pa.string())
    order = pc.sort_indices(joined).to_numpy()
    matrix = matrix[:rows]
    if not np.array_equal(order, np.arange(rows)):
        for start in range(0, store.spec.dim, _DIMENSIONS_PER_STEP):  # a sorted copy would double the memory
            columns = matrix[:, start : start + _DIMENSIONS_PER_STEP]
            columns[:] = columns[order]
    sorted_ids: list[Any] = joined.take(pa.array(order)).to_pylist()
    return VectorMatrix(tuple(sorted_ids), matrix)
