"""Read a catalogue as training data: the same sources, columns and media policy as an index run."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from firstsight.errors import CatalogError
from firstsight.indexer.catalog import Catalog, catalog_root, check_catalog
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.inputs.input_kinds import CatalogueInput, open_input
from firstsight.indexer.row_reader import CatalogItem
from firstsight.records import Record
from firstsight.tuning.reading.phrase_columns import choose_phrase_columns
from firstsight.tuning.reading.picture_files import CataloguePictures, PictureStore
from firstsight.tuning.reading.product_groups import merge_products, placeholder_pictures
from firstsight.tuning.tuning_data import TuningData, TuningItem

MAX_PICTURES: Final = 8
"""Pictures of one item that are used, the first ones of its row."""

TEXT_CHARACTERS: Final = 300
"""Beginning of a description that is used as a phrase: its first sentences describe the item."""

SHOWN_FAILURES: Final = 5


@dataclass(frozen=True)
class ReadReport(Record):
    """Data read from a catalogue.

    Attributes:
        items: items with a picture and a phrase.
        products: products that these items belong to; items with an equal title or a common picture are one product.
        pictures: different pictures of these items.
        left_out_items: items without a usable picture or without a phrase.
        unreadable: pictures that cannot be fetched or decoded.
        problems: the first of them, as sentences.
        repeated: uses of a picture after its first one.
        placeholders: pictures that too many products share, such as "no image"; not used.
        not_drawn: items beyond `max_items`, not used.
        category: column with the category; None if there is none.
        attributes: other columns whose values are phrases.
    """

    items: int
    products: int
    pictures: int
    left_out_items: int
    unreadable: int
    problems: tuple[str, ...]
    repeated: int
    placeholders: int
    not_drawn: int
    category: str | None
    attributes: tuple[str, ...]


@dataclass(frozen=True)
class CatalogueData:
    """Training data of a catalogue; `pictures` of `data` stay readable while its `PictureStore` is open."""

    data: TuningData
    report: ReadReport


def read_catalogue(
    source: CatalogueInput,
    pictures: PictureStore,
    *,
    root: str | os.PathLike[str] | None = None,
    options: CatalogOptions | None = None,
    max_items: int | None = None,
    on_progress: Callable[[str], None] = lambda line: None,
) -> CatalogueData:
    """Read a catalogue.

    Args:
        source, root, options: as for `firstsight.api.indexing.Indexing.index`.
        pictures: reads the pictures; its policy gets the catalogue's folder as its root.
        max_items: items that are used; of more, whole products are drawn.
        on_progress: receives one line for each step worth telling.

    Raises:
        CatalogError: the catalogue cannot be used, or no item has a picture and a phrase.
        StoreError: pictures of rows in memory cannot be kept.
    """
    opened = open_input(source, encoding=(options or CatalogOptions()).encoding, root=root)
    with closing(check_catalog(opened, options)) as catalog:
        pictures.policy = replace(pictures.policy, root=catalog_root(catalog))
        catalog.store_medium = pictures.keep
        items = [item for item in catalog.items() if item.images]
        without = catalog.size - len(items)
        group, category = (catalog.plan.shop_names.get(name, name) for name in ("group_id", "category"))
        items, not_drawn = _draw(items, group, max_items)
        _check_pictures(items, pictures, on_progress)
        return _assemble(catalog, items, pictures, group, category, without, not_drawn)


def _draw(items: list[CatalogItem], group: str, max_items: int | None) -> tuple[list[CatalogItem], int]:
    """Keep whole products up to a number of items; the same ones in every run."""
    if max_items is None or len(items) <= max_items:
        return items, 0
    by_product: dict[str, list[int]] = {}
    for row, item in enumerate(items):
        by_product.setdefault(_product(item, group), []).append(row)
    rows: list[int] = []
    products = list(by_product)
    for place in np.random.default_rng(0).permutation(len(products)):
        if len(rows) + len(by_product[products[place]]) <= max_items:
            rows += by_product[products[place]]
    return [items[row] for row in sorted(rows)], len(items) - len(rows)


def _product(item: CatalogItem, group: str) -> str:
    value = item.columns.get(group)
    return f"group {value}" if value is not None else f"item {item.item_id}"


def _check_pictures(items: Sequence[CatalogItem], pictures: PictureStore, on_progress: Callable[[str], None]) -> None:
    addresses = list(dict.fromkeys(address for item in items for address in item.images[:MAX_PICTURES]))

    def show(count: int) -> None:
        if count % 1_000 == 0:
            on_progress(f"checked {count:,} of {len(addresses):,} pictures")

    pictures.check(addresses, show)


def _assemble(
    catalog: Catalog,
    items: Sequence[CatalogItem],
    pictures: PictureStore,
    group: str,
    category: str,
    without: int,
    not_drawn: int,
) -> CatalogueData:
    digests = [
        list(dict.fromkeys(d for address in item.images[:MAX_PICTURES] if (d := pictures.digest(address))))
        for item in items
    ]
    products = [_product(item, group) for item in items]
    placeholders = placeholder_pictures(products, digests)
    digests = [[digest for digest in own if digest not in placeholders] for own in digests]
    columns = choose_phrase_columns(
        [item.columns for item in items],
        products,
        category if catalog.kinds.get(category) == "text" else None,
        frozenset({group, "variant_ids", "kind", "currency"}),
    )
    joined = columns.joined
    kept = [
        (item, product, own, phrases)
        for item, product, own, values in zip(items, products, digests, columns.phrases, strict=True)
        if own and (phrases := _phrases(item, values, columns.category, joined))
    ]
    if not kept:
        raise CatalogError(
            f"{catalog.source.name} has no item with both a readable picture and a title or another phrase; tuning "
            f"learns from such pairs{_first_failure(pictures)}"
        )
    merged = merge_products(
        [product for _, product, _, _ in kept],
        [
            {row: item.title.casefold() for row, (item, _, _, _) in enumerate(kept) if item.title},
            *_shared_pictures([own for _, _, own, _ in kept]),
        ],
    )
    addresses: dict[str, str] = {}  # digest -> its first address
    for item, _, own, _ in kept:
        for address in item.images[:MAX_PICTURES]:
            if (digest := pictures.digest(address)) in own and digest is not None:
                addresses.setdefault(digest, address)
    rows = {digest: row for row, digest in enumerate(addresses)}
    first_items: dict[int, int] = {}
    for place, (_, _, own, _) in enumerate(kept):
        for digest in own:
            first_items.setdefault(rows[digest], place)
    data = TuningData(
        items=tuple(
            TuningItem(item.item_id, product, phrases, tuple(rows[digest] for digest in own))
            for (item, _, own, phrases), product in zip(kept, merged, strict=True)
        ),
        pictures=CataloguePictures(pictures, list(addresses.values())),
        picture_items=tuple(first_items[row] for row in range(len(rows))),
    )
    problems = [f"{address}: {error}" for address, error in pictures.failures.items()]
    report = ReadReport(
        items=len(kept),
        products=len(set(merged)),
        pictures=len(rows),
        left_out_items=without + len(items) - len(kept),
        unreadable=len(pictures.failures),
        problems=tuple(problems[:SHOWN_FAILURES]),
        repeated=sum(len(own) for _, _, own, _ in kept) - len(rows),
        placeholders=len(placeholders),
        not_drawn=not_drawn,
        category=columns.category,
        attributes=columns.attributes,
    )
    return CatalogueData(data, report)


def _shared_pictures(digests: Sequence[Sequence[str]]) -> list[dict[int, str]]:
    """Groups of items for `merge_products`: each group names one picture of each item, at most."""
    counts = Counter(digest for own in digests for digest in own)
    shared = [[digest for digest in own if counts[digest] > 1] for own in digests]
    pairs = [(row, digest) for row, own in enumerate(shared) for digest in own]
    by_digest: dict[str, dict[int, str]] = {}
    for row, digest in pairs:
        by_digest.setdefault(digest, {})[row] = digest
    return list(by_digest.values())


def _phrases(
    item: CatalogItem, values: Mapping[str, str], category: str | None, joined: Sequence[str]
) -> dict[str, str]:
    phrases: dict[str, str] = {}
    if item.title:
        phrases["title"] = item.title
    if item.text:
        phrases["text"] = item.text[:TEXT_CHARACTERS]
    phrases |= values
    for attribute in joined:
        if category is not None and category in values and attribute in values:
            phrases[f"{attribute} {category}"] = f"{values[attribute]} {values[category]}"
    return phrases


def _first_failure(pictures: PictureStore) -> str:
    return f"; the first unreadable picture: {next(iter(pictures.failures.values()))}" if pictures.failures else ""
