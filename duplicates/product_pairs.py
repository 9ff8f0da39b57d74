"""Pairs of near-duplicates between products: variants of one product share pictures, which is no news."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from firstsight.duplicates.item_pairs import DuplicatePair
from firstsight.storage.product_groups import GROUP_COLUMN
from firstsight.storage.store import Store


def pairs_between_products(
    store: Store, pairs: Sequence[DuplicatePair], *, keep: Collection[str] = ()
) -> list[DuplicatePair]:
    """Leave out pairs within one product, and keep the strongest pair of each two products.

    Every item without a product counts as a product of its own. Without a column `group_id`, all pairs stay.

    Args:
        pairs: pairs of items, as from `find_duplicates`.
        keep: item ids; every pair between products with one of them stays.

    Returns:
        The pairs that stay, in their order.
    """
    if not pairs or GROUP_COLUMN not in store.items.schema.names:
        return list(pairs)
    ids = list(dict.fromkeys(item_id for pair in pairs for item_id in (pair.item_id, pair.other_id)))
    product: dict[str, tuple[str, object]] = {item_id: ("item", item_id) for item_id in ids}
    for rows in store.rows_by_id(store.items, ids, columns=["item_id", GROUP_COLUMN]):
        for row in rows.to_pylist():
            if row[GROUP_COLUMN] is not None:
                product[row["item_id"]] = ("product", row[GROUP_COLUMN])
    strongest: dict[frozenset[tuple[str, object]], DuplicatePair] = {}
    for pair in sorted(pairs, key=_weakness):
        products = frozenset((product[pair.item_id], product[pair.other_id]))
        if len(products) == 2:
            strongest.setdefault(products, pair)
    chosen = {(pair.item_id, pair.other_id) for pair in strongest.values()}
    return [
        pair
        for pair in pairs
        if product[pair.item_id] != product[pair.other_id]
        and ((pair.item_id, pair.other_id) in chosen or pair.item_id in keep or pair.other_id in keep)
    ]


def _weakness(pair: DuplicatePair) -> tuple[float, int, float, str, str]:
    evidence = pair.evidence
    return -evidence.share, evidence.distance, -round(evidence.cosine or 0.0, 4), pair.item_id, pair.other_id
