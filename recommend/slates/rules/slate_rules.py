"""Rules between the items of one slate: caps, one variant of a product, one item of a group of near-duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from firstsight.recommend.items import ItemSpace
from firstsight.recommend.slates.rules.group_limits import GroupRules
from firstsight.recommend.slates.rules.slate_products import SlateProducts


class SlateRules:
    """Items of a slate so far, and whether another one fits them."""

    def __init__(
        self,
        space: ItemSpace,
        near_duplicate: float,
        slots: int,
        *,
        groups: GroupRules | None = None,
        products: SlateProducts | None = None,
        copy_codes: Mapping[int, int] | None = None,
    ) -> None:
        """
        Args:
            space: the items.
            near_duplicate: cosine from which two items count as the same.
            slots: maximum number of items.
            groups: caps of the slate.
            products: of the items; the slate gets one variant of each.
            copy_codes: equal numbers for near-duplicates, by row of the space; the slate gets one item of each number.
        """
        self._space, self._near_duplicate = space, near_duplicate
        self._caps = () if groups is None else groups.caps
        self._products, self._copy_codes = products, copy_codes
        self._places: list[int] = []
        self._vectors = np.zeros((slots + 1, space.vectors.shape[1]), dtype=np.float32)
        self._capped: list[Counter[int]] = [Counter() for _ in self._caps]
        self._taken_products: set[int] = set()
        self._taken_copies: set[int] = set()

    def fits(self, place: int) -> bool:
        """Whether the slate may get this item too."""
        for (codes, most), counts in zip(self._caps, self._capped, strict=True):
            code = int(codes[place])
            if code >= 0 and counts[code] >= most:
                return False
        if self._products is not None and int(self._products.codes[place]) in self._taken_products:
            return False
        if self._copy_codes is not None and self._copy_codes[place] in self._taken_copies:
            return False
        if not self._places:
            return True
        cosines = self._vectors[: len(self._places)] @ self._space.vectors[place]
        return bool(cosines.max() < self._near_duplicate)

    def add(self, place: int) -> None:
        """Put an item into the slate."""
        self._vectors[len(self._places)] = self._space.vectors[place]
        self._places.append(place)
        self._count(place, 1)

    def remove(self, place: int) -> None:
        """Take an item out of the slate."""
        n = self._places.index(place)
        last = len(self._places) - 1
        self._places[n], self._vectors[n] = self._places[last], self._vectors[last]
        self._places.pop()
        self._count(place, -1)

    def _count(self, place: int, change: int) -> None:
        for (codes, _), counts in zip(self._caps, self._capped, strict=True):
            if codes[place] >= 0:
                counts[int(codes[place])] += change
        if self._products is not None and (product := int(self._products.codes[place])) >= 0:
            (self._taken_products.add if change > 0 else self._taken_products.discard)(product)
        if self._copy_codes is not None:
            (self._taken_copies.add if change > 0 else self._taken_copies.discard)(self._copy_codes[place])
