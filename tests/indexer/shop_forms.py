"""One small shop, written in every form that shops export; pictures are addresses, and one product has sizes."""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Variant:
    """One variant of a product."""

    sku: str
    product: str
    title: str
    description: str  # plain text
    price: str
    color: str
    size: str
    pictures: tuple[str, ...]  # file names in sample_media/pictures


VARIANTS = [
    *(
        Variant(
            f"RUN-{color.upper()}-{size}",
            "running-shoes",
            "Running shoes with black laces",
            "Light trainers & a cushioned sole, for the road or the gym.",
            "1059.90" if color == "green" else "59.90",
            color,
            size,
            (f"sneakers-{color}.jpg",),
        )
        for color in ("sky", "red", "green")
        for size in ("41", "42")
    ),
    Variant("FED-BROWN", "fedora", "Fedora hat", "A felt hat for rain.", "39.00", "brown", "", ("fedora-brown.jpg",)),
    Variant("FED-RED", "fedora", "Fedora hat", "A felt hat for rain.", "39.00", "red", "", ("fedora-red.png",)),
    Variant(
        "CUP-1",
        "cup",
        "Espresso cup",
        "Stoneware, 80 ml.",
        "9.50",
        "",
        "",
        ("espresso-cup.jpg", "espresso-cup-close.jpg"),
    ),
    Variant("KETTLE", "kettle", "Electric kettle", "Boils 1.5 litres.", "34.00", "", "", ("electric-kettle.png",)),
]

ITEMS = {
    "RUN-SKY-41": ("Running shoes with black laces", 59.9, ("sneakers-sky.jpg",)),
    "RUN-RED-41": ("Running shoes with black laces", 59.9, ("sneakers-red.jpg",)),
    "RUN-GREEN-41": ("Running shoes with black laces", 1059.9, ("sneakers-green.jpg",)),
    "FED-BROWN": ("Fedora hat", 39.0, ("fedora-brown.jpg",)),
    "FED-RED": ("Fedora hat", 39.0, ("fedora-red.png",)),
    "CUP-1": ("Espresso cup", 9.5, ("espresso-cup.jpg", "espresso-cup-close.jpg")),
    "KETTLE": ("Electric kettle", 34.0, ("electric-kettle.png",)),
}
"""The items that each form must give: id -> title, price, pictures; the sizes share their pictures."""

DESCRIPTIONS = {item_id: next(v.description for v in VARIANTS if v.sku == item_id) for item_id in ITEMS}


def by_product() -> list[list[Variant]]:
    products: dict[str, list[Variant]] = {}
    for variant in VARIANTS:
        products.setdefault(variant.product, []).append(variant)
    return list(products.values())


