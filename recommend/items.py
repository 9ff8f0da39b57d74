"""All items of a database as arrays, the input of recommendation; read once and kept until the table changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.storage.store import Store
from firstsight.storage.vector_format import vectors_of_column

Places = NDArray[np.int64]
"""Row numbers of items in an `ItemSpace`; -1 means no item."""

NEVER = np.iinfo(np.int64).max
"""An end time that never comes, in microseconds since 1970. `-NEVER` as a start time means "always"."""

_ROWS_PER_BATCH = 20_000


@dataclass(frozen=True)
class ItemSpace:
    """The items of a database, sorted by id: the same rows always give the same arrays.

    Attributes:
        item_ids: (n,) ids.
        kinds: (n,) "product", "video", "live".
        vectors: (n, dim) float32, unit rows; zeros if no part of an item could be encoded.
        created: (n,) int64 microseconds since 1970; -NEVER if the catalogue has no such time.
        starts: (n,) int64, the first microsecond at which an item may be shown; -NEVER if it may always be shown.
        expires: (n,) int64, the first microsecond at which an item may not be shown any longer, for a live stream its
            end; NEVER if it does not expire.
        blocked: (n,) bool, whether a safety decision blocks an item.
        min_age: (n,) int64 years, 0 for any age.
        version: version of the table that the items were read from.
    """

    item_ids: NDArray[np.object_]
    kinds: NDArray[np.object_]
    vectors: Vectors
    created: NDArray[np.int64]
    starts: NDArray[np.int64]
    expires: NDArray[np.int64]
    blocked: NDArray[np.bool_]
    min_age: NDArray[np.int64]
    version: int = 0

    @classmethod
    def load(cls, store: Store) -> ItemSpace:
        """Read every item into memory: dim * 4 bytes for each vector and about 200 bytes for the rest.

        Raises:
            QueryError: the database has no items.
        """
        names = ["item_id", "kind", "created_at", "starts_at", "expires_at", "vector"]
        safety = [name for name in ("safety_decision", "safety_min_age") if name in store.items.schema.names]
        rows, dim = store.items.count_rows(), store.spec.dim
        vectors = np.zeros((rows, dim), dtype=np.float32)
        parts: list[pa.RecordBatch] = []
        start = 0
        for batch in store.items.search().select([*names, *safety]).limit(None).to_batches(_ROWS_PER_BATCH):
            if start + batch.num_rows > rows:  # another process wrote between the count and the read
                vectors = np.concatenate([vectors[:start], np.zeros((batch.num_rows, dim), np.float32)])
            column = batch["vector"]
            known = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
            vectors[start + known] = vectors_of_column(column)
            start += batch.num_rows
            parts.append(batch.drop_columns(["vector"]))
        if not parts:
            raise QueryError(f"{store.uri} has no items yet; index a catalogue first: firstsight index CATALOGUE")
        table = pa.Table.from_batches(parts)
        ids = table["item_id"].to_numpy(zero_copy_only=False)
        order = np.argsort(ids)
        decision: Any = table["safety_decision"] if safety else pa.nulls(len(ids), pa.string())
        age: Any = table["safety_min_age"] if len(safety) == 2 else pa.nulls(len(ids), pa.int64())
        return cls(
            item_ids=ids[order],
            kinds=table["kind"].to_numpy(zero_copy_only=False)[order],
            vectors=vectors[:start][order],
            created=_microseconds(table["created_at"], -NEVER)[order],
            starts=_microseconds(table["starts_at"], -NEVER)[order],
            expires=_microseconds(table["expires_at"], NEVER)[order],
            blocked=_filled(pc.equal(decision, pa.scalar("block")), False)[order],
            min_age=_filled(age, 0)[order],
            version=store.items_version,
        )

    @classmethod
    def of(cls, item_ids: Sequence[str], vectors: Vectors, **columns: Any) -> ItemSpace:
        """Make a space from arrays, without a database. The items are sorted; missing columns get their defaults.

        Args:
            item_ids: n distinct ids.
            vectors: (n, dim) float32 unit rows.
            columns: values of other attributes by name, (n,) each.
        """
        n = len(item_ids)
        ids = np.array(item_ids, dtype=object)
        order = np.argsort(ids)
        all_columns: dict[str, Any] = {
            "kinds": np.full(n, "product", dtype=object),
            "created": np.full(n, -NEVER),
            "starts": np.full(n, -NEVER),
            "expires": np.full(n, NEVER),
            "blocked": np.zeros(n, dtype=bool),
            "min_age": np.zeros(n, dtype=np.int64),
            **columns,
        }
        arranged: dict[str, Any] = {name: np.asarray(values)[order] for name, values in all_columns.items()}
        return cls(item_ids=ids[order], vectors=vectors[order], **arranged)

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def _place_of(self) -> Mapping[str, int]:
        return {item_id: n for n, item_id in enumerate(self.item_ids.tolist())}

    def places(self, item_ids: Iterable[str]) -> Places:
        """Find the rows of ids: (m,) int64, -1 for an unknown id."""
        row_of = self._place_of
        return np.array([row_of.get(item_id, -1) for item_id in item_ids], dtype=np.int64)

    def place(self, item_id: str) -> int:
        """Find the row of one id.

        Raises:
            QueryError: no item has this id.
        """
        n = self._place_of.get(item_id)
        if n is None:
            raise QueryError(f"there is no item {item_id!r} in this database; find ids with firstsight search")
        return n

    @cached_property
    def has_vector(self) -> NDArray[np.bool_]:
        """(n,) whether any part of an item could be encoded."""
        return np.asarray(np.abs(self.vectors).max(axis=1) > 0)

    def showable(self, now_us: int, *, age: int | None = None) -> NDArray[np.bool_]:
        """Tell which items may be shown at a moment: started, not expired, not blocked, within the viewer's age.

        Args:
            now_us: microseconds since 1970.
            age: the viewer's age in years. None if unknown: no item with a minimum age is shown.

        Returns:
            (n,) bool.
        """
        return np.asarray(
            (self.starts <= now_us) & (self.expires > now_us) & ~self.blocked & (self.min_age <= (age or 0))
        )

    def subset(self, places: Places) -> ItemSpace:
        """Make a space of some rows only, in ascending order."""
        rows = np.sort(places)
        columns = ("item_ids", "kinds", "vectors", "created", "starts", "expires", "blocked", "min_age")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})


def _microseconds(column: Any, missing: int) -> NDArray[np.int64]:
    return np.asarray(_filled(column.cast(pa.int64()), missing), dtype=np.int64)


def _filled(column: Any, missing: Any) -> NDArray[Any]:
    filled: Any = pc.fill_null(column, missing)
    return np.asarray(filled.to_numpy(zero_copy_only=False))
