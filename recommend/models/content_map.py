"""A map of content vectors that was learned from events: items that people take together move closer to each other.

The map is a linear residual of low rank, x + x A B, and the result is scaled to length 1. Applying it needs NumPy only.
`content_map_fit` learns it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from firstsight.encoders.base import Vectors
from firstsight.storage.side_tables import TableLocation, open_side_table, upsert

TABLE = "cold_start_maps"

_FIELDS: list[pa.Field[Any]] = [
    pa.field("version", pa.int64(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("content_map", pa.large_binary(), nullable=False),  # safetensors
]

MAX_WIDTH = 1_024
"""Largest rank of a stored map."""

_HEADER_BYTES = 4_096  # of a safetensors file with two tensors, generously
_ROWS = 20_000


@dataclass(frozen=True)
class ContentMap:
    """A learned map of content vectors.

    Attributes:
        inner: (d, width) float32, A.
        outer: (width, d) float32, B.
    """

    inner: NDArray[np.float32]
    outer: NDArray[np.float32]

    def apply(self, content: Vectors) -> Vectors:
        """Map content vectors: (n, d) float32 unit rows; rows of zeros stay zeros.

        Args:
            content: (n, d) unit rows or zeros.
        """
        mapped = np.empty_like(content, dtype=np.float32)
        for start in range(0, len(content), _ROWS):
            rows = content[start : start + _ROWS]
            moved = rows + (rows @ self.inner) @ self.outer
            norms = np.linalg.norm(moved, axis=1, keepdims=True)
            mapped[start : start + _ROWS] = moved / np.maximum(norms, 1e-8)
        return mapped

    def to_bytes(self) -> bytes:
        """The map as the bytes of a safetensors file."""
        return save({"inner": np.ascontiguousarray(self.inner), "outer": np.ascontiguousarray(self.outer)})

    @classmethod
    def from_bytes(cls, data: bytes, dim: int) -> ContentMap:
        """Read what `to_bytes` wrote; nothing is parsed that is larger than a map can be.

        Args:
            data: bytes of a safetensors file.
            dim: number of dimensions of the content that the map is for.

        Raises:
            ValueError: the bytes are damaged or too many, sizes do not fit, or a number is not finite.
        """
        if len(data) > _HEADER_BYTES + 2 * 4 * dim * MAX_WIDTH:
            raise ValueError(f"a content map of {len(data):,} bytes is too large for {dim} dimensions")
        try:
            tensors = load(data)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"the content map is no safetensors file: {error}") from None
        inner, outer = tensors.get("inner"), tensors.get("outer")
        if inner is None or outer is None or len(tensors) != 2:
            raise ValueError("the content map lacks a matrix or has an unknown one")
        if inner.dtype != np.float32 or outer.dtype != np.float32:
            raise ValueError(f"the content map has numbers of {inner.dtype} and {outer.dtype}, not of float32")
        if inner.ndim != 2 or len(inner) != dim or outer.shape != inner.shape[::-1]:
            raise ValueError(f"the content map has shapes {inner.shape} and {outer.shape} for {dim} dimensions")
        if not (np.isfinite(inner).all() and np.isfinite(outer).all()):
            raise ValueError("a number of the content map is not finite")
        return cls(inner, outer)


def write_content_map(store: TableLocation, version: int, content_map: ContentMap) -> None:
    """Store the map of a cold-start model; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    upsert(store, TABLE, pa.schema(_FIELDS), "version", [{"version": version, "content_map": content_map.to_bytes()}])


def read_content_map(store: TableLocation, version: int, dim: int) -> ContentMap:
    """Read the map of a cold-start model.

    Args:
        store: the database.
        version: of the model.
        dim: number of dimensions of the content.

    Raises:
        ValueError: there is none, or it is damaged.
    """
    table = open_side_table(store, TABLE)
    rows = [] if table is None else table.search().where(f"version = {version:d}").limit(1).to_arrow().to_pylist()
    if not rows:
        raise ValueError("it lacks its content map")
    return ContentMap.from_bytes(bytes(rows[0]["content_map"]), dim)
