"""WooCommerce's product export."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from firstsight.indexer.formats.opening import open_source
from tests.indexer.formats.reading import notes, numbers, rows

HEADER = (
    *("ID", "Type", "SKU", "GTIN, UPC, EAN, or ISBN", "Name", "Published", "Is featured?", "Visibility in catalog"),
    *("Short description", "Description", "In stock?", "Stock", "Sale price", "Regular price", "Categories", "Tags"),
    *("Images", "Parent", "Attribute 1 name", "Attribute 1 value(s)", "Attribute 2 name", "Attribute 2 value(s)"),
    "Meta: _wpcom",
)
PARENT = {
    **{"ID": "101", "Type": "variable", "SKU": "MH01", "Name": "Hoodie", "Published": "1"},
    **{"Description": "<p>Warm</p>\\n<p>Soft</p>", "Categories": "Men > Tops\\, warm, Sale", "Tags": "red, new"},
    **{"Images": "http://x/1.jpg, http://x/a\\,b.jpg", "Attribute 1 name": "Color"},
    **{"Attribute 1 value(s)": "Black, Gray", "Attribute 2 name": "Material", "Attribute 2 value(s)": "wool"},
}
BLACK = {
    **{"ID": "102", "Type": "variation", "SKU": "MH01-b", "Name": "Hoodie - Black", "Published": "1"},
    **{"Regular price": "52,00", "Sale price": "0", "Parent": "MH01", "Attribute 1 name": "Color"},
    **{"Attribute 1 value(s)": "Black", "Images": "http://x/b.jpg"},
}
GRAY = {
    **{"ID": "103", "Type": "variation, virtual", "Published": "1", "Parent": "id:101", "Regular price": "50"},
    **{"Description": "Own text", "Attribute 1 name": "color", "Attribute 1 value(s)": "Gray", "Sale price": "40"},
}
CUP = {
    **{"ID": "104", "Type": "simple", "SKU": "cup", "Name": "'=Cup", "Short description": "A cup", "Published": "1"},
    **{"Regular price": "5", "In stock?": "1", "Stock": "3", "GTIN, UPC, EAN, or ISBN": "0123", "Meta: _wpcom": "x"},
}


def write_export(path: Path, products: Sequence[Mapping[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        writer.writerows(products)
    return path


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 1, 3, 0]])
def test_variations_have_the_missing_fields_of_their_parent(tmp_path: Path, order: list[int]) -> None:
    products = [PARENT, BLACK, GRAY, CUP]
    found = {row["item_id"]: row for row in rows(write_export(tmp_path / "w.csv", [products[n] for n in order]))}
    assert set(found) == {"MH01-b", "103", "cup"}
    black = {
        **{"title": "Hoodie - Black", "text": "<p>Warm</p>\n<p>Soft</p>", "images": ["http://x/b.jpg"]},
        **{"price": "52,00", "sale_price": None, "category": "Men > Tops, warm", "group_id": "MH01"},
        **{"parent": "MH01", "tags": "red, new", "color": "Black", "material": "wool"},
    }
    gray = {
        **{"title": "Hoodie", "text": "Own text", "images": ["http://x/1.jpg", "http://x/a,b.jpg"], "price": "50"},
        **{"sale_price": "40", "category": "Men > Tops, warm", "group_id": "MH01", "parent": "id:101"},
        **{"color": "Gray", "material": "wool"},
    }
    assert {name: found["MH01-b"][name] for name in black} == black
    assert {name: found["103"][name] for name in gray} == gray


def test_a_simple_product_is_an_item_of_its_own(tmp_path: Path) -> None:
    path = write_export(tmp_path / "w.csv", [CUP])
    (cup,) = rows(path)
    expected = {"title": "=Cup", "text": "A cup", "images": [], "price": "5", "stock": "3", "gtin": "0123"}
    assert {name: cup[name] for name in expected} == expected
    assert "group_id" not in cup
    assert open_source(str(path)).format == "WooCommerce product export (CSV)"


@pytest.mark.parametrize("kind", ["grouped", "external", "variable", "variable-subscription"])
def test_products_of_other_types_without_variations_are_items(tmp_path: Path, kind: str) -> None:
    path = write_export(tmp_path / "w.csv", [{**PARENT, "Type": kind}])
    assert [row["item_id"] for row in rows(path)] == ["MH01"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Published": "0"}, "products that are not published"),
        ({"Published": "-1"}, "products that are not published"),
        ({"Visibility in catalog": "hidden"}, "products that are hidden in the shop's catalogue"),
    ],
)
def test_products_that_shoppers_cannot_see_are_left_out_with_a_note(
    tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    path = write_export(tmp_path / "w.csv", [{**PARENT, **change}, BLACK, {**CUP, **change}, {**CUP, "SKU": "pot"}])
    assert [row["item_id"] for row in rows(path)] == ["pot"]
    assert notes(path) == [f"2 left out: {reason}"]


def test_a_variation_without_its_parent_keeps_its_own_fields(tmp_path: Path) -> None:
    path = write_export(tmp_path / "w.csv", [BLACK])
    (row,) = rows(path)
    assert (row["title"], row["group_id"], row["color"]) == ("Hoodie - Black", "MH01", "Black")
    assert notes(path) == ["1 variations have no parent in this file; they keep their own fields"]


def test_rows_keep_the_lines_of_the_file(tmp_path: Path) -> None:
    assert numbers(write_export(tmp_path / "w.csv", [PARENT, BLACK, GRAY, CUP])) == [3, 4, 5]


def test_an_export_in_another_language_is_a_plain_csv(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text("ID,Typ,SKU,Name,Veröffentlicht\n1,simple,a,Tasse,1\n", encoding="utf-8-sig")
    assert open_source(str(path)).format == "CSV"
    assert rows(path)[0]["Typ"] == "simple"
