"""Read what a ranking needs of the items that it has found: vectors, groups, penalties, and whether a filter passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, overload

import numpy as np
import pyarrow.compute as pc

from firstsight.encoders.base import Vector, Vectors
from firstsight.retrieval.query import PartChoice
from firstsight.retrieval.ranking.collapse import DUPLICATES, CollapseRule
from firstsight.retrieval.ranking.part_choice import has_frames
from firstsight.retrieval.ranking.query_encoding import EncodedQuery
from firstsight.retrieval.ranking.readings import Reading, first_read
from firstsight.storage.sql.conditions import is_in
from firstsight.storage.store import Store
from firstsight.storage.tables import PICTURE_PARTS

SELECTIVE_ITEMS = 1_000
"""Maximum number of items for which a filter is passed to the view search as a list of ids."""


FRAME_PARTS: Final[frozenset[PartChoice]] = frozenset({"frame", "any", "moment", "clip"})
"""Parts with which frames are compared one by one, so that a single frame can be the reason for a penalty."""


@dataclass(frozen=True, kw_only=True)
class ItemReader:
    """Reads rows of the items of one query."""

    store: Store
    encoded: EncodedQuery
    part: PartChoice  # what the query is compared with
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
        # items are read with the condition, except for hidden ids
        passing = set(new) - (self.hidden_ids or set()) if reading.table == "items" else self.passing(new)
        allowed.update((item_id, item_id in passing) for item_id in new)
        return {item_id: cosine for item_id, cosine in best.items() if allowed[item_id]}

    def passing(self, item_ids: Sequence[str]) -> set[str]:
        """The items of these that pass the filter."""
        return {str(row["item_id"]) for row in self._rows(item_ids, self.with_group("item_id"), self.condition)}

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

    def penalties(self, item_ids: Sequence[str], join: Callable[[float, float], float] = max) -> dict[str, float]:
        """Penalty of each item for the query's `minus` terms, 0 to `minus_weight`; only items that have one.

        It follows from the largest cosine to a term: of the fused vector, and where frames are compared, of a frame.

        Args:
            item_ids: the items.
            join: gives one cosine for those of a fused vector and of the best frame to a term.
        """
        minus = self.encoded.minus
        if not len(minus) or not item_ids:
            return {}
        ids, vectors = self.vectors(item_ids)
        cosines = dict(zip(ids, vectors @ minus.T, strict=True))
        largest = {item_id: float(of_item.max()) for item_id, of_item in cosines.items()}
        if self.part in FRAME_PARTS and has_frames(self.store):
            for item_id, frames in self.picture_vectors(ids, frames_only=True).items():
                by_frame = (frames @ minus.T).max(axis=0)
                largest[item_id] = max(map(join, cosines[item_id].tolist(), by_frame.tolist()))
        weight = self.encoded.query.minus_weight
        return {item_id: weight * min(cosine, 1.0) for item_id, cosine in largest.items() if cosine > 0}

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
