"""One vector for each item, from its pictures and its title, as tags are learned from.

Pictures and titles lie apart in the vector space (Liang et al., "Mind the gap", 2022), so each view is centred at the
catalogue's mean of its part. The centred pictures and frames are averaged, and so are the titles; the sum of the two is
scaled to unit length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.heads.array_types import Indices
from firstsight.heads.view_sample import ViewSample, matrix, part_indices, texts
from firstsight.storage.store import Store
from firstsight.storage.tables import HEAD_PARTS

SIDES = ("pictures", "title")
"""What an item is judged by: its pictures and frames, and its title."""

_TITLE = HEAD_PARTS.index("title")


@dataclass(frozen=True)
class ItemVectors:
    """Vectors of items."""

    item_ids: tuple[str, ...]
    whole: Vectors  # (n, dim) unit rows, or zeros for an item without views
    sides: NDArray[np.float32]  # (2, n, dim) of pictures alone, and of titles alone; unit rows or zeros
    present: NDArray[np.bool_]  # (n, 2) whether the item has pictures, and a title

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) whether an item has any view."""
        return np.asarray(self.present.any(axis=1), dtype=np.bool_)


def part_means(store: Store) -> Vectors:
    """Return the (3, dim) mean vectors of titles, images and frames, from a sample of the catalogue."""
    sample = ViewSample.sample(store)
    return np.stack([sample.mean(part) for part in HEAD_PARTS]).astype(np.float32)


def fuse_views(
    item_ids: Sequence[str], vectors: Vectors, parts: NDArray[np.int8], owners: Indices, means: Vectors
) -> ItemVectors:
    """Fuse the views of items.

    Args:
        item_ids: (n,) ids of the items.
        vectors: (views, dim) unit rows.
        parts: (views,) places in `HEAD_PARTS`; -1 for views that are left out.
        owners: (views,) place of each view's item.
        means: (3, dim) from `part_means`.
    """
    dim = means.shape[1]
    sides = np.zeros((2, len(item_ids), dim), dtype=np.float32)
    present = np.zeros((len(item_ids), 2), dtype=np.bool_)
    for side in range(2):
        rows = np.flatnonzero((parts == _TITLE) if side == 1 else ((parts >= 0) & (parts != _TITLE)))
        if not len(rows):
            continue
        sums = np.zeros((len(item_ids), dim), dtype=np.float64)
        np.add.at(sums, owners[rows], vectors[rows] - means[parts[rows]])
        counts = np.bincount(owners[rows], minlength=len(item_ids))
        sides[side] = sums / np.maximum(counts, 1)[:, None]
        present[:, side] = counts > 0
    return ItemVectors(tuple(item_ids), unit_rows(sides.sum(axis=0)), unit_rows(sides), present)


def read_item_vectors(store: Store, item_ids: Sequence[str], means: Vectors) -> ItemVectors:
    """Read the views of items, and fuse them.

    Args:
        store: the database.
        item_ids: ids of the items; an id without views gets a vector of zeros.
        means: (3, dim) from `part_means`.
    """
    ids = list(dict.fromkeys(item_ids))
    places = {item_id: n for n, item_id in enumerate(ids)}
    views = store.view_rows(ids)
    owners = np.array([places[item_id] for item_id in texts(views["item_id"])], dtype=np.int64)
    return fuse_views(ids, matrix(views["vector"], store.spec.dim), part_indices(views["part"]), owners, means)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale the last axis to unit length; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