def _write_rows(
    path: Path, rows: Sequence[Mapping[str, object]], delimiter: str = ",", encoding: str = "utf-8", head: str = ""
) -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding=encoding) as file:
        file.write(head)
        writer = csv.DictWriter(file, columns, delimiter=delimiter, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _as_html(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _distinct(variants: Sequence[Variant]) -> list[str]:
    return list(dict.fromkeys(picture for variant in variants for picture in variant.pictures))


def _options(variant: Variant) -> dict[str, str]:
    return {name: value for name, value in (("Color", variant.color), ("Size", variant.size)) if value}


def shopify_csv(folder: Path, base: str) -> Path:
    rows: list[dict[str, object]] = []
    for variants in by_product():
        pictures = _distinct(variants)
        for n in range(max(len(variants), len(pictures))):
            row: dict[str, object] = {"Handle": variants[0].product}
            if n == 0:
                row |= {
                    "Title": variants[0].title,
                    "Body (HTML)": _as_html(variants[0].description),
                    "Vendor": "Example",
                    "Type": "Things",
                    "Tags": "new, sale",
                    "Published": "true",
                    **{f"Option{k} Name": name for k, name in enumerate(_options(variants[0]), 1)},
                    "Status": "active",
                }
            if n < len(variants):
                variant = variants[n]
                row |= {
                    **{f"Option{k} Value": value for k, value in enumerate(_options(variant).values(), 1)},
                    "Variant SKU": variant.sku,
                    "Variant Price": variant.price,
                    "Variant Inventory Qty": "3",
                    "Variant Image": base + variant.pictures[0],
                }
            if n < len(pictures):
                row |= {"Image Src": base + pictures[n], "Image Position": str(n + 1)}
            rows.append(row)
    return _write_rows(folder / "products_export_1.csv", rows)


def google_tsv(folder: Path, base: str) -> Path:
    rows = [
        {
            "id": v.sku,
            "title": v.title,
            "description": v.description,
            "link": f"https://shop.example/{v.product}",
            "image_link": base + v.pictures[0],
            "additional_image_link": ",".join(base + picture for picture in v.pictures[1:]),
            "availability": "in_stock",
            "price": f"{v.price} USD",
            "color": v.color,
            "size": v.size,
            "google_product_category": "1604",
            "item_group_id": v.product,
        }
        for v in VARIANTS
    ]
    return _write_rows(folder / "feed.tsv", rows, "\t")


def google_xml(folder: Path, base: str) -> Path:
    items = [
        f"<item><g:id>{v.sku}</g:id><g:title>{html.escape(v.title)}</g:title>"
        f"<g:description>{html.escape(html.escape(v.description))}</g:description>"
        f"<g:link>https://shop.example/{v.product}</g:link><g:image_link>{base}{v.pictures[0]}</g:image_link>"
        + "".join(f"<g:additional_image_link>{base}{p}</g:additional_image_link>" for p in v.pictures[1:])
        + f"<g:price>{v.price} USD</g:price><g:color>{v.color}</g:color>"
        f"<g:item_group_id>{v.product}</g:item_group_id></item>"
        for v in VARIANTS
    ]
    path = folder / "feed.xml"
    head = '<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Example</title>'
    path.write_text(f'<?xml version="1.0"?>\n{head}{"".join(items)}</channel></rss>', encoding="utf-8")
    return path


def woocommerce_csv(folder: Path, base: str) -> Path:
    rows: list[dict[str, object]] = []
    number = 100
    for variants in by_product():
        number += 1
        first = variants[0]
        parent: dict[str, object] = {
            "ID": number,
            "Type": "variable" if len(variants) > 1 else "simple",
            "SKU": first.product if len(variants) > 1 else first.sku,
            "Name": first.title,
            "Published": 1,
            "Short description": "",
            "Description": _as_html(first.description),
            "Sale price": "",
            "Regular price": "" if len(variants) > 1 else first.price,
            "Categories": "Things > New",
            "Images": ", ".join(base + picture for picture in _distinct(variants)),
            "Parent": "",
            "Attribute 1 name": "Color",
            "Attribute 1 value(s)": ", ".join(dict.fromkeys(v.color for v in variants)),
        }
        rows.append(parent)
        if len(variants) == 1:
            continue
        for v in variants:
            number += 1
            rows.append(
                {
                    "ID": number,
                    "Type": "variation",
                    "SKU": v.sku,
                    "Name": v.title,
                    "Published": 1,
                    "Regular price": v.price,
                    "Images": base + v.pictures[0],
                    "Parent": v.product,
                    "Attribute 1 name": "Color",
                    "Attribute 1 value(s)": v.color,
                }
            )
    return _write_rows(folder / "wc-product-export.csv", rows, encoding="utf-8-sig")


def api_json(folder: Path, base: str) -> Path:
    items = [
        {
            "id": v.sku,
            "name": v.title,
            "description": v.description,
            "price": float(v.price),
            "images": [{"id": n, "url": base + picture} for n, picture in enumerate(v.pictures)],
            "category": {"id": 7, "name": "Things"},
            "parent_id": v.product,
        }
        for v in VARIANTS
    ]
    path = folder / "items.json"
    path.write_text(json.dumps({"total": len(items), "items": items}, indent=1), encoding="utf-8")
    return path


def shopify_json(folder: Path, base: str) -> Path:
    products = []
    number = 1000
    for variants in by_product():
        pictures = _distinct(variants)
        ids = {picture: number + 500 + n for n, picture in enumerate(pictures)}
        products.append(
            {
                "id": number,
                "handle": variants[0].product,
                "title": variants[0].title,
                "body_html": _as_html(variants[0].description),
                "vendor": "Example",
                "product_type": "Things",
                "tags": ["new"],
                "options": [
                    {"name": name, "position": k, "values": []} for k, name in enumerate(_options(variants[0]), 1)
                ],
                "variants": [
                    {
                        "id": number * 10 + n,
                        "sku": v.sku,
                        "price": v.price,
                        "image_id": ids[v.pictures[0]],
                        **{f"option{k}": value for k, value in enumerate(_options(v).values(), 1)},
                    }
                    for n, v in enumerate(variants)
                ],
                "images": [
                    {"id": ids[picture], "position": n, "src": base + picture} for n, picture in enumerate(pictures, 1)
                ],
            }
        )
        number += 1000
    path = folder / "products.json"
    path.write_text(json.dumps({"products": products}), encoding="utf-8")
    return path


def spreadsheet(folder: Path, base: str) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["SKU", "Product name", "Description", "Price", "Picture 1", "Picture 2", "Parent SKU"])
    for v in VARIANTS:
        pictures = [base + picture for picture in v.pictures] + [None] * (2 - len(v.pictures))
        sheet.append([v.sku, v.title, v.description, float(v.price), *pictures, v.product])
    path = folder / "products.xlsx"
    book.save(path)
    return path


def parquet(folder: Path, base: str) -> Path:
    table = pa.table(
        {
            "product_id": [v.sku for v in VARIANTS],
            "product_title": pa.array([v.title for v in VARIANTS]).dictionary_encode(),
            "description": [v.description for v in VARIANTS],
            "price": pa.array([Decimal(v.price) for v in VARIANTS], pa.decimal128(10, 2)),
            "image_urls": [[base + picture for picture in v.pictures] for v in VARIANTS],
            "item_group_id": [v.product for v in VARIANTS],
            "seen": pa.array([1714550400123456789] * len(VARIANTS), pa.timestamp("ns")),
        }
    )
    path = folder / "products.parquet"
    pq.write_table(table, path)
    return path


def plain_csv(folder: Path, base: str) -> Path:
    rows = [
        {
            "sku": v.sku,
            "name": v.title,
            "description": v.description,
            "cost price": "1,00",
            "price": _european(v.price),
            "image": base + v.pictures[0],
            "more_images": " ".join(base + picture for picture in v.pictures[1:]),
            "parent": v.product,
        }
        for v in VARIANTS
    ]
    return _write_rows(folder / "my shop.csv", rows, ";", "utf-16", "sep=;\r\n")


def _european(price: str) -> str:
    whole, cents = price.split(".")
    return f"€ {whole[:-3]}.{whole[-3:]},{cents}" if len(whole) > 3 else f"€ {whole},{cents}"


FORMS: dict[str, Callable[[Path, str], Path]] = {
    form.__name__: form
    for form in (
        *(shopify_csv, shopify_json, google_tsv, google_xml, woocommerce_csv),
        *(api_json, spreadsheet, parquet, plain_csv),
    )
}
