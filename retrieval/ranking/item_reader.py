"""Read what a ranking needs of the items that it has found: vectors, groups, penalties, and whether a filter passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import pyarrow.compute as pc

from firstsight.encoders.base import Vector, Vectors
from firstsight.retrieval.ranking.collapse import DUPLICATES, CollapseRule
from firstsight.retrieval.ranking.query_encoding import EncodedQuery
from firstsight.retrieval.ranking.readings import Reading, first_read
from firstsight.storage.sql.conditions import is_in
from firstsight.storage.store import Store
from firstsight.storage.tables import PICTURE_PARTS

SELECTIVE_ITEMS = 1_000
"""Maximum number of items for which a filter is passed to the view search as a list of ids."""


@dataclass(frozen=True, kw_only=True)
class ItemReader:
    """Reads rows of the items of one query."""

    store: Store
    encoded: EncodedQuery
    condition: str | None  # from `build_condition`
    hidden_ids: frozenset[str] | None = None  # ids that `condition` excludes, if it excludes nothing else; else None
    collapse: CollapseRule | None = None  # what to keep one result of; None for every item
    groups: dict[str, object] = field(default_factory=dict)  # item id to group, read together with other columns

    def items_reading(self, need: int) -> Reading:
        """Start to read the fused vectors of items."""
        # few hidden ids are removed after reading: a condition is slow even if nearly all rows pass it
        condition = self.condition if self.hidden_ids is None else None
        k = first_read(need + len(set(self.encoded.query.items)))
        return Reading("items", self.encoded.vector, k, condition, self.with_group("item_id"))

    def views_readings(
        self, need: int, condition: str | None, columns: tuple[str, ...], vectors: Sequence[Vector]
    ) -> list[Reading] | None:
        """Start to read views, nearest to each vector; None if no item passes the filter."""
        item_ids = self.ids_of_selective_filter()
        if item_ids is not None:
            if not item_ids:
                return None
            condition = _join_conditions(condition, is_in("item_id", item_ids))
        k = first_read(need) * 2  # an item has several views
        return [Reading("views", vector, k, condition, columns) for vector in vectors]

    def allowed_cosines(self, reading: Reading, allowed: dict[str, bool]) -> dict[str, float]:
        """Highest cosine that was read of each item, for items that the filter allows.

        Args:
            reading: rows of one table.
            allowed: whether the known items are allowed; items of this reading are added.
        """
        best: dict[str, float] = {}
        for row in reading.rows:  # best first
            if row.get("part", "image") in PICTURE_PARTS:
                best.setdefault(str(row["item_id"]), 1.0 - float(row["_distance"]))
        new = [item_id for item_id in best if item_id not in allowed]
        if reading.table == "items":  # read with the condition, except for hidden ids
            passing = set(new) - (self.hidden_ids or set())
        else:
            passing = {str(row["item_id"]) for row in self._rows(new, self.with_group("item_id"), self.condition)}
        allowed.update((item_id, item_id in passing) for item_id in new)
        return {item_id: cosine for item_id, cosine in best.items() if allowed[item_id]}

    def ids_of_selective_filter(self) -> list[str] | None:
        """Ids of the items that pass the filter; None without a filter or if they are more than SELECTIVE_ITEMS.

        The view search needs ids, because the `views` table lacks the columns of `items`.
        """
        if (
            self.condition is None
            or self.hidden_ids is not None
            or self.store.items.count_rows(self.condition) > SELECTIVE_ITEMS
        ):
            return None
        found = self.store.items.search().where(self.condition).select(["item_id"]).limit(None).to_arrow()
        return [str(item_id) for item_id in found["item_id"].to_pylist()]

    def penalties(self, item_ids: Sequence[str]) -> dict[str, float]:
        """Penalty of each item for the query's `minus` terms, 0 to `minus_weight`; only items that have one."""
        minus = self.encoded.minus
        if not len(minus) or not item_ids:
            return {}
        ids, vectors = self.vectors(item_ids)
        largest = (vectors @ minus.T).max(axis=1) if ids else []
        weight = self.encoded.query.minus_weight
        return {i: weight * min(float(cosine), 1.0) for i, cosine in zip(ids, largest, strict=True) if cosine > 0}

    def vectors(self, item_ids: Sequence[str]) -> tuple[list[str], Vector]:
        """Read the fused vectors of items.

        Returns:
            The ids of the items that have a vector, and their vectors, (n, dim), in the same order.
        """
        ids: list[str] = []
        vectors = [np.empty((0, self.store.spec.dim), dtype=np.float32)]
        columns = self.with_group("item_id", "vector")
        for rows in self.store.rows_by_id(self.store.items, item_ids, columns=columns, condition="vector IS NOT NULL"):
            if self.collapse:
                self.note_groups(rows.drop_columns("vector").to_pylist())
            ids += (str(item_id) for item_id in rows["item_id"].to_pylist())
            vectors.append(pc.list_flatten(rows["vector"]).to_numpy().reshape(rows.num_rows, self.store.spec.dim))
        return ids, np.concatenate(vectors)

    def picture_vectors(self, item_ids: Sequence[str], *, frames_only: bool = False) -> dict[str, Vectors]:
        """Read the vectors of the pictures and frames of items, (n, dim) each; only items that have some."""
        parts = ("frame",) if frames_only else PICTURE_PARTS
        columns, condition = ["item_id", "vector"], is_in("part", parts)
        owners: list[str] = []
        vectors = [np.empty((0, self.store.spec.dim), dtype=np.float32)]
        for rows in self.store.rows_by_id(self.store.views, item_ids, columns=columns, condition=condition):
            owners += (str(item_id) for item_id in rows["item_id"].to_pylist())
            vectors.append(pc.list_flatten(rows["vector"]).to_numpy().reshape(rows.num_rows, self.store.spec.dim))
        matrix = np.concatenate(vectors)
        places: dict[str, list[int]] = {}
        for place, owner in enumerate(owners):
            places.setdefault(owner, []).append(place)
        return {item_id: matrix[of_item] for item_id, of_item in places.items()}

    def group_of(self, item_ids: Sequence[str]) -> dict[str, object]:
        """The group of each item: its value of the column of `collapse`; None for no value, or no such item."""
        if unread := [item_id for item_id in item_ids if item_id not in self.groups]:
            self.groups.update(dict.fromkeys(unread))
            list(self._rows(unread, self.with_group("item_id"), None))
        return {item_id: self.groups[item_id] for item_id in item_ids}

    def with_group(self, *columns: str) -> tuple[str, ...]:
        column = self.collapse.column if self.collapse else None
        return columns if column is None or column == DUPLICATES or column in columns else (*columns, column)

    def note_groups(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.collapse and self.collapse.column != DUPLICATES:
            self.groups.update((str(row["item_id"]), row[self.collapse.column]) for row in rows)

    def cosines(self, item_ids: Sequence[str]) -> dict[str, float]:
        """Cosines to the query; 0 for an item without a vector."""
        ids, vectors = self.vectors(item_ids)
        known = dict(zip(ids, (vectors @ self.encoded.vector).tolist(), strict=True)) if ids else {}
        return {item_id: known.get(item_id, 0.0) for item_id in item_ids}

    def _rows(
        self, item_ids: Sequence[str], columns: tuple[str, ...], condition: str | None
    ) -> Iterator[dict[str, Any]]:
        for rows in self.store.rows_by_id(self.store.items, item_ids, columns=columns, condition=condition):
            found = rows.to_pylist()
            self.note_groups(found)
            yield from found


@overload
def _join_conditions(first: str | None, second: str) -> str: ...
@overload
def _join_conditions(first: str | None, second: str | None) -> str | None: ...
def _join_conditions(first: str | None, second: str | None) -> str | None:
    return " AND ".join(condition for condition in (first, second) if condition) or None
