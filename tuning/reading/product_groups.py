"""Products of items for held-out splits: items that share a title or a picture count as one product."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

MAX_SHARING: Final = 5
"""Products that may share one picture; a picture of more products is a placeholder such as "no image"."""

Key = TypeVar("Key", bound=Hashable)


def placeholder_pictures(products: Sequence[str], pictures: Sequence[Sequence[Key]]) -> set[Key]:
    """Find pictures that more than `MAX_SHARING` products have.

    Args:
        products: (n) product of each item.
        pictures: (n) pictures of each item.
    """
    owners: dict[Key, set[str]] = defaultdict(set)
    for product, own in zip(products, pictures, strict=True):
        for picture in own:
            owners[picture].add(product)
    return {picture for picture, names in owners.items() if len(names) > MAX_SHARING}


def merge_products(products: Sequence[str], shared: Iterable[Mapping[int, Hashable]]) -> list[str]:
    """Merge products whose items share a value, so that no copy of a training item is held out.

    Args:
        products: (n) product of each item.
        shared: groups of values by item; items with equal values of one group belong together.

    Returns:
        (n) the first of the merged products.
    """
    parents = {product: product for product in products}

    def root(product: str) -> str:
        while parents[product] != product:
            parents[product] = parents[parents[product]]
            product = parents[product]
        return product

    for values in shared:
        first: dict[Hashable, str] = {}
        for item, value in values.items():
            product = first.setdefault(value, products[item])
            parents[root(products[item])] = root(product)
    return [root(product) for product in products]
