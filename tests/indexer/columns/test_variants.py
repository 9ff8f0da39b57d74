"""Variants of a product: which rows are one item, and which columns tell variants apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import firstsight
from firstsight.indexer.catalog import check_catalog
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.formats.source import BadRow, EmbeddedMedium
from firstsight.indexer.row_reader import CatalogItem
from firstsight.storage.product_groups import read_product_groups
from firstsight.storage.store import Store
from tests.indexer.columns.conftest import Check
from tests.indexer.shop import ColourEncoder, contents, index, picture, write_csv, write_jsonl

SHIRT: list[dict[str, Any]] = [
    {"id": "red-s", "item_group_id": "shirt", "title": "Shirt red S", "image": "red.png", "size": "S", "color": "red"},
    {"id": "mug", "item_group_id": "", "title": "Mug", "image": "red.png", "size": "", "color": ""},
    {"id": "red-m", "item_group_id": "shirt", "title": "Shirt red M", "image": "red.png", "size": "M", "color": "red"},
    {
        "id": "blue-s",
        "item_group_id": "shirt",
        "title": "Shirt blue S",
        "image": "blue.png",
        "size": "S",
        "color": "blue",
    },
    {"id": "cup", "item_group_id": None, "title": "Mug", "image": "red.png", "size": "", "color": ""},
]


def ids(items: list[CatalogItem]) -> dict[str, list[str] | None]:
    return {
        item.item_id: json.loads(str(item.columns["variant_ids"])) if item.columns.get("variant_ids") else None
        for item in items
    }


def test_variants_with_the_same_pictures_are_one_item(check: Check) -> None:
    catalog = check(SHIRT)
    items = list(catalog.items())
    assert ids(items) == {"red-s": ["red-s", "red-m"], "mug": None, "blue-s": None, "cup": None}
    assert (catalog.size, catalog.merged_rows) == (4, 1)
    assert items[0].columns["size"] == "S, M"
    assert (items[0].title, items[0].columns["color"]) == ("Shirt red S", "red")
    assert [list(part) for part in catalog.merged_ids()] == [["red-m"]]
    assert catalog.has(["red-s", "red-m", "mug", "nothing"]) == {"red-s", "mug"}


def test_each_row_is_an_item_with_the_rule_variant(check: Check) -> None:
    catalog = check(SHIRT, variants="variant")
    assert ids(list(catalog.items())) == dict.fromkeys(["red-s", "mug", "red-m", "blue-s", "cup"])
    assert "variant_ids" not in catalog.kinds


def test_a_product_is_one_item_with_all_pictures_with_the_rule_product(check: Check) -> None:
    items = list(check(SHIRT, variants="product").items())
    assert ids(items) == {"red-s": ["red-s", "red-m", "blue-s"], "mug": None, "cup": None}
    assert items[0].images == ("red.png", "blue.png")
    assert items[0].columns["color"] == "red, blue"


@pytest.mark.parametrize(
    ("change", "merged"),
    [
        ({"image": "red.png", "image2": "back.png"}, False),
        ({"image": "red.png", "video": "a.mp4"}, False),
        ({"image": "red.png", "kind": "video"}, False),
        ({"image": "red.png"}, True),
    ],
)
def test_all_pictures_and_videos_must_be_shared(check: Check, change: dict[str, str], merged: bool) -> None:
    rows = [{"id": 1, "parent": "p", "image": "red.png"}, {"id": 2, "parent": "p"} | change]
    assert check(rows).merged_rows == merged


def test_the_order_of_further_pictures_does_not_matter_but_the_main_picture_does(check: Check) -> None:
    base = {"parent": "p", "title": "T"}
    rows = [base | {"id": n, "images": names} for n, names in enumerate(["a.jpg|b.jpg|c.jpg", "a.jpg|c.jpg|b.jpg"])]
    assert check(rows).merged_rows == 1
    rows = [base | {"id": n, "images": names} for n, names in enumerate(["a.jpg|b.jpg", "b.jpg|a.jpg"])]
    assert check(rows).merged_rows == 0


def test_variants_without_media_are_one_item_if_title_and_text_are_equal(check: Check) -> None:
    rows = [
        {"id": 1, "parent": "p", "title": "T", "text": "x"},
        {"id": 2, "parent": "p", "title": "T", "text": "x"},
        {"id": 3, "parent": "p", "title": "T", "text": "y"},
        {"id": 4, "parent": "q", "title": "T", "text": "x"},
    ]
    assert ids(list(check(rows).items())) == {"1": ["1", "2"], "3": None, "4": None}


def test_the_price_of_merged_variants_is_the_lowest_with_its_sale_price_and_currency(check: Check) -> None:
    rows = [
        {"id": 1, "parent": "p", "image": "a.jpg", "price": "20.00 EUR", "sale_price": "18.00 EUR", "stock": 3},
        {"id": 2, "parent": "p", "image": "a.jpg", "price": "15.00 USD", "sale_price": "14.00 USD", "stock": 4},
    ]
    (item,) = check(rows).items()
    prices = {name: item.columns[name] for name in ("price", "sale_price", "currency", "stock")}
    assert prices == {"price": 15.0, "sale_price": 14.0, "currency": "USD", "stock": 3.0}


def test_sizes_in_numbers_and_barcodes_become_texts_where_they_differ_in_an_item(check: Check) -> None:
    rows = [
        {"id": n, "parent": "p", "image": "a.jpg", "size": 40 + n, "barcode": 1000 + n, "width": 3} for n in range(3)
    ]
    catalog = check(rows)
    (item,) = catalog.items()
    assert (item.columns["size"], item.columns["barcode"], item.columns["width"]) == (
        "40, 41, 42",
        "1000, 1001, 1002",
        3.0,
    )
    (stored,) = check(rows, stored={"size": "number"}).items()
    assert stored.columns["size"] == 40.0


def test_embedded_pictures_are_compared_by_their_bytes(tmp_path: Path) -> None:
    class Source:
        name, format, place, root, notes = "rows", "rows", "row", tmp_path, ()

        def rows(self) -> Any:
            def row(number: int, seed: int) -> tuple[int, dict[str, object] | BadRow]:
                return number, {"id": f"v{number}", "parent": "p", "image": EmbeddedMedium(picture(seed))}

            yield from (row(1, 1), row(2, 1), row(3, 2))

    numbers = {picture(1): 1, picture(2): 2}

    def store(data: bytes) -> str:
        return f"stored://{numbers[data]}"

    for variants, expected in (
        ("picture", [("stored://1",), ("stored://2",)]),
        ("product", [("stored://1", "stored://2")]),
    ):
        catalog = check_catalog(Source(), CatalogOptions(variants=variants))  # type: ignore[arg-type]
        catalog.store_medium = store
        assert [item.images for item in catalog.items()] == expected
        catalog.close()


# ---- columns that tell variants apart


def test_variant_columns_are_those_that_differ_between_the_items_of_a_product(check: Check) -> None:
    rows = [
        {
            "id": f"{p}-{n}",
            "parent": p,
            "image": f"{p}{n}.jpg",
            "color": c,
            "material": "wool",
            "wattage": w,
            "vendor": v,
        }
        for p, v in (("a", "Luma"), ("b", "Acme"))
        for n, (c, w) in enumerate((("red", "40 W"), ("blue", "60 W")))
    ]
    columns = check(rows).variant_columns
    assert columns == {"color": ("red", "blue"), "wattage": ("40 W", "60 W")}


def test_sizes_of_merged_variants_tell_no_items_apart(check: Check) -> None:
    assert check(SHIRT).variant_columns == {"color": ("red", "blue")}
    assert check(SHIRT, variants="variant").variant_columns == {"color": ("red", "blue"), "size": ("S", "M")}


def test_at_most_a_thousand_values_are_kept_and_small_columns_keep_all(check: Check) -> None:
    rows = [
        {"id": n, "parent": n // 2 + 1, "image": f"{n}.jpg", "color": f"c{n}", "size": "SML"[n % 3]}
        for n in range(3_000)
    ]
    columns = check(rows).variant_columns
    assert columns["size"] == ("S", "M", "L")
    assert sum(map(len, columns.values())) == 1_000


def test_a_catalogue_without_groups_has_no_variant_columns(check: Check) -> None:
    assert check([{"id": n, "color": "red", "image": "a.jpg"} for n in range(3)]).variant_columns == {}


# ---- whole runs


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for n, name in enumerate(("red", "blue")):
        (tmp_path / f"{name}.png").write_bytes(picture(n))
    return write_csv(tmp_path / "shop.csv", SHIRT)


def test_items_of_earlier_runs_that_are_variants_now_are_counted_and_pruned(db: Path, shop: Path) -> None:
    apart = index(db, shop, options=CatalogOptions(variants="variant"))
    assert (apart.counts.items, apart.merged_variants, apart.stored_variants) == (5, 0, 0)
    merged = index(db, shop)
    assert (merged.counts.items, merged.merged_variants, merged.stored_variants) == (4, 1, 1)
    assert "red-m" in contents(db)["items"]
    pruned = index(db, shop, prune=True)
    assert (pruned.counts.pruned, pruned.stored_variants) == (1, 1)
    items = contents(db)["items"]
    assert sorted(items) == ["blue-s", "cup", "mug", "red-s"]
    assert items["red-s"]["variant_ids"] == '["red-s", "red-m"]'
    assert items["mug"]["variant_ids"] is None
    assert index(db, shop).counts.unchanged == 4


def test_the_database_keeps_the_values_that_tell_variants_apart(db: Path, shop: Path) -> None:
    index(db, shop)
    groups = read_product_groups(Store.open(db))
    assert groups is not None
    assert groups.variant_columns == {"color": ("red", "blue")}
    index(db, shop, options=CatalogOptions(variants="variant"))
    groups = read_product_groups(Store.open(db))
    assert groups is not None
    assert groups.variant_columns == {"color": ("red", "blue"), "size": ("S", "M")}


def test_every_format_merges_alike(tmp_path: Path, shop: Path) -> None:
    rows = [{name: value or None for name, value in row.items()} for row in SHIRT]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "shop.parquet")
    sources = [shop, write_jsonl(tmp_path / "shop.jsonl", SHIRT), tmp_path / "shop.parquet"]
    found = []
    for source in sources:
        preview = firstsight.open(tmp_path / "none", encoder=ColourEncoder()).indexing.preview(source)
        found.append((preview.items, preview.merged_variants, preview.variant_columns, preview.first_items))
    assert found[0] == found[1] == found[2]
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_memory_does_not_grow_with_merged_variants(tmp_path: Path) -> None:
    import tracemalloc

    def peak(products: int) -> int:
        rows = (
            {"id": f"{p}-{n}", "parent": p, "title": f"t{p}", "text": "x" * 2_000, "note": f"{p} {n} " * 50}
            for p in range(1, products + 1)
            for n in range(5)
        )
        path = write_jsonl(tmp_path / "c.jsonl", rows)
        tracemalloc.start()
        from firstsight.indexer.formats.opening import open_source

        catalog = check_catalog(open_source(str(path)))
        assert sum(1 for _ in catalog.items()) == products
        catalog.close()
        _, high = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return high

    small, large = peak(500), peak(4_000)
    assert large < small + 2 * 2**20
