"""Folds of products for held-out figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from firstsight.tuning.tuning_data import TuningData


@dataclass(frozen=True)
class Fold:
    """One split of the items; no product is on both sides.

    Attributes:
        train: rows of the items to learn from.
        held_out: rows of the other items.
    """

    train: tuple[int, ...]
    held_out: tuple[int, ...]


def product_folds(data: TuningData, count: int, seed: int) -> list[Fold]:
    """Split the items by product into folds of about equal numbers of items; each product is held out once.

    Args:
        count: number of folds; at most the number of products.
        seed: of the order in which products of equal size are dealt out.
    """
    rows_of: dict[str, list[int]] = {}
    for row, item in enumerate(data.items):
        rows_of.setdefault(item.product, []).append(row)
    products = list(rows_of)
    order = [products[place] for place in np.random.default_rng(seed).permutation(len(products))]
    order.sort(key=lambda product: -len(rows_of[product]))  # stable: the large products are dealt out first
    sides: list[list[int]] = [[] for _ in range(min(count, len(products)))]
    for product in order:
        min(sides, key=len).extend(rows_of[product])
    everything = range(len(data.items))
    return [
        Fold(tuple(row for row in everything if row not in held_out), tuple(sorted(held_out)))
        for held_out in map(set, sides)
    ]


def early_stopping_split(data: TuningData, items: Sequence[int], seed: int) -> Fold:
    """Set an eighth of some items' products apart, for early stopping: the held-out fold must not choose the step."""
    products = sorted({data.items[row].product for row in items})
    chosen = np.random.default_rng(seed).permutation(len(products))[: len(products) // 8]
    apart = {products[place] for place in chosen}
    return Fold(
        tuple(row for row in items if data.items[row].product not in apart),
        tuple(row for row in items if data.items[row].product in apart),
    )
