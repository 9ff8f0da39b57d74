"""Databases with many rows, written directly into the tables with generated vectors."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from firstsight.encoders.base import EncoderSpec, Vector, Vectors
from firstsight.storage.indexes import upkeep, vector_index
from firstsight.storage.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def clustered_vectors(rows: int, dim: int, seed: int = 0, *, clusters: int = 500) -> Vectors:
    """Unit vectors around centres that are equal for all seeds; recall on vectors without clusters means little."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(dim).normal(size=(clusters, dim))
    vectors = centres[rng.integers(0, clusters, rows)] + 0.5 * rng.normal(size=(rows, dim))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def index_small_tables(patch: pytest.MonkeyPatch, rows: int) -> None:
    """Let tables of `rows` rows have indexes, with a tail in the usual proportion; the real minimum is 50,000."""
    patch.setattr(vector_index, "MIN_ROWS", rows)
    patch.setattr(upkeep, "IDS_MIN_ROWS", rows)
    patch.setattr(upkeep, "TAIL_ROWS", rows // 5)


def make_store(path: Path, *, dim: int) -> Store:
    """Create an empty database with the catalogue column `price`."""
    store = Store.create(path, EncoderSpec("colours", dim, 32, "c0105"))
    store.add_columns({"price": "number"})
    return store


def item_row(item_id: str, vector: Vector | None, price: float = 1.0) -> dict[str, Any]:
    """Make a row for `Store.write_items`."""
    return {
        "item_id": item_id,
        "kind": "product",
        "title": f"title of {item_id}",
        "vector": vector,
        "digest": "d",
        "row_digest": "r",
        "catalog_dir": "",
        "indexed_at": NOW,
        "run_id": "run",
        "price": price,
    }


def add_items(store: Store, vectors: Vectors, start: int = 0) -> None:
    """Add items `item-N` with price N, with N from `start`, in one commit."""
    numbers = range(start, start + len(vectors))
    columns: dict[str, Any] = {
        "item_id": pa.array([f"item-{n}" for n in numbers]),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
        "price": pa.array([float(n) for n in numbers]),
    }
    template = item_row("", None)
    arrays = [
        columns.get(field.name, pa.array([template.get(field.name)] * len(vectors), field.type))
        for field in store.items.schema
    ]
    store.items.add(pa.Table.from_arrays(arrays, schema=store.items.schema))
