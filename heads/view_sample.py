"""What a catalogue's views are like: a sample of items, against which heads are centred and budgets are set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.heads.calibration import Floats
from firstsight.safety.policy.policies import PARTS
from firstsight.storage.store import Store

SAMPLED_ITEMS = 5_000


@dataclass(frozen=True)
class ViewSample:
    """Views of sampled items."""

    vectors: Vectors  # (n, dim)
    parts: NDArray[np.int8]  # (n,) places in `PARTS`
    items: NDArray[np.int64]  # (n,) which of the sampled items each view is of

    @classmethod
    def sample(cls, store: Store, items: int = SAMPLED_ITEMS) -> ViewSample:
        """Draw items, the same ones for the same state of a database, and read their views."""
        rows = store.items.count_rows()
        draw = np.random.default_rng(0).choice(rows, size=min(rows, items), replace=False)
        drawn = store.items.take_offsets(sorted(int(n) for n in draw)).select(["item_id"]).to_arrow()
        views = store.view_rows(texts(drawn["item_id"])).sort_by("view_id")
        codes = views["item_id"].combine_chunks().dictionary_encode()
        return cls(matrix(views["vector"], store.spec.dim), part_indices(views["part"]), codes.indices.to_numpy())

    def mean(self, part: str) -> Vectors:
        """(dim,) the mean of a part's vectors, that of all where it has none; not of unit length."""
        of_part = self.vectors[self.parts == PARTS.index(part)]
        some = of_part if len(of_part) else self.vectors
        return np.asarray(some.mean(axis=0) if len(some) else np.zeros(self.vectors.shape[1]), dtype=np.float32)

    def item_maxima(self, values: Floats) -> Floats:
        """The highest value of each item's views, NaN left out; items of which all are NaN have none."""
        highest = np.full(int(self.items.max(initial=-1)) + 1, -np.inf)
        known = ~np.isnan(values)
        np.maximum.at(highest, self.items[known], values[known])
        finite: Floats = highest[np.isfinite(highest)]
        return finite


def texts(column: Any) -> list[str]:
    """A column of texts without nulls."""
    found: list[str] = column.to_pylist()
    return found


def matrix(column: Any, dim: int) -> Vectors:
    """(n, dim) float32 of a column of vectors."""
    return np.asarray(pc.list_flatten(column).to_numpy(), dtype=np.float32).reshape(-1, dim)


def part_indices(column: Any) -> NDArray[np.int8]:
    """(n,) places in `PARTS` of a column of parts."""
    places = np.full(len(column), -1, dtype=np.int8)
    for place, part in enumerate(PARTS):
        places[pc.equal(column, pa.scalar(part)).to_numpy(zero_copy_only=False)] = place
    return places


def budget_cut(scores: Floats, share: float) -> float:
    """The score that at most this share of items reaches, 0 to 1; 0 where there are no items."""
    if not len(scores):
        return 0.0
    ordered = np.sort(scores)[::-1]
    allowed = int(share * len(ordered))
    return float(np.nextafter(ordered[allowed], np.inf)) if allowed < len(ordered) else 0.0
