"""What each column is used for: by its name and by its values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firstsight.errors import CatalogError
from firstsight.indexer.catalog import Catalog
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.columns.column_names import is_variant_name, key_of, picture_order, rank_of
from firstsight.indexer.columns.mapping_text import parse_mapping
from firstsight.indexer.columns.row_values import as_group
from firstsight.indexer.formats.source import EmbeddedMedium
from tests.indexer.columns.conftest import Check
from tests.indexer.shop import picture


def uses(catalog: Catalog) -> dict[str, str]:
    return {use.column: use.field for use in catalog.columns()}


def note(catalog: Catalog, column: str) -> str:
    return next(use.note for use in catalog.columns() if use.column == column)


# ---- names


@pytest.mark.parametrize(
    "name", ["image_link", "Image Link", "g:image_link", "imageLink", "IMAGE-LINK", "image link (main)", "image_link_2"]
)
def test_names_are_compared_without_case_punctuation_prefix_brackets_and_number(name: str) -> None:
    assert key_of(name) == "imagelink"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Größe", None),
        ("Título", "title"),
        ("Prénom", None),
        ("Artikel-Nr.", "item_id"),
        ("価格", None),
        ("PreisBrutto", "price"),
    ],
)
def test_accents_and_other_scripts_in_names(name: str, field: str | None) -> None:
    found = next((ours for ours in ("item_id", "title", "price") if rank_of(name, ours) is not None), None)
    assert found == field


def test_variant_columns_are_known_by_name() -> None:
    assert all(
        map(is_variant_name, ["color", "Colour", "Größe", "Size", "Flavour", "option1", "Option2 Value", "Farbe"])
    )
    assert not any(map(is_variant_name, ["title", "vendor", "Option1 Name", "tags"]))


@pytest.mark.parametrize(
    ("column", "value", "group"),
    [
        ("group_id", 0, "0"),
        ("item_group_id", "0", "0"),
        ("group_id", 0.0, "0"),
        ("parent_id", 0, None),
        ("Master ID", "0", None),
        ("group_id", " ", None),
        ("parent_id", 12.0, "12"),
    ],
)
def test_a_group_can_have_the_id_0_but_a_parent_0_is_none(column: str, value: object, group: str | None) -> None:
    assert as_group(value, column) == group


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mapping": {"titel": ["a"]}}, "'titel', which is not one of item_id"),
        ({"mapping": {"title": "name"}}, r"such as \['name'\]"),
        ({"types": {"price": "float"}}, "one of number, flag, time, text, not 'float'"),
        ({"drop": "notes"}, r"such as \{'notes'\}"),
        ({"variants": "size"}, "not 'size'"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CatalogOptions(**options)


def test_picture_columns_have_an_order() -> None:
    names = ["thumbnail", "gallery", "back", "image3", "image2", "additional_image_link", "image", "main_image"]
    ordered = sorted(names, key=picture_order)
    assert ordered == [
        "main_image",
        "image",
        "additional_image_link",
        "gallery",
        "image2",
        "image3",
        "back",
        "thumbnail",
    ]


# ---- ids and groups


def test_the_first_filled_and_unique_column_is_the_id(check: Check) -> None:
    rows: list[dict[str, Any]] = [
        {"id": 7, "sku": "a", "handle": "x", "name": "A"},
        {"id": 7, "sku": "b", "handle": "x", "name": "B"},
        {"id": 7, "sku": "c", "handle": "y", "name": "C"},
    ]
    catalog = check(rows)
    assert uses(catalog) == {"id": "", "sku": "item_id", "handle": "group_id", "name": "title"}
    assert note(catalog, "id") == "not used as item_id: '7' is in 3 of 3 rows"
    assert [item.columns["group_id"] for item in catalog.items()] == ["x", "x", "y"]
    assert [item.columns["handle"] for item in catalog.items()] == ["x", "x", "y"]


def test_a_product_id_that_repeats_is_the_group_and_one_that_does_not_is_the_id(check: Check) -> None:
    rows = [{"product_id": "p", "variant_id": n, "name": "A", "image": f"{n}.jpg"} for n in range(2)]
    assert uses(check(rows)) == {"product_id": "group_id", "variant_id": "item_id", "name": "title", "image": "images"}
    assert uses(check([{"product_id": n, "name": "A"} for n in range(2)])) == {"product_id": "item_id", "name": "title"}


@pytest.mark.parametrize("value", ["0", 0, "", None, "none"])
def test_a_parent_of_zero_is_no_group(check: Check, value: object) -> None:
    rows = [{"id": 1, "title": "A", "parent": value}, {"id": 2, "title": "A", "parent": "p"}]
    first, second = check(rows).items()
    assert ("group_id" in first.columns, second.columns["group_id"]) == (False, "p")


@pytest.mark.parametrize("values", [("yes", "no"), ("parent", "child"), ("1", "0")])
def test_a_parent_column_of_flags_is_no_group(check: Check, values: tuple[str, str]) -> None:
    catalog = check([{"id": n, "parent": value} for n, value in enumerate(values)])
    assert uses(catalog)["parent"] == ""


def test_mistakes_of_an_id_column_are_reported_by_row(check: Check) -> None:
    rows = [{"sku": f"s{n}", "name": "x"} for n in range(20)] + [{"sku": "s3", "name": "y"}, {"name": "z"}]
    with pytest.raises(CatalogError) as caught:
        check(rows)
    assert "line 21: item_id 's3' (column 'sku') is already in line 4" in str(caught.value)
    assert "line 22: item_id is empty" in str(caught.value)


def test_a_catalogue_without_ids_says_why_each_column_is_no_id(check: Check) -> None:
    with pytest.raises(
        CatalogError, match=r"'handle' is not used: 'x' is in 2 of 2 rows. Name yours with --map item_id="
    ):
        check([{"handle": "x", "name": "A"}, {"handle": "x", "name": "B"}])


# ---- titles and texts


def test_an_exact_name_wins_if_it_has_values(check: Check) -> None:
    assert uses(check([{"id": 1, "name": "A", "title": "T"}, {"id": 2, "name": "B"}]))["title"] == "title"
    assert uses(check([{"id": 1, "name": "A", "title": ""}, {"id": 2, "name": "B"}]))["name"] == "title"


def test_of_two_candidates_the_better_filled_one_is_used_and_the_other_named(check: Check) -> None:
    rows = [
        {"id": n, "name": "A" if n == 0 else None, "product_title": "T", "body": "x", "details": "y"} for n in range(4)
    ]
    catalog = check(rows)
    assert uses(catalog) == {"id": "item_id", "name": "", "product_title": "title", "body": "text", "details": ""}
    assert note(catalog, "name") == "not used as title: 'product_title' is filled better"
    assert note(catalog, "details") == "not used as text: 'body' comes first"
    assert [item.columns.get("name") for item in catalog.items()] == ["A", None, None, None]


def test_a_title_column_without_letters_is_no_title(check: Check) -> None:
    assert uses(check([{"id": n, "label": n, "designation": "Shoe"} for n in range(3)]))["designation"] == "title"


def test_html_becomes_text_in_titles_texts_and_categories(check: Check) -> None:
    row = {"id": 1, "name": "Mug &amp; <b>saucer</b>", "body": "<p>a</p><p>b &lt; c</p>", "category": "Tops &amp; more"}
    (item,) = check([row]).items()
    assert (item.title, item.text, item.columns["category"]) == ("Mug & saucer", "a\nb < c", "Tops & more")


# ---- media


def test_a_column_that_is_named_like_media_but_holds_none_is_a_plain_column(check: Check) -> None:
    catalog = check([{"id": 1, "media": "DVD", "photo": "Anna", "picture": "yes"}])
    assert uses(catalog) == {"id": "item_id", "media": "", "photo": "", "picture": ""}
    assert note(catalog, "media") == "named like pictures, but holds none"
    assert catalog.kinds["media"] == "text"


def test_a_column_with_another_name_that_holds_pictures_is_used_after_named_ones(check: Check) -> None:
    (item,) = check([{"id": 1, "vorne": "v.jpg", "link": "https://shop.example/a", "image": "i.jpg"}]).items()
    assert item.images == ("i.jpg", "v.jpg")
    assert item.columns["link"] == "https://shop.example/a"


def test_files_without_an_extension_in_the_catalogues_folder_are_pictures(check: Check, tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "0001").write_bytes(picture(1))
    (item,) = check([{"id": 1, "file": "pics/0001"}]).items()
    assert item.images == ("pics/0001",)


def test_equal_addresses_count_once_and_the_main_picture_is_the_first(check: Check) -> None:
    row = {"id": 1, "images": ["b.jpg", "a.jpg", "c.jpg"], "main_image": "a.jpg", "image2": "c.jpg"}
    (item,) = check([row]).items()
    assert item.images == ("a.jpg", "b.jpg", "c.jpg")


def test_of_two_main_pictures_the_better_filled_one_comes_and_the_other_helps_out(check: Check) -> None:
    rows = [
        {"id": n, "image": f"a{n}.jpg" if n == 3 else None, "photo": f"b{n}.jpg" if n else None, "image2": f"c{n}.jpg"}
        for n in range(4)
    ]
    rows[0]["image"] = "a0.jpg"
    catalog = check(rows)
    expected = [("a0.jpg", "c0.jpg"), ("b1.jpg", "c1.jpg"), ("b2.jpg", "c2.jpg"), ("b3.jpg", "c3.jpg")]
    assert [item.images for item in catalog.items()] == expected
    assert note(catalog, "image") == "'photo' is filled better; used only for items without a picture there"
    both = check([{"id": 1, "front": "a.jpg", "back": "b.jpg"}])
    assert [item.images for item in both.items()] == [("a.jpg", "b.jpg")]


def test_small_copies_are_used_only_if_there_is_nothing_better(check: Check) -> None:
    small = {"id": 1, "thumbnail": "t.jpg", "small_image": "s.jpg"}
    assert [item.images for item in check([small | {"image": "a.jpg"}]).items()] == [("a.jpg",)]
    catalog = check([small | {"image": None}])
    assert [item.images for item in catalog.items()] == [("s.jpg",)]
    assert note(catalog, "thumbnail") == "another small copy of 'small_image'"


def test_logos_are_no_pictures_of_the_item(check: Check) -> None:
    catalog = check([{"id": 1, "image": "a.jpg", "brand_logo": "l.png", "size_chart_image": "c.png"}])
    assert uses(catalog)["brand_logo"] == uses(catalog)["size_chart_image"] == ""
    assert "use it with --map" in note(catalog, "brand_logo")


def test_a_media_column_may_hold_pictures_and_videos(check: Check) -> None:
    (item,) = check([{"id": 1, "media": "a.jpg, b.mp4"}]).items()
    assert (item.images, item.videos) == (("a.jpg",), ("b.mp4",))


def test_addresses_of_video_pages_are_no_videos(check: Check) -> None:
    catalog = check([{"id": 1, "video_link": "https://www.youtube.com/watch?v=abc"}])
    assert uses(catalog)["video_link"] == ""
    (item,) = check([{"id": 1, "video_link": "https://cdn.example/stream/7"}]).items()
    assert item.videos == ("https://cdn.example/stream/7",)


def test_embedded_pictures_count_as_pictures() -> None:
    from firstsight.indexer.columns.media_values import MediaFinder

    finder = MediaFinder(Path("."))
    found = finder.find([EmbeddedMedium(picture(1), "a.png")])
    assert found is not None
    assert (found.field, found.text) == ("images", "a.png")
    assert finder.find(EmbeddedMedium(b"no picture")) is None
    nested = finder.find({"front": {"scans": [EmbeddedMedium(picture(1))]}})
    assert nested is not None
    assert nested.field == "images"


# ---- options and the database


def test_a_mapping_turns_off_guessing_for_its_fields_only(check: Check) -> None:
    row = {"sku": "s", "name": "N", "label": "L", "image": "a.jpg", "back": "b.jpg", "body": "B"}
    catalog = check([row], mapping=parse_mapping("title=label,images=back"))
    (item,) = catalog.items()
    assert (item.item_id, item.title, item.text, item.images) == ("s", "L", "B", ("b.jpg",))
    assert item.columns == {"name": "N", "image": "a.jpg"}


def test_shop_columns_can_be_mapped(check: Check) -> None:
    row = {"id": 1, "vk": "5 EUR", "a": "6 EUR", "b": "G", "c": "C", "d": "CHF"}
    (item,) = check([row], mapping=parse_mapping("price=a,group_id=b,category=c,currency=d")).items()
    assert item.columns == {"vk": "5 EUR", "price": 6.0, "group_id": "G", "category": "C", "currency": "CHF"}


def test_a_dropped_column_is_not_used(check: Check) -> None:
    catalog = check([{"id": 1, "image": "a.jpg", "gallery": "b.jpg"}], drop=frozenset({"image"}))
    assert [item.images for item in catalog.items()] == [("b.jpg",)]
    assert note(catalog, "image") == "dropped"


def test_a_column_that_the_database_has_goes_on_being_filled(check: Check) -> None:
    row = {"item_id": "a", "title": "T", "description": "D", "image": "a.jpg"}
    (item,) = check([row], stored={"description": "text", "image": "text"}).items()
    assert (item.text, item.images) == ("D", ("a.jpg",))
    assert item.columns == {"description": "D", "image": "a.jpg"}


def test_fields_that_begin_after_the_sample_are_read(check: Check) -> None:
    rows: list[dict[str, Any]] = [{"id": n} for n in range(1_200)]
    rows.append({"id": "last", "title": "T", "images": ["a.jpg"], "price": "5.00 USD"})
    *_, item = check(rows).items()
    assert (item.title, item.images, item.columns) == ("T", ("a.jpg",), {"price": 5.0, "currency": "USD"})


def test_large_rows_limit_the_sample(check: Check) -> None:
    rows = [{"id": n, "text": "x" * 2**20} for n in range(40)] + [{"id": "last", "name": "N"}]
    catalog = check(rows)
    assert [item.title for item in catalog.items()][-1] is None  # `name` is not in the first 32 MiB
    assert uses(catalog)["name"] == ""


def test_objects_with_pictures_of_other_things_are_no_pictures(check: Check) -> None:
    address = "https://cdn.example/{}.png"
    row = {
        "id": 1,
        "brand": {"name": "Luma", "logo": address.format("logo")},
        "categories": [{"name": "Shoes", "image": address.format("category")}],
        "meta": {"barcode": "91", "qrCode": address.format("code")},
        "reviews": [{"rating": 5, "images": [address.format("review")]}],
        "files": [{"label": "front", "url": address.format("front")}],
    }
    catalog = check([row])
    (item,) = catalog.items()
    assert item.images == (address.format("front"),)
    assert item.columns["category"] == "Shoes"
    assert catalog.media.unused() == ()


def test_an_object_without_a_known_key_gives_its_address(check: Check) -> None:
    (item,) = check([{"id": 1, "picture": {"alt": "front view", "cdn": "https://cdn.example/a.jpg"}}]).items()
    assert item.images == ("https://cdn.example/a.jpg",)


def test_kinds_and_times_with_other_meanings_are_plain_columns(check: Check) -> None:
    rows = [{"id": n, "kind": kind, "created_at": "9/5/24, 10:00 AM"} for n, kind in enumerate(("shoe", "hat"))]
    catalog = check(rows)
    item = next(catalog.items())
    assert (item.kind, item.created_at) == ("product", None)
    assert item.columns == {"kind_2": "shoe", "created_at_2": "9/5/24, 10:00 AM"}
    notes = {use.column: use.note for use in catalog.columns()}
    assert notes["kind"] == "not used as kind: its values are none of product, video, live"
    assert notes["created_at"].endswith("'9/5/24, 10:00 AM' is not an ISO 8601 time")


def test_whole_numbers_with_decimals_are_ids_without_them(check: Check) -> None:
    assert [item.item_id for item in check([{"id": "123.0"}, {"id": "124.0"}]).items()] == ["123", "124"]
    assert [item.item_id for item in check([{"id": "123.0"}, {"id": "v1.0"}]).items()] == ["123.0", "v1.0"]


def test_types_of_goods_are_no_categories(check: Check) -> None:
    rows = [{"SKU": n, "Product Type": "PHYSICAL", "Categories": "/men"} for n in range(2)]
    assert next(check(rows).items()).columns["category"] == "/men"
