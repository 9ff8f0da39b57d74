"""The product pictures nearest to each frame, read block by block, so that memory does not grow with the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.retrieval.export.row_stream import VECTOR, RowSelection, RowStream
from firstsight.storage.indexes.vector_index import vectors_of_column
from firstsight.storage.product_groups import GROUP_COLUMN
from firstsight.storage.store import Store
from firstsight.vectors import Vectors

KEPT_PICTURES: Final = 32
"""Nearest pictures that are kept for each frame: enough to find the second product behind the variants of the first."""

BLOCK_PICTURES: Final = 4_096
"""Pictures that are compared at once."""


@dataclass(frozen=True)
class ProductPicture:
    """A picture of a product."""

    view_id: str
    item_id: str
    product: str  # equal for variants of one product
    fingerprint: bytes | None  # PDQ, 32 bytes


@dataclass(frozen=True)
class NearestProduct:
    """The product nearest to a frame.

    Attributes:
        picture: its nearest picture.
        cosine: of frame and picture.
        other: the greatest cosine to a picture of another product, or an upper limit of it; -1 if there is none.
    """

    picture: ProductPicture
    cosine: float
    other: float


def nearest_products(store: Store, frames: Vectors) -> list[NearestProduct | None]:
    """Find the nearest product of each frame.

    Args:
        store: the database; pictures of items of the kind product count, except blocked ones.
        frames: (n, dim) unit rows.

    Returns:
        (n,) None for each frame if there is no product with a picture.
    """
    scores = np.empty((len(frames), 0), dtype=np.float32)
    numbers = np.empty((len(frames), 0), dtype=np.int64)
    kept: dict[int, ProductPicture] = {}
    total = 0
    for pictures, vectors in _blocks(store):
        kept |= dict(enumerate(pictures, start=total))
        added = np.broadcast_to(np.arange(total, total + len(pictures)), (len(frames), len(pictures)))
        scores = np.concatenate([scores, frames @ vectors.T], axis=1)
        numbers = np.concatenate([numbers, added], axis=1)
        if scores.shape[1] > KEPT_PICTURES:
            top = np.argpartition(-scores, KEPT_PICTURES - 1, axis=1)[:, :KEPT_PICTURES]
            scores, numbers = np.take_along_axis(scores, top, 1), np.take_along_axis(numbers, top, 1)
        used = set(np.unique(numbers).tolist())
        kept = {number: picture for number, picture in kept.items() if number in used}
        total += len(pictures)
    return [_nearest(scores[n], numbers[n], kept, total) for n in range(len(frames))]


def _nearest(
    scores: NDArray[np.float32], numbers: NDArray[np.int64], pictures: dict[int, ProductPicture], total: int
) -> NearestProduct | None:
    order = np.argsort(-scores, kind="stable")
    if not len(order):
        return None
    best = pictures[int(numbers[order[0]])]
    other = next((float(scores[n]) for n in order if pictures[int(numbers[n])].product != best.product), None)
    if other is None:  # the others are no nearer than the last picture that was kept
        other = float(scores[order[-1]]) if total > len(order) else -1.0
    return NearestProduct(best, float(scores[order[0]]), other)


def _blocks(store: Store) -> Iterator[tuple[list[ProductPicture], Vectors]]:
    groups = [GROUP_COLUMN] if GROUP_COLUMN in store.items.schema.names else []
    names = ["view_id", "item_id", "fingerprint", *groups]
    selection = RowSelection(of="views", columns=names, where="kind = 'product'", parts=["image"])
    for batch in RowStream(store, selection).batches(BLOCK_PICTURES):
        rows = batch.select(names).to_pylist()
        pictures = [
            ProductPicture(
                row["view_id"],
                row["item_id"],
                str(row.get(GROUP_COLUMN) or row["item_id"]),
                bytes.fromhex(row["fingerprint"]) if row["fingerprint"] else None,
            )
            for row in rows
        ]
        yield pictures, vectors_of_column(batch[VECTOR])
