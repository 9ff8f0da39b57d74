"""Warnings for unused columns that look like media; exit code 3 if no media are used at all."""

from __future__ import annotations

import base64
import io
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import firstsight
from firstsight.indexer.catalog import check_catalog
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.columns.column_names import looks_like_pictures
from firstsight.indexer.columns.mapping_text import parse_mapping
from firstsight.indexer.columns.unused_media import UnusedMedia
from firstsight.indexer.formats.opening import open_source
from tests.indexer.shop import ColourEncoder, index, make_shop, picture, write_csv, write_jsonl

Unused = Callable[..., tuple[UnusedMedia, ...]]


@pytest.fixture
def unused(tmp_path: Path) -> Unused:
    """Check a column `found` with these values, in a catalogue whose media are mapped; returns its unused media."""

    def of(*values: object, name: str = "found", **options: Any) -> tuple[UnusedMedia, ...]:
        options = {"mapping": parse_mapping("images=front,videos=clip")} | options
        rows = [{"item_id": str(n), "title": "x", "front": None, "clip": None, name: v} for n, v in enumerate(values)]
        source = open_source(str(write_jsonl(tmp_path / "c.jsonl", rows)))
        catalog = check_catalog(source, CatalogOptions(**options))
        try:
            return catalog.media.unused()
        finally:
            catalog.close()

    return of


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("front.jpg", "images"),
        ("pics/Front View.JPEG", "images"),
        ("pics\\front.webp", "images"),
        ("/abs/front.png", "images"),
        ("clip.mp4", "videos"),
        ("https://cdn.example/a/front.jpg", "images"),
        ("https://cdn.example/front.jpg?v=2&w=100", "images"),
        ("https://cdn.example/image.php?file=front.jpg", "images"),
        ("https://cdn.example/front.jpg/v1/fill/w_100", "images"),
        ("https://res.cdn.example/w_300,h_300/front.png", "images"),
        ("//cdn.example/front.jpg", "images"),
        ("s3://bucket/front.png", "images"),
        ("https://cdn.example/a%20b.mov", "videos"),
        ("https://cdn.example/live/segment.ts", "videos"),
        ("a.jpg|b.jpg", "images"),
        ("a.jpg, b.jpg", "images"),
        ("https://x.example/a.jpg;https://x.example/b.jpg", "images"),
        ("a.jpg\nb.jpg", "images"),
        ('["a.jpg", "b.jpg"]', "images"),
        (["a.jpg", "b.jpg"], "images"),
        ({"src": "a.jpg", "alt": "front"}, "images"),
        ([{"url": "https://x.example/a.jpg"}], "images"),
        ({"large": {"href": "https://x.example/a.jpg"}}, "images"),
        ('{"src": "a.jpg"}', "images"),
        ("['a.jpg', 'b.jpg']", "images"),
    ],
)
def test_addresses_and_paths_of_media_are_found_with_the_option_that_uses_them(
    unused: Unused, value: object, field: str
) -> None:
    (found,) = unused(value, value)
    assert (found.column, found.field) == ("found", field)
    used = {"images": "images=front+found,videos=clip", "videos": "images=front,videos=clip+found"}
    assert found.option == f"--map {used[field]}"
    assert found.message.endswith(f"use it with {found.option}, or leave it out with --drop found")


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", "data: addresses and base64 are not supported"),
        (base64.b64encode(picture(1)).decode(), "data: addresses and base64 are not supported"),
        (["data:video/mp4;base64,AAAA"], "data: addresses and base64 are not supported"),
    ],
)
def test_media_that_no_option_can_use_are_found_with_what_to_do(unused: Unused, value: object, remedy: str) -> None:
    (found,) = unused(value)
    assert found.option == ""
    assert remedy in found.message
    assert found.message.endswith("or leave it out with --drop found")


@pytest.mark.parametrize(
    "value",
    [
        "a.b",
        "SKU-12.5",
        "12.50",
        12.5,
        True,
        "https://shop.example/page.html",
        "https://shop.example/product/12",
        "https://jpg.example/",
        "https://www.youtube.example/watch?v=abc",
        "anna@shop.example",
        "Photo: see the catalogue.",
        "A red shoe, with laces; size 42",
        "src/app.ts",
        "manual.pdf",
        {"width": 3, "unit": "cm"},
        ["red", "blue"],
        "[not json.jpg",
        "['red', 'blue']",
        "[" * 5_000 + "'a.jpg'",
        "../../etc/passwd",
        "/etc/hostname",
        "\x7f",
        "x" * 30_000 + ".jpg",
    ],
)
def test_values_that_are_not_media_give_no_warning(unused: Unused, value: object) -> None:
    assert unused(value, value) == ()


