"""Semantic IDs in the database: codebooks by version, and the codes of items under each version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstsight.errors import QueryError, StoreError
from firstsight.recommend.semantic_ids.codebooks import Codebooks
from firstsight.recommend.semantic_ids.codes import Codes
from firstsight.records import Record
from firstsight.storage.semantic_id_table import (
    CODEBOOKS_SCHEMA,
    CODEBOOKS_TABLE,
    CODES_TABLE,
    newest_version,
)
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.store import Store

_ROWS_PER_READ = 20_000
ARRAYS = ("means", "axes", "centroids")
"""Columns with the flat arrays of a codebook."""


@dataclass(frozen=True)
class SemanticIdVersion(Record):
    """One fit of the codebooks, with counts of its IDs.

    Attributes:
        version: 1 and up; the newest is in use.
        fitted_at: UTC.
        levels, codes: number of levels, and of centroids of each.
        errors: mean squared length of the residuals after each level; 1 means that nothing is explained.
        unique: share of the fitted items whose codes no other item had, without copy numbers.
        assigned: items with an ID of this version; deleted items count, so that no ID is given out twice.
        waiting: items of the database with a vector and without an ID.
        most_copies: maximum number of items with equal codes.
    """

    version: int
    fitted_at: datetime
    levels: int
    codes: int
    errors: tuple[float, ...]
    unique: float
    assigned: int
    waiting: int
    most_copies: int


@dataclass(frozen=True)
class AssignedIds(Record):
    """Semantic IDs that one call gave to items."""

    new: int  # number of items that got an ID
    version: SemanticIdVersion  # the version in use, with its counts afterwards


def load_codebooks(store: Store, version: int | None = None) -> tuple[int, Codebooks] | None:
    """Load codebooks and their version, the newest by default; None if no codebooks were ever fitted.

    Raises:
        QueryError: there is no such version.
        StoreError: the codebooks belong to another encoder than the database.
    """
    row = read_codebook_row(store, version)
    return None if row is None else (int(row["version"]), parse_codebooks(row))


def read_codes(store: Store, version: int) -> tuple[NDArray[np.object_], Codes, NDArray[np.int32]]:
    """Read the codes of every item with an ID of a version: ids (n,), codes (n, levels), copies (n,)."""
    table = open_side_table(store, CODES_TABLE)
    if table is None:
        return np.empty(0, dtype=object), np.zeros((0, 1), np.int32), np.zeros(0, np.int32)
    rows = table.search().where(f"version = {version}").select(["item_id", "codes", "copy"]).limit(None).to_arrow()
    flat = pc.list_flatten(rows["codes"]).to_numpy()
    codes = flat.reshape(rows.num_rows, -1) if rows.num_rows else np.zeros((0, 1))
    return (
        rows["item_id"].to_numpy(),
        np.asarray(codes, dtype=np.int32),
        np.asarray(rows["copy"].to_numpy(), dtype=np.int32),
    )


def semantic_id_versions(store: Store) -> list[SemanticIdVersion]:
    """List every fit with its counts, oldest first."""
    table = open_side_table(store, CODEBOOKS_TABLE)
    if table is None:
        return []
    columns = [name for name in CODEBOOKS_SCHEMA.names if name not in ARRAYS]
    rows = table.search().select(columns).limit(None).to_arrow().to_pylist()
    return [describe_version(store, row) for row in sorted(rows, key=lambda row: int(row["version"]))]


def read_codebook_row(store: Store, version: int | None) -> dict[str, Any] | None:
    """Read the row of a version, the newest by default; None if no codebooks were ever fitted.

    Raises:
        QueryError: there is no such version.
        StoreError: the codebooks belong to another encoder than the database.
    """
    number = newest_version(store) if version is None else version
    table = open_side_table(store, CODEBOOKS_TABLE)
    if table is None or number is None:
        if version is None:
            return None
        raise not_fitted_error(store)
    rows = table.search().where(f"version = {number}").limit(None).to_arrow()
    if not rows.num_rows:
        raise QueryError(
            f"there is no version {number} of semantic IDs in {store.uri}; list them: firstsight semantic-ids list"
        )
    row: dict[str, Any] = {name: rows[name][0].as_py() for name in rows.schema.names if name not in ARRAYS}
    if row["fingerprint"] != store.spec.fingerprint:
        raise StoreError(
            f"the semantic IDs of {store.uri} belong to another encoder than its vectors; fit again: "
            "firstsight semantic-ids fit"
        )
    return row | {name: rows[name].chunk(0)[0].values.to_numpy() for name in ARRAYS}


def parse_codebooks(row: dict[str, Any]) -> Codebooks:
    """Make codebooks from a row of their table."""
    levels, codes, dim, width = (int(row[name]) for name in ("levels", "codes", "dim", "width"))
    shapes = {
        "means": (levels, codes, dim),
        "axes": (levels - 1, dim, width),
        "centroids": (levels - 1, codes, width),
    }
    arrays = {name: np.asarray(row[name], dtype=np.float32).reshape(shapes[name]) for name in ARRAYS}
    return Codebooks(**arrays, errors=tuple(json.loads(row["figures"])["errors"]))


def describe_version(store: Store, row: dict[str, Any]) -> SemanticIdVersion:
    """Describe the version of a row, and count its IDs and the items without one."""
    item_ids, _, copies = read_codes(store, int(row["version"]))
    assigned = set(item_ids.tolist())
    waiting = sum(item_id not in assigned for batch_ids, _ in read_encoded_items(store, []) for item_id in batch_ids)
    figures = json.loads(row["figures"])
    return SemanticIdVersion(
        version=int(row["version"]),
        fitted_at=row["fitted_at"],
        levels=int(row["levels"]),
        codes=int(row["codes"]),
        errors=tuple(figures["errors"]),
        unique=float(figures["unique"]),
        assigned=len(item_ids),
        waiting=waiting,
        most_copies=int(copies.max(initial=-1)) + 1,
    )


def read_encoded_items(store: Store, columns: list[str]) -> Iterator[tuple[list[str], pa.RecordBatch]]:
    """Read the items with a vector in batches: their ids, and these columns."""
    search = store.items.search().where("vector IS NOT NULL").select(["item_id", *columns])
    for batch in search.limit(None).to_batches(_ROWS_PER_READ):
        if batch.num_rows:
            yield [str(item_id) for item_id in batch["item_id"].to_pylist()], batch


def not_fitted_error(store: Store) -> QueryError:
    """The error for a database without semantic IDs."""
    return QueryError(f"{store.uri} has no semantic IDs yet; run first: firstsight semantic-ids fit")
