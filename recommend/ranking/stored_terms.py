"""The models behind score terms as columns of a table: arrays, no executable content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.blend_scoring import BlendSettings
from firstsight.recommend.models.stored_factors import FIELDS, pack_factors, unpack_factors
from firstsight.recommend.models.text_vectors import WordSpace
from firstsight.recommend.ranking.item_content import ItemContent
from firstsight.recommend.ranking.item_weights import ItemWeights
from firstsight.recommend.ranking.terms import TermModels, map_factors

MODEL_FIELDS: list[pa.Field[Any]] = [
    *FIELDS,
    pa.field("ease_starts", pa.large_binary(), nullable=False),  # (items + 1,) int64, CSR over `item_ids`
    pa.field("ease_items", pa.large_binary(), nullable=False),  # (weights,) int32, indices into `item_ids`
    pa.field("ease_weights", pa.large_binary(), nullable=False),  # (weights,) float32
]


def pack_models(space: ItemSpace, models: TermModels, words: WordSpace) -> dict[str, Any]:
    """Columns of fitted models, and of the words of the texts."""
    n = len(space)
    matrix = sparse.csr_array((n, n), dtype=np.float32) if models.weights is None else models.weights.matrix
    known = models.own.copy()
    known[matrix.indices] = True
    warm = np.flatnonzero(known)
    part = sparse.csr_array(matrix[warm][:, warm])
    return {
        **pack_factors(space, warm, replace(models.factors, items=models.factors.items * models.own[:, None]), words),
        "ease_starts": part.indptr.astype("<i8").tobytes(),
        "ease_items": part.indices.astype("<i4").tobytes(),
        "ease_weights": part.data.astype("<f4").tobytes(),
    }


def unpack_models(
    row: dict[str, Any], space: ItemSpace, settings: BlendSettings, read_content: Callable[[WordSpace], ItemContent]
) -> tuple[TermModels, ItemContent]:
    """Read what `pack_models` wrote, for the items of now.

    Args:
        row: columns of `MODEL_FIELDS`.
        space: items of now.
        settings: of the blend.
        read_content: prepares the items with the words of the model.

    Raises:
        ValueError: sizes do not fit, an index is out of range, or a value is not finite.
    """
    factors, places, words = unpack_factors(row, space, settings.alpha)
    starts = np.frombuffer(row["ease_starts"], "<i8")
    items = np.frombuffer(row["ease_items"], "<i4")
    values = np.frombuffer(row["ease_weights"], "<f4")
    size = len(places)
    if len(starts) != size + 1 or starts[0] != 0 or (np.diff(starts) < 0).any() or starts[-1] != len(items):
        raise ValueError("the sizes of the item weights do not fit")
    if len(items) != len(values) or ((items < 0) | (items >= size)).any() or not np.isfinite(values).all():
        raise ValueError("an item weight is out of range")
    rows, columns = places[np.repeat(np.arange(size), np.diff(starts))], places[items]
    kept = (rows >= 0) & (columns >= 0)
    shape = (len(space), len(space))
    matrix = sparse.csr_array(sparse.coo_array((values[kept], (rows[kept], columns[kept])), shape=shape).tocsr())
    content = read_content(words)
    own = np.abs(factors.items).max(axis=1, initial=0.0) > 0
    return TermModels(map_factors(content, factors, own, settings), own, settings, ItemWeights(matrix)), content