def test_an_existing_file_is_recognised_by_its_first_bytes(unused: Unused, tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "0001").write_bytes(picture(1))
    (tmp_path / "readme").write_text("no picture")
    assert [one.field for one in unused("pics/0001")] == ["images"]
    assert unused("readme", "pics") == ()


def test_a_file_outside_the_catalogues_folder_is_not_opened(unused: Unused, tmp_path: Path) -> None:
    outside = tmp_path.parent / "outside-of-the-shop"
    outside.write_bytes(picture(1))
    (tmp_path / "link").symlink_to(outside)
    assert unused("../outside-of-the-shop", str(outside), "link") == ()


def test_an_address_without_an_ending_is_a_picture_where_the_column_is_called_so(unused: Unused) -> None:
    address = "https://images.example/photo-1500"
    assert [one.option for one in unused(address, name="main_image_url")] == [
        "--map images=front+main_image_url,videos=clip"
    ]
    assert unused(address, name="homepage") == ()
    assert unused("https://shop.example/page.html", name="image") == ()
    for name in ("image", "imageUrl", "additional image link", "photo2", "IMAGE_URL", "more_images", "media"):
        assert looks_like_pictures(name), name
    for name in ("photographer_url", "image_license", "imagery", "homepage", "url", "video_url", ""):
        assert not looks_like_pictures(name), name


def test_half_of_the_values_decide(unused: Unused) -> None:
    assert unused("a.jpg", "b.jpg", "none", None, "") != ()
    assert unused("a.jpg", "see text", "as above") == ()


def test_texts_for_no_picture_do_not_count(unused: Unused) -> None:
    assert unused(*["N/A", "none", "-", "NULL", "no image", " ", "nan"] * 50, "a.jpg") != ()
    assert unused("N/A", "none", "-", name="image") == ()


def test_a_limited_number_of_values_is_checked_wherever_they_begin(unused: Unused) -> None:
    assert unused(*[None] * 5_000, "a.jpg") != ()
    assert unused(*["a.jpg"] * 100, *["text"] * 5_000) != ()


def test_one_option_names_all_columns_and_what_was_mapped_before(tmp_path: Path) -> None:
    row = {"item_id": "a", "name": "x", "1": "1.jpg", "front": "a.jpg;b.jpg", "back side": "c.jpg", "a, b": "d.mp4"}
    mapping = parse_mapping("title=name,images=1,videos=name")
    options = CatalogOptions(mapping, drop=frozenset({"notes"}), list_separator="|")
    catalog = check_catalog(open_source(str(write_jsonl(tmp_path / "d.jsonl", [row]))), options)
    found = catalog.media.unused()
    catalog.close()
    assert [one.column for one in found] == ["front", "back side", "a, b"]
    assert {one.option for one in found} == {
        "--map 'title=name,images=1+front+back side,videos=name+\"a, b\"' --list-separator ';'"
    }
    assert found[1].message.endswith("--drop 'notes,back side'")
    assert catalog.media.used == {"images", "videos"}
    assert not catalog.media.none_used


def test_a_mapping_that_replaces_images_is_a_warning(unused: Unused) -> None:
    (found,) = unused("a.jpg", name="images", mapping=parse_mapping("images=item_id"))
    assert found.option == "--map images=item_id+images"


def test_a_column_that_is_used_or_dropped_is_no_warning(unused: Unused) -> None:
    assert unused("a.jpg", mapping=parse_mapping("images=found")) == ()
    assert unused("a.jpg", mapping={}) == ()
    assert unused("a.jpg", name="videos", mapping={}) == ()
    assert unused("a.jpg", drop=frozenset({"found"})) == ()


def test_media_that_begin_after_the_sample_are_a_warning(unused: Unused) -> None:
    (found,) = unused(*[None] * 1_500, "a.jpg", mapping={})
    assert found.option == "--map images=found"
    assert unused(*[None] * 1_500, "a.jpg", name="image_link", mapping={}) == ()


