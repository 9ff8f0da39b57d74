"""Collaborative factors and the words of a catalogue as columns of a table: arrays, no executable content."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.models.collaborative import Factors, gram_of
from firstsight.recommend.models.text_vectors import WordSpace

FIELDS: list[pa.Field[Any]] = [
    pa.field("item_ids", pa.list_(pa.string()), nullable=False),  # items that had events
    pa.field("factors", pa.large_binary(), nullable=False),  # (items, f) little-endian float32
    pa.field("crowd", pa.large_binary(), nullable=False),  # (f,) float64, the mean user
    pa.field("words", pa.list_(pa.string()), nullable=False),
    pa.field("idf", pa.large_binary(), nullable=False),  # (words,) float64
    pa.field("components", pa.large_binary(), nullable=False),  # (d, words) float32
]


def pack_factors(space: ItemSpace, warm: Places, factors: Factors, words: WordSpace) -> dict[str, Any]:
    """Columns of factors and words.

    Args:
        space: the items.
        warm: rows of the items that had events.
        factors: of all items.
        words: of their texts.
    """
    return {
        "item_ids": space.item_ids[warm].tolist(),
        "factors": factors.items[warm].astype("<f4").tobytes(),
        "crowd": factors.mean_user.astype("<f8").tobytes(),
        "words": list(words.words),
        "idf": words.idf.astype("<f8").tobytes(),
        "components": words.components.astype("<f4").tobytes(),
    }


def unpack_factors(row: dict[str, Any], space: ItemSpace, alpha: float) -> tuple[Factors, Places, WordSpace]:
    """Read what `pack_factors` wrote: factors in the rows of a space, these rows, and the words.

    Args:
        row: columns of `FIELDS`.
        space: items of now; factors of items that are gone are left out, and rows of new ones are zeros.
        alpha: confidence of an event of weight 1.

    Returns:
        Factors; (items,) the row of each stored item, -1 for one that is gone; words.

    Raises:
        ValueError: sizes do not fit, or a value is not finite.
    """
    width = len(row["crowd"]) // 8
    kept = np.frombuffer(row["factors"], "<f4").reshape(len(row["item_ids"]), width)
    words = WordSpace(
        tuple(row["words"]),
        np.frombuffer(row["idf"], "<f8").reshape(len(row["words"])),
        np.frombuffer(row["components"], "<f4").reshape(-1, max(1, len(row["words"]))),
    )
    mean_user = np.frombuffer(row["crowd"], "<f8")
    if not (np.isfinite(kept).all() and np.isfinite(mean_user).all() and np.isfinite(words.components).all()):
        raise ValueError("a value is not finite")
    places = space.places(row["item_ids"])
    items = np.zeros((len(space), width), dtype=np.float32)
    items[places[places >= 0]] = kept[places >= 0]
    return Factors(items, gram_of(kept), mean_user, alpha), places, words
