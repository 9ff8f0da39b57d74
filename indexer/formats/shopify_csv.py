"""Shopify's product export as CSV or XLSX: variants and picture rows of each handle."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from firstsight.indexer.formats.parsing.shop_fields import cell_text, count_notes, option_column, plain_header
from firstsight.indexer.formats.parsing.shopify_products import (
    HIDDEN_STATUS,
    Product,
    Variant,
    address,
    code,
    variant_rows,
)
from firstsight.indexer.formats.source import BadRow, Row, ShopExport

_NAMES: Final = {
    "handle": ("handle", "url handle"),
    "title": ("title",),
    "text": ("body (html)", "body html", "description"),
    "vendor": ("vendor",),
    "category": ("product category",),
    "product_type": ("type", "custom product type"),
    "tags": ("tags",),
    "published": ("published", "published on online store"),
    "status": ("status",),
    "gift_card": ("gift card",),
    "sku": ("variant sku", "sku"),
    "price": ("variant price", "price"),
    "compare_at_price": ("variant compare at price", "compare-at price"),
    "barcode": ("variant barcode", "barcode"),
    "stock": ("variant inventory qty", "inventory quantity"),
    "image": ("image src", "product image url"),
    "position": ("image position",),
    "variant_image": ("variant image", "variant image url"),
    **{f"option{n}_name": (f"option{n} name",) for n in (1, 2, 3)},
    **{f"option{n}_value": (f"option{n} value",) for n in (1, 2, 3)},
}
"""Columns of the export until 2024 and since, without case."""

_MARKS: Final = frozenset(
    {"body (html)", "image src", "product image url", "variant sku", "variant price", "option1 name", "url handle"}
)
_METAFIELD: Final = re.compile(r"(.+) \((?:product|variant)\.metafields\..+\)", re.IGNORECASE)
_OPTIONS: Final = (1, 2, 3)


class ShopifyCsvSource(ShopExport):
    """Rows of a product export, grouped by handle while they are read; one row per variant comes out."""

    kind = "Shopify product export"

    @staticmethod
    def recognises(row: Row) -> bool:
        """Whether a table with the columns of this row is a product export."""
        names = {plain_header(name) for name in row}
        return "title" in names and bool(names & {"handle", "url handle"}) and bool(names & _MARKS)

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        self.notes.clear()
        left_out: Counter[str] = Counter()
        group = _Group()
        for number, row in self.table.rows():
            if isinstance(row, BadRow):
                yield number, row
                continue
            fields = _fields(row)
            if group.starts_with(fields):
                yield from group.items(left_out)
                group = _Group()
            group.add(number, row, fields)
        yield from group.items(left_out)
        self.notes.extend([*self.table.notes, *count_notes(left_out)])


class _Group:
    """The rows of one product."""

    def __init__(self) -> None:
        self._first: dict[str, str | None] = {}
        self._product: Product | None = None
        self._pictures: list[tuple[str | None, str]] = []  # position, address

    def starts_with(self, fields: Mapping[str, str | None]) -> bool:
        """Whether a row is the first of another product."""
        if self._product is None:
            return False
        if fields["handle"]:
            return fields["handle"] != self._product.group
        return fields["title"] is not None and fields["title"] != self._product.title

    def add(self, number: int, row: Row, fields: dict[str, str | None]) -> None:
        if self._product is None:
            self._first = fields
            handle = fields["handle"] or re.sub(r"\W+", "-", (fields["title"] or "").lower()).strip("-")
            self._product = Product(
                number,
                group=handle,
                handle=handle,
                title=fields["title"],
                text=fields["text"],
                option_names=[fields[f"option{n}_name"] for n in _OPTIONS],
                columns=_product_columns(row, fields),
            )
        if picture := address(fields["image"]):
            self._pictures.append((fields["position"], picture))
        values = [fields[f"option{n}_value"] for n in _OPTIONS]
        if number == self._product.number or any((fields["sku"], fields["price"], *values)):
            self._product.variants.append(
                Variant(
                    number,
                    sku=code(fields["sku"]),
                    options=values,
                    price=fields["price"],
                    compare_at_price=fields["compare_at_price"],
                    picture=address(fields["variant_image"]),
                    columns={"barcode": code(fields["barcode"]), "stock": fields["stock"]},
                )
            )

    def items(self, left_out: Counter[str]) -> Iterator[tuple[int, Row | BadRow]]:
        """The rows of the product; counts it as left out if shoppers cannot see it."""
        product = self._product
        if product is None:
            return
        if product.title is None:
            yield (
                product.number,
                BadRow(
                    f"the product {product.group!r} has no title; its rows must follow one another, "
                    "the row with the title first (sort the table by handle as it was exported)"
                ),
            )
            return
        status = (self._first["status"] or "").lower()
        if status in HIDDEN_STATUS:
            left_out[f"products with status {status}"] += 1
            return
        if (self._first["published"] or "").lower() == "false":
            left_out["products that are not published"] += 1
            return
        product.gallery = _in_order(self._pictures)
        yield from variant_rows(product)


def _fields(row: Row) -> dict[str, str | None]:
    cells = {plain_header(name): value for name, value in row.items()}
    return {
        ours: next((text for name in names if (text := cell_text(cells.get(name))) is not None), None)
        for ours, names in _NAMES.items()
    }


def _product_columns(row: Row, fields: Mapping[str, str | None]) -> dict[str, object]:
    columns: dict[str, object] = {name: fields[name] for name in ("vendor", "product_type", "tags", "gift_card")}
    columns["category"] = fields["category"] or fields["product_type"]
    for name, value in row.items():
        metafield = _METAFIELD.fullmatch(name.strip())
        if metafield and value is not None:
            columns.setdefault(option_column(metafield[1]), cell_text(value))
    return columns


def _in_order(pictures: list[tuple[str | None, str]]) -> list[str]:
    if all(position and position.isdecimal() for position, _ in pictures):
        pictures = sorted(pictures, key=lambda picture: int(picture[0] or 0))
    return [picture for _, picture in pictures]
