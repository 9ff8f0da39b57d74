"""Products of the items of a space, so that slates and similar items show one variant of each product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.items import Places


@dataclass(frozen=True)
class SlateProducts:
    """Products of all items.

    Attributes:
        codes: (n,) int64, equal numbers for variants of one product; -1 for an item without a product.
        merged: (n,) int64, number of variants that each item stands for, 1 or more.
    """

    codes: NDArray[np.int64]
    merged: NDArray[np.int64]

    def variants_of(self, places: Places) -> NDArray[np.bool_]:
        """(n,) whether an item is a variant of the product of one of these items."""
        codes = np.unique(self.codes[places])
        return np.isin(self.codes, codes[codes >= 0])

    def count_variants(self, places: Places, allowed: NDArray[np.bool_]) -> list[int]:
        """Number of allowed variants of the product of each of these items."""
        counted = np.flatnonzero(allowed & (self.codes >= 0))
        sums = np.bincount(self.codes[counted], weights=self.merged[counted], minlength=self.codes.max(initial=0) + 1)
        codes = self.codes[places]
        return [int(count) for count in np.where(codes >= 0, sums[codes], self.merged[places])]

    def first_of_each(self, places: Places) -> Places:
        """Keep the first of these items for each product."""
        codes = self.codes[places]
        is_first = np.zeros(len(places), dtype=bool)
        is_first[np.unique(codes, return_index=True)[1]] = True
        return places[is_first | (codes < 0)]


def top_places(
    values: NDArray[np.float32], places: Places, count: int, products: SlateProducts | None = None
) -> Places:
    """Choose the items with the highest values, in no order; with `products`, the best one of each product.

    Args:
        values: (n,) one for each item of the space.
        places: rows to choose from.
        count: maximum number of items.
    """
    size = count
    while True:
        top = places[np.argpartition(-values[places], size)[:size]] if size < len(places) else places
        if products is None:
            return top
        kept = products.first_of_each(top[np.argsort(-values[top], kind="stable")])[:count]
        if len(kept) == count or size >= len(places):
            return kept
        size *= 4
