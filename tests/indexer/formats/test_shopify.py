"""Shopify's product export and its products as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.parsing.shopify_products import variant_pictures
from tests.indexer.formats.reading import bad_rows, notes, numbers, rows, write

OLD = (
    *("Handle", "Title", "Body (HTML)", "Vendor", "Product Category", "Type", "Tags", "Published"),
    *("Option1 Name", "Option1 Value", "Option2 Name", "Option2 Value", "Variant SKU", "Variant Price"),
    *("Variant Compare At Price", "Variant Barcode", "Image Src", "Image Position", "Variant Image", "Status"),
    "Fabric (product.metafields.custom.fabric)",
)
NEW = dict(
    zip(
        OLD,
        (
            *("URL handle", "Title", "Description", "Vendor", "Product category", "Type", "Tags"),
            *("Published on online store", "Option1 name", "Option1 value", "Option2 name", "Option2 value", "SKU"),
            *("Price", "Compare-at price", "Barcode", "Product image URL", "Image position", "Variant image URL"),
            *("Status", "Fabric (product.metafields.custom.fabric)"),
        ),
        strict=True,
    )
)
SHIRT = [
    {
        **{"Handle": "shirt", "Title": "Shirt", "Body (HTML)": "<p>Soft</p>", "Vendor": "Luma", "Type": "Tops"},
        **{"Tags": "men, tops", "Published": "true", "Option1 Name": "Color", "Option1 Value": "Black"},
        **{"Option2 Name": "Size", "Option2 Value": "S", "Variant SKU": "B-S", "Variant Price": "52.00"},
        **{"Variant Barcode": "'0123", "Image Src": "http://x/b.jpg", "Image Position": "1", "Status": "active"},
        **{"Variant Image": "http://x/b.jpg", "Fabric (product.metafields.custom.fabric)": "cotton"},
    },
    {
        **{"Handle": "shirt", "Option1 Value": "Gray", "Option2 Value": "S", "Variant SKU": "G-S"},
        **{"Variant Price": "0.00", "Variant Compare At Price": "60.00", "Variant Image": "http://x/g.jpg"},
        **{"Image Src": "http://x/b2.jpg", "Image Position": "2"},
    },
    {"Handle": "shirt", "Image Src": "http://x/g.jpg", "Image Position": "3"},
    {"Handle": "shirt", "Image Src": "http://x/g2.jpg", "Image Position": "4"},
]
POT = [
    {"Handle": "pot", "Title": "Pot", "Option1 Name": "Title", "Option1 Value": "Default Title", "Variant Price": "9"},
]


def write_export(path: Path, products: Sequence[Mapping[str, str]], *, new: bool = False) -> Path:
    names = NEW if new else {name: name for name in OLD}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(names.values()))
        writer.writeheader()
        writer.writerows({names[name]: value for name, value in row.items()} for row in products)
    return path


@pytest.mark.parametrize("new", [False, True])
def test_each_variant_is_a_row_with_the_fields_of_its_product(tmp_path: Path, new: bool) -> None:
    path = write_export(tmp_path / "products_export.csv", [*SHIRT, *POT], new=new)
    black, gray, pot = rows(path)
    shared = {
        **{"title": "Shirt", "text": "<p>Soft</p>", "vendor": "Luma", "category": "Tops", "product_type": "Tops"},
        **{"tags": "men, tops", "group_id": "shirt", "handle": "shirt", "size": "S", "fabric": "cotton"},
        **{"gift_card": None, "stock": None},
    }
    assert black == shared | {
        **{"item_id": "B-S", "color": "Black", "price": "52.00", "compare_at_price": None, "barcode": "0123"},
        **{"images": ["http://x/b.jpg", "http://x/b2.jpg"]},
    }
    assert gray == shared | {
        **{"item_id": "G-S", "color": "Gray", "price": None, "compare_at_price": "60.00", "barcode": None},
        **{"images": ["http://x/g.jpg", "http://x/g2.jpg"]},
    }
    assert (pot["item_id"], pot["title"], pot["price"], pot["images"]) == ("pot", "Pot", "9", [])
    assert "title" not in {name.removeprefix("option_") for name in pot if name.startswith("option_")}
    assert numbers(path) == [2, 3, 6]


def test_the_export_is_named(tmp_path: Path) -> None:
    assert open_source(str(write_export(tmp_path / "p.csv", SHIRT))).format == "Shopify product export (CSV)"


def test_an_export_saved_as_xlsx_is_read_alike(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book["Sheet"].append(list(OLD))
    for row in SHIRT:
        book["Sheet"].append([float(row[n]) if n == "Variant Price" and n in row else row.get(n) for n in OLD])
    book.save(tmp_path / "p.xlsx")
    found = rows(tmp_path / "p.xlsx")
    assert found[0].pop("price") == "52"
    expected = rows(write_export(tmp_path / "p.csv", SHIRT))
    expected[0].pop("price")
    assert found == expected


def test_a_variant_without_sku_has_the_handle_and_its_options_as_id(tmp_path: Path) -> None:
    products = [{**row, "Variant SKU": ""} for row in SHIRT]
    assert [row["item_id"] for row in rows(write_export(tmp_path / "p.csv", products))] == [
        "shirt/Black/S",
        "shirt/Gray/S",
    ]


def test_variants_of_one_sku_are_told_apart_by_their_options(tmp_path: Path) -> None:
    products = [{**row, **({"Variant SKU": "same"} if "Variant SKU" in row else {})} for row in SHIRT]
    assert [row["item_id"] for row in rows(write_export(tmp_path / "p.csv", products))] == [
        "shirt/Black/S",
        "shirt/Gray/S",
    ]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("Status", "draft", "products with status draft"),
        ("Status", "Archived", "products with status archived"),
        ("Published", "FALSE", "products that are not published"),
    ],
)
def test_products_that_shoppers_cannot_see_are_left_out_with_a_note(
    tmp_path: Path, field: str, value: str, reason: str
) -> None:
    path = write_export(tmp_path / "p.csv", [{**SHIRT[0], field: value}, *SHIRT[1:], *POT])
    assert [row["item_id"] for row in rows(path)] == ["pot"]
    assert notes(path) == [f"1 left out: {reason}"]


def test_rows_of_a_product_that_are_apart_are_bad_rows(tmp_path: Path) -> None:
    path = write_export(tmp_path / "p.csv", [SHIRT[0], *POT, SHIRT[1]])
    assert list(bad_rows(path)) == [4]
    assert "the product 'shirt' has no title; its rows must follow one another" in bad_rows(path)[4]


def test_a_malformed_row_keeps_the_rest_of_its_product(tmp_path: Path) -> None:
    path = write_export(tmp_path / "p.csv", SHIRT)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], "shirt,x\n", *lines[3:]]))
    assert list(bad_rows(path)) == [4]
    assert sorted(numbers(path)) == [2, 3, 4]


def test_an_option_called_like_a_known_column_gets_its_own_name(tmp_path: Path) -> None:
    products = [{**SHIRT[0], "Option1 Name": "Price", "Option2 Name": "Größe.EU"}]
    (row,) = rows(write_export(tmp_path / "p.csv", products))
    assert (row["price"], row["option_price"], row["größe_eu"]) == ("52.00", "Black", "S")


gallery = st.lists(st.sampled_from("abcdef"), unique=True)


@given(pictures=gallery, own=st.lists(st.none() | st.sampled_from("abcdefg"), min_size=1, max_size=5))
def test_every_picture_of_a_product_shows_a_variant(pictures: list[str], own: list[str | None]) -> None:
    shared = variant_pictures(pictures, own)
    assert set(pictures) | {picture for picture in own if picture} == {p for images in shared for p in images}
    for picture, images in zip(own, shared, strict=True):
        assert len(images) == len(set(images))
        assert picture is None or images[0] == picture


def test_pictures_before_the_first_variant_show_all_variants() -> None:
    assert variant_pictures(["all", "b", "b2", "g"], ["b", "g", "b", None]) == [
        ["b", "b2", "all"],
        ["g", "all"],
        ["b", "b2", "all"],
        ["all", "b", "b2", "g"],
    ]


# ---- JSON

PRODUCT: dict[str, Any] = {
    "id": 7,
    "title": "Shirt",
    "body_html": "<p>Soft</p>",
    "vendor": "Luma",
    "product_type": "Tops",
    "handle": "shirt",
    "tags": ["men", "tops"],
    "created_at": "2026-05-01T12:00:00-04:00",
    "options": [{"name": "Color", "values": ["Black", "Gray"]}, {"name": "Size", "values": ["S"]}],
    "variants": [
        {"id": 71, "sku": "B-S", "price": "52.00", "option1": "Black", "option2": "S", "image_id": 1},
        {"id": 72, "sku": "G-S", "price": "0.00", "option1": "Gray", "option2": "S", "image_id": 3},
    ],
    "images": [
        {"id": 3, "position": 3, "src": "http://x/g.jpg"},
        {"id": 1, "position": 1, "src": "http://x/b.jpg"},
        {"id": 2, "position": 2, "src": "http://x/b2.jpg"},
        {"id": 4, "position": 4, "src": "//x/g2.jpg"},
    ],
}


def graphql(product: Mapping[str, Any]) -> dict[str, Any]:
    """The product as the GraphQL interface returns it."""
    images = {image["id"]: image["src"] for image in product["images"]}
    names = [option["name"] for option in product["options"]]
    variants = [
        {
            **{"id": f"gid://shopify/ProductVariant/{v['id']}", "sku": v["sku"], "price": {"amount": v["price"]}},
            "selectedOptions": [{"name": n, "value": v[f"option{i}"]} for i, n in enumerate(names, 1)],
            "image": {"url": images[v["image_id"]]},
        }
        for v in product["variants"]
    ]
    return {
        **{"id": "gid://shopify/Product/7", "title": product["title"], "descriptionHtml": product["body_html"]},
        **{"vendor": product["vendor"], "productType": product["product_type"], "handle": product["handle"]},
        **{"tags": product["tags"], "createdAt": product["created_at"]},
        "images": {"nodes": [{"url": i["src"]} for i in sorted(product["images"], key=lambda i: i["position"])]},
        "variants": {"edges": [{"node": variant} for variant in variants]},
    }


@pytest.mark.parametrize(
    "document",
    [
        {"products": [PRODUCT]},
        [PRODUCT],
        {"product": PRODUCT},
        {"data": {"products": {"edges": [{"node": graphql(PRODUCT)}]}}},
        {"data": {"products": {"nodes": [graphql(PRODUCT)]}}},
    ],
    ids=["products", "list", "one", "edges", "nodes"],
)
def test_nested_products_give_the_rows_of_the_export(tmp_path: Path, document: Any) -> None:
    path = write(tmp_path / "products.json", json.dumps(document))
    found = rows(path)
    assert [(row["item_id"], row["color"], row["size"], row["price"]) for row in found] == [
        ("B-S", "Black", "S", "52.00"),
        ("G-S", "Gray", "S", None),
    ]
    assert [row["images"] for row in found] == [
        ["http://x/b.jpg", "http://x/b2.jpg"],
        ["http://x/g.jpg", "https://x/g2.jpg"],
    ]
    assert {(row["title"], row["text"], row["category"], row["tags"], row["group_id"]) for row in found} == {
        ("Shirt", "<p>Soft</p>", "Tops", "men, tops", "shirt")
    }
    assert numbers(path) == [1, 2]


def test_json_lines_of_products_are_read_too(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", json.dumps(PRODUCT) + "\n\n7\n" + json.dumps({**PRODUCT, "id": 8}) + "\n")
    assert numbers(path) == [1, 2, 3, 4, 5]
    assert list(bad_rows(path)) == [3]
    assert "line 3" in bad_rows(path)[3]


@pytest.mark.parametrize("own", ["featured_image", "variant_ids"])
def test_a_variant_can_name_its_picture_in_other_ways(tmp_path: Path, own: str) -> None:
    variants = [{k: v for k, v in variant.items() if k != "image_id"} for variant in PRODUCT["variants"]]
    images = [dict(image) for image in PRODUCT["images"]]
    if own == "featured_image":
        variants[0]["featured_image"] = {"id": 1, "src": "http://x/b.jpg?small"}
        variants[1]["featured_image"] = {"src": "http://x/g.jpg"}
    else:
        images[1]["variant_ids"], images[0]["variant_ids"] = [71], [72]
    document = [{**PRODUCT, "variants": variants, "images": images}]
    assert [row["images"] for row in rows(write(tmp_path / "p.json", json.dumps(document)))] == [
        ["http://x/b.jpg", "http://x/b2.jpg"],
        ["http://x/g.jpg", "https://x/g2.jpg"],
    ]


def test_variants_without_own_picture_and_sku_have_all_pictures_and_their_id(tmp_path: Path) -> None:
    product = {
        **{"id": 1000, "title": "Shirt", "variants": [{"id": 10, "option1": "red"}, {"id": 11, "option1": "blue"}]},
        "images": ["http://x/1.jpg", {"src": "http://x/2.jpg"}],
    }
    found = rows(write(tmp_path / "p.json", json.dumps({"products": [product]})))
    assert [(row["item_id"], row["option1"], row["group_id"]) for row in found] == [
        ("10", "red", "1000"),
        ("11", "blue", "1000"),
    ]
    assert all(row["images"] == ["http://x/1.jpg", "http://x/2.jpg"] for row in found)


def test_hidden_products_in_json_are_left_out_with_a_note(tmp_path: Path) -> None:
    products = [PRODUCT, {**PRODUCT, "status": "draft"}, {**PRODUCT, "published_at": None}]
    path = write(tmp_path / "p.json", json.dumps(products))
    assert len(rows(path)) == 2
    assert notes(path) == [
        "1 left out: products with status draft",
        "1 left out: products that are not published",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": 7},
        {"images": [None, {}, {"src": None}, [1]]},
        {"options": "x"},
        {"variants": [{"id": {"a": 1}, "sku": ["x"], "price": [1]}, {}]},
        {"tags": {"a": 1}, "category": [1], "handle": None, "title": 7},
    ],
    ids=str,
)
def test_values_of_a_wrong_shape_do_not_stop_the_reader(tmp_path: Path, wrong: dict[str, Any]) -> None:
    assert len(rows(write(tmp_path / "p.json", json.dumps([{**PRODUCT, **wrong}])))) == 2


def test_a_product_without_a_handle_has_its_id_as_group_and_no_handle(tmp_path: Path) -> None:
    product = {name: value for name, value in PRODUCT.items() if name != "handle"}
    found = rows(write(tmp_path / "products.json", json.dumps([product])))
    assert [(row["group_id"], row["handle"]) for row in found] == [("7", None), ("7", None)]
