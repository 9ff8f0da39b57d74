"""Sample of a catalogue's views: heads are centred on it, and review budgets are measured on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.heads.array_types import Floats, Indices
from firstsight.storage.store import Store
from firstsight.storage.tables import HEAD_PARTS
from firstsight.storage.vector_format import vectors_of_column

SAMPLED_ITEMS = 5_000


@dataclass(frozen=True)
class ViewSample:
    """Views of sampled items."""

    vectors: Vectors  # (n, dim)
    parts: NDArray[np.int8]  # (n,) places in `HEAD_PARTS`
    items: Indices  # (n,) place of the view's item among the sampled items

    @classmethod
    def sample(cls, store: Store, items: int = SAMPLED_ITEMS) -> ViewSample:
        """Draw items and read their views; the same state of a database gives the same items.

        Args:
            store: the database.
            items: number of items to draw; all items if the database has fewer.
        """
        rows = store.items.count_rows()
        draw = np.random.default_rng(0).choice(rows, size=min(rows, items), replace=False)
        drawn = store.items.take_offsets(sorted(int(n) for n in draw)).select(["item_id"]).to_arrow()
        views = store.view_rows(texts(drawn["item_id"])).sort_by("view_id")
        views = views.filter(pc.is_in(views["part"], pa.array(HEAD_PARTS)))
        codes = views["item_id"].combine_chunks().dictionary_encode()
        return cls(matrix(views["vector"], store.spec.dim), part_indices(views["part"]), codes.indices.to_numpy())

    def mean(self, part: str) -> Vectors:
        """Return the (dim,) mean vector of a part, not of unit length; of all views if the part has none."""
        of_part = self.vectors[self.parts == HEAD_PARTS.index(part)]
        vectors = of_part if len(of_part) else self.vectors
        return np.asarray(vectors.mean(axis=0) if len(vectors) else np.zeros(self.vectors.shape[1]), dtype=np.float32)

    def item_maxima(self, values: Floats) -> Floats:
        """Return the highest value of each item's views.

        Args:
            values: (n,) one value for each view; NaN is ignored.

        Returns:
            One value for each item; items with only NaN are left out.
        """
        highest = np.full(int(self.items.max(initial=-1)) + 1, -np.inf)
        known = ~np.isnan(values)
        np.maximum.at(highest, self.items[known], values[known])
        finite: Floats = highest[np.isfinite(highest)]
        return finite


def texts(column: Any) -> list[str]:
    """Return the texts of an Arrow column without nulls."""
    values: list[str] = column.to_pylist()
    return values


def matrix(column: Any, dim: int) -> Vectors:
    """Return an Arrow column of vectors as (n, dim) float32."""
    return vectors_of_column(column).reshape(-1, dim)


def part_indices(column: Any) -> NDArray[np.int8]:
    """Return an Arrow column of parts as (n,) places in `HEAD_PARTS`; -1 for other values."""
    places = np.full(len(column), -1, dtype=np.int8)
    for place, part in enumerate(HEAD_PARTS):
        places[pc.equal(column, pa.scalar(part)).to_numpy(zero_copy_only=False)] = place
    return places


def budget_cut(scores: Floats, share: float) -> float:
    """Return the lowest cut that at most a share of the items reaches.

    Args:
        scores: (n,) one score for each item.
        share: 0 to 1.

    Returns:
        A score; 0 without items.
    """
    if not len(scores):
        return 0.0
    ordered = np.sort(scores)[::-1]
    allowed = int(share * len(ordered))
    return float(np.nextafter(ordered[allowed], np.inf)) if allowed < len(ordered) else 0.0
