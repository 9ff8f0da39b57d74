"""Collapse search results: keep the best item of each product, of each column value, or of near-duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firstsight.duplicates.item_pairs import pairs_of_views
from firstsight.duplicates.prints.stored_prints import StoredPrints
from firstsight.duplicates.view_pairs import PictureViews
from firstsight.retrieval.query import NO_COLLAPSE, Query
from firstsight.retrieval.ranking.item_filters import find_collapse_column
from firstsight.retrieval.ranking.variant_words import names_variant
from firstsight.storage.product_groups import (
    GROUP_COLUMN,
    VARIANT_IDS_COLUMN,
    count_merged_variants,
    read_product_groups,
)
from firstsight.storage.sql.conditions import in_chunks, is_in, quote_name
from firstsight.storage.store import Store

DUPLICATES = "duplicates"
"""Value of `Query.collapse` for near-duplicates, instead of a column name."""


@dataclass(frozen=True)
class CollapseRule:
    """The column of which a query shows one result for each value.

    Attributes:
        column: a column of `items`, or `DUPLICATES`.
        by_default: the query does not ask for it. The products of its example items are then left out, because their
            other variants are no answer to "more like this".
    """

    column: str
    by_default: bool = False


@dataclass(frozen=True)
class GroupSize:
    """Size of a group among the items that pass a filter."""

    items: int
    variants: int  # with those that were merged into one item


def choose_collapse(store: Store, query: Query) -> CollapseRule | None:
    """Decide what a query keeps one result of; None for every item.

    Without a choice of the query, it is one result per product if the database knows products. A query that names a
    variant gets every item, because the variant may not be the best item of its product.

    Raises:
        QueryError: the query collapses by a column that is not there, or its filter cannot be read.
    """
    if query.collapse is not None:
        if query.collapse == NO_COLLAPSE:
            return None
        return CollapseRule(DUPLICATES if query.collapse == DUPLICATES else find_collapse_column(store, query.collapse))
    groups = read_product_groups(store)
    if groups is None or names_variant(groups, query):
        return None
    return CollapseRule(GROUP_COLUMN, by_default=True)


def count_groups(store: Store, column: str, values: Sequence[object], condition: str | None) -> dict[object, GroupSize]:
    """Count the items of groups in one call for every 1,000 groups.

    Args:
        column: the column that names the group.
        values: the groups.
        condition: from `build_condition`; counts the items that fulfil it.
    """
    merged = column == GROUP_COLUMN and VARIANT_IDS_COLUMN in store.items.schema.names
    sizes: dict[object, GroupSize] = {}
    for part in in_chunks(values):
        among = is_in(quote_name(column), part)
        search = store.items.search().where(among if condition is None else f"{condition} AND {among}").limit(None)
        rows = search.select([column, VARIANT_IDS_COLUMN] if merged else [column]).to_arrow()
        variants = rows[VARIANT_IDS_COLUMN].to_pylist() if merged else [None] * len(rows)
        for value, ids in zip(rows[column].to_pylist(), variants, strict=True):
            size = sizes.get(value, GroupSize(0, 0))
            sizes[value] = GroupSize(size.items + 1, size.variants + count_merged_variants(ids))
    return sizes


def collapse_duplicates(store: Store, item_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Keep the items that are no near-duplicate of a better kept item.

    The result depends only on the stored views and fingerprints of the given items, so later items never change an
    earlier decision.

    Args:
        item_ids: best first.

    Returns:
        Ids of the kept items, best first, each with the ids of its near-duplicates.
    """
    views = PictureViews.read(store, item_ids)
    neighbours: dict[str, set[str]] = {}
    # with weights, a decision would depend on the number of items read
    for pair in pairs_of_views(views, prints=StoredPrints.read(store, item_ids), weigh=False):
        neighbours.setdefault(pair.item_id, set()).add(pair.other_id)
        neighbours.setdefault(pair.other_id, set()).add(pair.item_id)
    kept: dict[str, list[str]] = {}
    for item_id in item_ids:
        near = neighbours.get(item_id, set())
        better = next((kept_id for kept_id in kept if kept_id in near), None) if near else None
        if better is None:
            kept[item_id] = []
        else:
            kept[better].append(item_id)
    return {item_id: tuple(others) for item_id, others in kept.items()}
