"""Products of Shopify: one row per variant, with the pictures that show it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from firstsight.indexer.formats.parsing.shop_fields import cell_text, option_column, price_text

_NO_OPTION: Final = "default title"  # the value of products without options
_QUOTED_BY_EXCEL: Final = re.compile(r"'(?=[\d=+@-])")  # exports keep leading zeros with an apostrophe

HIDDEN_STATUS: Final = frozenset({"draft", "archived", "unlisted"})


@dataclass
class Variant:
    """A variant of a product, as the shop describes it."""

    number: int  # of the row
    sku: str | None = None
    variant_id: str | None = None
    options: Sequence[str | None] = ()
    price: object = None
    compare_at_price: object = None
    picture: str | None = None
    columns: dict[str, object] = field(default_factory=dict)


@dataclass
class Product:
    """A product with its variants and pictures."""

    number: int  # of its first row
    group: str  # that all variants have: the handle, or else the shop's id of the product
    handle: str | None
    title: str | None
    text: str | None
    option_names: list[str | None]
    gallery: list[str] = field(default_factory=list)  # in the shop's order
    variants: list[Variant] = field(default_factory=list)
    columns: dict[str, object] = field(default_factory=dict)


def variant_rows(product: Product) -> Iterator[tuple[int, dict[str, object]]]:
    """One row per variant, with the canonical columns of a catalogue.

    The id is the SKU. Without SKU, or if two variants of the product have the same, it is the shop's id of the variant,
    or else the group with the values of the options, such as `tea-pot/Blue/Large`.
    """
    pictures = variant_pictures(list(dict.fromkeys(product.gallery)), [v.picture for v in product.variants])
    skus = Counter(variant.sku for variant in product.variants)
    for variant, images in zip(product.variants, pictures, strict=True):
        options = [value for value in variant.options if value and value.lower() != _NO_OPTION]
        sku = variant.sku if skus[variant.sku] == 1 else None
        row: dict[str, object] = {
            "item_id": sku or variant.variant_id or "/".join([product.group, *options]),
            "title": product.title,
            "text": product.text,
            "images": images,
            "price": price_text(variant.price),
            "compare_at_price": price_text(variant.compare_at_price),
            "group_id": product.group,
            "handle": product.handle,
        }
        for place, value in enumerate(variant.options):
            if value and value.lower() != _NO_OPTION:
                name = product.option_names[place] if place < len(product.option_names) else None
                row[option_column(name or f"option{place + 1}", row)] = value
        yield variant.number, {**row, **product.columns, **variant.columns, **row}  # ids and titles first


def variant_pictures(gallery: Sequence[str], own: Sequence[str | None]) -> list[list[str]]:
    """Share the pictures of a product among its variants.

    A variant has its own picture and those that follow it in the gallery, up to the next picture that is a variant's
    own. The pictures before the first such one show every variant. A variant without an own picture has all pictures.

    Args:
        gallery: pictures of the product in the shop's order, without repetitions.
        own: picture of each variant, None without one.
    """
    claimed = {picture for picture in own if picture}
    shared: list[str] = []
    following: dict[str, list[str]] = {picture: [picture] for picture in claimed}
    current = shared
    for picture in gallery:
        if picture in claimed:
            current = following[picture]
        else:
            current.append(picture)
    everything = list(dict.fromkeys([*gallery, *(picture for picture in own if picture)]))
    if not claimed & set(gallery):
        shared = list(gallery)
    return [[*following[picture], *shared] if picture else everything for picture in own]


def address(value: object) -> str | None:
    """A picture's address; Shopify writes some without `https:`."""
    text = cell_text(value)
    return f"https:{text}" if text and text.startswith("//") else text


def code(value: object) -> str | None:
    """A SKU or barcode, without the apostrophe that keeps spreadsheets from changing it."""
    text = cell_text(value)
    return _QUOTED_BY_EXCEL.sub("", text, count=1).strip() or None if text else None
