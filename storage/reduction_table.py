"""The matrix that reduces the vectors of a database, in a side table of one row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from firstsight.errors import StoreError
from firstsight.storage.side_tables import TableLocation, open_side_table, upsert

TABLE = "vector_reduction"

_KEY = "vector"  # the reduced column
_FIELDS: list[pa.Field[Any]] = [
    pa.field("column", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("method", pa.string(), nullable=False),
    pa.field("base_fingerprint", pa.string(), nullable=False),  # of the encoder with whole vectors
    pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder behind the matrix
    pa.field("matrix", pa.large_binary(), nullable=False),  # safetensors
    pa.field(
        "figures", pa.string(), nullable=False
    ),  # JSON: dimensions, recall and the vectors that it was measured on
]


def write_reduction(location: TableLocation, row: Mapping[str, Any], figures: Mapping[str, float]) -> None:
    """Store the matrix before the tables of its database are created.

    Args:
        location: the database, which may not exist yet.
        row: method, fingerprints and matrix.
        figures: numbers for `status`.

    Raises:
        StoreError: the database cannot be written.
    """
    rows = [{"column": _KEY, **row, "figures": json.dumps(dict(figures))}]
    upsert(location, TABLE, pa.schema(_FIELDS), "column", rows)


def read_reduction_row(location: TableLocation) -> dict[str, Any] | None:
    """Read the stored row; None without one."""
    table = open_side_table(location, TABLE)
    rows = [] if table is None else table.search().limit(1).to_arrow().to_pylist()
    return rows[0] if rows else None


def has_reduction(location: TableLocation) -> bool:
    """Whether a vector set of the database has fewer dimensions than its encoder."""
    return open_side_table(location, TABLE) is not None


def describe_reduction(location: TableLocation, fingerprint: str) -> dict[str, Any] | None:
    """Method, dimensions and recall of the matrix behind the vectors of a database; None for whole vectors.

    Args:
        location: the database.
        fingerprint: of the encoder that the database is bound to.

    Raises:
        StoreError: the row is damaged.
    """
    row = read_reduction_row(location)
    if row is None or row["fingerprint"] != fingerprint:
        return None
    try:
        return {"method": row["method"], **json.loads(row["figures"])}
    except (ValueError, TypeError):
        raise StoreError(f"the figures of {TABLE} in {location.uri} are damaged; restore it from a copy") from None
