"""The column `sequence_vector` of `items`: vectors in the space of the users of a sequence model, with an index.

Index runs write whole rows. They keep the vector of an item whose content has not changed and empty that of any other;
the next projection fills what is empty. The metadata of the column names the model's version once all rows have it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lancedb.table import Table

from firstsight.storage.indexes import vector_index
from firstsight.storage.store import Store
from firstsight.storage.tables import PROJECTION_COLUMN, vector_type
from firstsight.vectors import Vectors

INDEX_NAME = "sequence_vector_idx"

_METADATA = "firstsight:sequence_version"
_ROWS = 5_000

ProjectRows = Callable[[Sequence[str], Vectors, Sequence[str]], Vectors]
"""Projects items: from ids, vectors (m, dim) and texts to (m, width) float32; rows of zeros for none."""


def projected_version(store: Store) -> int | None:
    """The version of the model whose vectors the column has; None without the column, or while it is written."""
    if PROJECTION_COLUMN not in store.items.schema.names:
        return None
    raw = (store.items.schema.field(PROJECTION_COLUMN).metadata or {}).get(_METADATA.encode(), b"")
    return int(raw) if raw.isdigit() else None


def write_projections(store: Store, version: int, width: int, project: ProjectRows) -> int:
    """Fill the column for a version of the model; the caller holds the writer lock.

    Args:
        store: the database.
        version: of the model; with the version that the column has, only empty rows are written.
        width: numbers in a projected vector.
        project: projects items.

    Returns:
        The number of items that got a vector.

    Raises:
        StoreError: the database cannot be written. The next call goes on.
    """
    items = store.items
    is_complete = projected_version(store) == version
    _prepare_column(store, width, None if is_complete else version)
    empty = f" AND {PROJECTION_COLUMN} IS NULL" if is_complete else ""
    ids = _ids(items, f"vector IS NOT NULL{empty}")
    parts = (ids[start : start + _ROWS] for start in range(0, len(ids), _ROWS))
    written = sum(_write_part(store, part, width, project) for part in parts)
    if not is_complete:
        if items.count_rows() >= vector_index.MIN_ROWS:
            store.maintain(items, partial(vector_index.build_index, column=PROJECTION_COLUMN, name=INDEX_NAME))
        store.maintain(items, partial(_note_version, version=str(version)))
    return written


def _prepare_column(store: Store, width: int, version: int | None) -> None:
    def prepare(items: Table) -> None:
        names = items.schema.names
        if PROJECTION_COLUMN in names and items.schema.field(PROJECTION_COLUMN).type.list_size != width:
            items.drop_columns([PROJECTION_COLUMN])
            names = items.schema.names
        if PROJECTION_COLUMN not in names:
            items.add_columns([pa.field(PROJECTION_COLUMN, vector_type(width))])
        elif version is not None:
            _note_version(items, "")  # a kill leaves vectors of two versions

    store.maintain(store.items, prepare)


def _note_version(items: Table, version: str) -> None:
    items.update_field_metadata({"path": PROJECTION_COLUMN, "metadata": {_METADATA: version}})


def _ids(items: Table, condition: str) -> list[str]:
    search = items.search().where(condition).select(["item_id"]).limit(None)
    return [str(item_id) for item_id in search.to_arrow()["item_id"].to_pylist()]


def _write_part(store: Store, ids: Sequence[str], width: int, project: ProjectRows) -> int:
    parts = list(store.rows_by_id(store.items, ids))
    if not parts:
        return 0
    rows = pa.concat_tables(parts).combine_chunks()
    column: Any = rows["vector"].combine_chunks()
    rows = rows.filter(column.is_valid())
    vectors = vector_index.vectors_of_column(column)
    texts = [
        f"{title or ''} {text or ''}".strip()
        for title, text in zip(rows["title"].to_pylist(), rows["text"].to_pylist(), strict=True)
    ]
    projected = np.ascontiguousarray(project([str(item_id) for item_id in rows["item_id"].to_pylist()], vectors, texts))
    known = np.abs(projected).max(axis=1, initial=0) > 0
    flat = pa.array(projected.reshape(-1), pa.float32())
    array: Any = pa.FixedSizeListArray.from_arrays(flat, width, mask=pa.array(~known))
    index = rows.schema.get_field_index(PROJECTION_COLUMN)
    store.merge_item_rows(rows.set_column(index, rows.schema.field(index), array))
    return int(pc.sum(pa.array(known)).as_py() or 0)
