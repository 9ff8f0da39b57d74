"""Shopify's products as JSON: nested variants, options and images, of its REST, storefront and GraphQL interfaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from firstsight.indexer.formats.parsing.shop_fields import cell_text, count_notes
from firstsight.indexer.formats.parsing.shopify_products import (
    HIDDEN_STATUS,
    Product,
    Variant,
    address,
    code,
    variant_rows,
)
from firstsight.indexer.formats.source import BadRow, Row, ShopExport

Fields = Mapping[str, object]

_TEXT: Final = ("body_html", "bodyHtml", "descriptionHtml", "description_html", "description", "body")
_TYPE: Final = ("product_type", "productType", "type")
_ADDRESSES: Final = ("src", "url", "originalSrc", "transformedSrc")


class ShopifyJsonSource(ShopExport):
    """Products with nested variants; one row per variant comes out."""

    kind = "Shopify products"

    @staticmethod
    def recognises(row: Row) -> bool:
        """Whether an object is a product with nested variants."""
        variants = _list(row.get("variants"))
        named = any(name in row for name in ("title", "handle", "body_html", "options"))
        return named and bool(variants) and all(isinstance(variant, Mapping) for variant in variants)

    @property
    def place(self) -> str:
        return "variant"

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        self.notes.clear()
        left_out: Counter[str] = Counter()
        number = 0
        for place, row in self.table.rows():
            if isinstance(row, BadRow):
                number += 1
                yield number, BadRow(f"{self.table.place} {place}: {row}")
                continue
            if reason := _hidden(row):
                left_out[reason] += 1
                continue
            for _, item in variant_rows(_product(row)):
                number += 1
                yield number, item
        self.notes.extend([*self.table.notes, *count_notes(left_out)])


def _hidden(row: Row) -> str | None:
    status = str(row.get("status") or "").lower()
    if status in HIDDEN_STATUS:
        return f"products with status {status}"
    if "published_at" in row and row["published_at"] is None:
        return "products that are not published"
    return None


def _product(row: Row) -> Product:
    product_id = _id(row.get("id"))
    handle = cell_text(row.get("handle"))
    images = _images(row)
    gallery = [picture for image in images if (picture := _address(image))]
    variants = [variant for variant in _list(row.get("variants")) if isinstance(variant, Mapping)]
    first_options = _selected(variants[0]) if variants else []
    names = [cell_text(_field(option, "name")) for option in _list(row.get("options"))]
    return Product(
        0,
        group=handle or product_id or "",
        handle=handle,
        title=cell_text(row.get("title")),
        text=_first(row, _TEXT),
        option_names=names or [name for name, _ in first_options],
        gallery=gallery,
        variants=[_variant(variant, images) for variant in variants] or [Variant(0, variant_id=product_id)],
        columns=_columns(row),
    )


def _columns(row: Row) -> dict[str, object]:
    product_type = _first(row, _TYPE)
    category = row.get("category") or row.get("product_category") or row.get("productCategory")
    tags = row.get("tags")
    return {
        "vendor": cell_text(row.get("vendor")),
        "product_type": product_type,
        "tags": ", ".join(map(str, tags)) if isinstance(tags, list) else cell_text(tags),
        "category": cell_text(_field(category, "fullName", "full_name", "name")) or product_type,
        "created_at": row.get("created_at") or row.get("createdAt"),
    }


def _variant(variant: Fields, images: list[object]) -> Variant:
    selected = _selected(variant)
    price = variant.get("price")
    columns: dict[str, object] = {"barcode": code(variant.get("barcode")), "stock": _stock(variant)}
    currency = _field(price, "currencyCode", "currency_code") if isinstance(price, Mapping) else None
    if currency:
        columns["currency"] = currency
    return Variant(
        0,
        sku=code(variant.get("sku")),
        variant_id=_id(variant.get("id")),
        options=[value for _, value in selected],
        price=_field(price, "amount"),
        compare_at_price=_field(variant.get("compare_at_price") or variant.get("compareAtPrice"), "amount"),
        picture=_variant_picture(variant, images),
        columns=columns,
    )


def _stock(variant: Fields) -> object:
    stock = variant.get("inventory_quantity", variant.get("inventoryQuantity"))
    return stock if isinstance(stock, int | str) else None


def _selected(variant: Fields) -> list[tuple[str | None, str | None]]:
    """Names and values of a variant's options; REST gives values alone."""
    selected = _list(variant.get("selectedOptions"))
    if selected:
        return [(cell_text(_field(option, "name")), cell_text(_field(option, "value"))) for option in selected]
    values = [variant.get(f"option{n}") for n in (1, 2, 3)]
    if not any(values):
        values = [value for value in _list(variant.get("options")) if isinstance(value, str)]
    return [(None, cell_text(value)) for value in values]


def _variant_picture(variant: Fields, images: list[object]) -> str | None:
    named = variant.get("featured_image") or variant.get("image") or variant.get("featured_media")
    wanted = _id(variant.get("image_id")) or _id(_field(named, "id") if isinstance(named, Mapping) else None)
    variant_id = _id(variant.get("id"))
    for image in images:
        if isinstance(image, Mapping):
            shown = {_id(shown) for shown in _list(image.get("variant_ids"))}
            if (wanted and _id(image.get("id")) == wanted) or (variant_id and variant_id in shown):
                return _address(image)
    return _address(named)


def _images(row: Row) -> list[object]:
    images = _list(row.get("images")) or _list(row.get("media"))
    if not images:
        images = [row.get("image") or row.get("featuredImage") or row.get("featured_image")]
    positions = [image.get("position") if isinstance(image, Mapping) else None for image in images]
    if all(isinstance(position, int) for position in positions):
        order = sorted(range(len(images)), key=lambda place: int(str(positions[place])))
        images = [images[place] for place in order]
    return images


def _address(image: object) -> str | None:
    if isinstance(image, Mapping):
        inner = image.get("image") or image.get("preview_image") or image.get("preview")
        own = next((image[name] for name in _ADDRESSES if image.get(name)), None)
        return address(own) if own or inner is None else _address(inner)
    return address(image) if isinstance(image, str) else None


def _list(value: object) -> list[object]:
    """A list, also in GraphQL's forms `{"nodes": [...]}` and `{"edges": [{"node": ...}]}`."""
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        if isinstance(nodes := value.get("nodes"), list):
            return nodes
        if isinstance(edges := value.get("edges"), list):
            return [edge.get("node") for edge in edges if isinstance(edge, Mapping)]
    return []


def _field(value: object, *names: str) -> object:
    """The first of some fields of an object; a plain value as it is."""
    if isinstance(value, Mapping):
        return next((value[name] for name in names if value.get(name)), None)
    return value if isinstance(value, str | int | float) else None


def _first(row: Row, names: tuple[str, ...]) -> str | None:
    return next((text for name in names if (text := cell_text(row.get(name)))), None)


def _id(value: object) -> str | None:
    """An id as text; the end of GraphQL's `gid://shopify/ProductVariant/123`."""
    text = cell_text(value) if isinstance(value, str | int) else None
    return text.rpartition("/")[2] if text and text.startswith("gid://") else text