@pytest.mark.parametrize("name", ["thumbnail", "brand_logo", "swatch_image"])
def test_small_copies_and_pictures_of_other_things_are_no_warning(name: str, tmp_path: Path) -> None:
    row = {"item_id": "a", "image": "a.jpg", name: "b.jpg"}
    catalog = check_catalog(open_source(str(write_jsonl(tmp_path / "c.jsonl", [row]))))
    assert catalog.media.unused() == ()
    assert [item.images for item in catalog.items()] == [("a.jpg",)]
    catalog.close()


# ---- a whole run, from each format


def _csv(folder: Path, rows: Sequence[dict[str, Any]], end: str) -> Path:
    path = write_csv(folder / f"c{end}", rows)
    if end == ".tsv":
        path.write_text(path.read_text().replace(",", "\t"))
    return path


def _parquet(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "c.parquet")
    return folder / "c.parquet"


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "nested parquet", "stdin"])
def test_pictures_are_used_from_every_format(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, Any]] = [
        {"item_id": row["item_id"], "image": row["images"], "description": "A thing"}
        for row in make_shop(tmp_path / "shop", 3)
    ]
    folder = tmp_path / "shop"
    if kind == "nested parquet":
        rows = [row | {"image": [{"src": row["image"], "width": 3}]} for row in rows]
    source: Path | str
    if kind in ("csv", "tsv"):
        source = _csv(folder, rows, f".{kind}")
    elif kind == "jsonl":
        source = write_jsonl(folder / "c.jsonl", rows)
    elif kind == "stdin":
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        monkeypatch.chdir(folder)
        source = "-"
    else:
        source = _parquet(folder, rows)
    report = index(tmp_path / "db", source)
    assert (report.counts.pictures, report.unused_media, report.no_media_used) == (3, (), False)
    assert [use.field for use in report.columns] == ["item_id", "images", "text"]


@pytest.mark.slow
def test_the_remedy_of_the_warning_ends_it(tmp_path: Path) -> None:
    rows = [
        {"item_id": row["item_id"], "name, long": row["title"], "it's": row["images"], "other": "x"}
        for row in make_shop(tmp_path, 3)
    ]
    catalogue = write_csv(tmp_path / "c.csv", rows)
    report = index(tmp_path / "db", catalogue, options=CatalogOptions(parse_mapping("images=other")))
    assert report.no_media_used is False  # "other" counts as pictures that fail
    words = shlex.split(report.unused_media[0].option)
    assert words == ["--map", "images=other+it's"]
    report = index(tmp_path / "db", catalogue, options=CatalogOptions(parse_mapping(words[1])))
    assert (report.counts.pictures, report.unused_media, report.no_media_used) == (3, (), False)
    report = index(tmp_path / "db2", catalogue, options=CatalogOptions(drop=frozenset({"it's"})))
    assert (report.unused_media, report.no_media_used) == ((), False)


@pytest.mark.parametrize(
    ("row", "none_used"),
    [
        ({"videos": "a.mp4", "image": "data:image/png;base64,AAAA"}, True),
        ({"images": "a.jpg", "trailer": "data:video/mp4;base64,AAAA"}, False),
        ({"images": "a.jpg", "back": "data:image/png;base64,AAAA"}, False),
        ({"videos": "a.mp4", "trailer": "data:video/mp4;base64,AAAA"}, False),
    ],
)
def test_videos_do_not_replace_pictures(row: dict[str, str], none_used: bool, tmp_path: Path) -> None:
    catalog = check_catalog(
        open_source(str(write_jsonl(tmp_path / "c.jsonl", [{"item_id": "a"} | row]))), CatalogOptions()
    )
    assert len(catalog.media.unused()) == 1
    assert catalog.media.none_used == none_used
    catalog.close()


def test_a_catalogue_of_titles_alone_and_a_folder_have_no_warning(tmp_path: Path) -> None:
    report = index(tmp_path / "db", write_jsonl(tmp_path / "c.jsonl", [{"item_id": "a", "title": "Tea", "sku": "a.b"}]))
    assert (report.unused_media, report.no_media_used) == ((), False)
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.png").write_bytes(picture(1))
    report = firstsight.open(tmp_path / "db2", encoder=ColourEncoder()).index(tmp_path / "pics")
    assert (report.counts.pictures, report.unused_media) == (1, ())
