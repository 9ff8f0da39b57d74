"""Reading of a catalogue as training data: each picture once, and one bad picture costs only itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import firstsight
from firstsight.indexer.inputs.input_kinds import CatalogueInput
from firstsight.media.policy import MediaPolicy
from firstsight.tuning.evaluation.folds import early_stopping_split, product_folds
from firstsight.tuning.reading.catalogue_data import CatalogueData, read_catalogue
from firstsight.tuning.reading.picture_files import PictureStore
from firstsight.tuning.reading.product_groups import merge_products, placeholder_pictures
from firstsight.tuning.tuning_data import TuningData, TuningItem
from tests.media.conftest import Server
from tests.tuning.shop import shop_rows, write_rows, write_shop


@contextmanager
def reading(
    source: CatalogueInput, folder: Path, policy: MediaPolicy | None = None, max_items: int | None = None
) -> Iterator[CatalogueData]:
    with PictureStore(policy or MediaPolicy(), folder / "copies", 64, folder / "known.txt") as pictures:
        yield read_catalogue(source, pictures, max_items=max_items)


def test_phrases_pictures_and_products_come_from_the_catalogue(tmp_path: Path) -> None:
    with reading(write_shop(tmp_path / "shop", 12), tmp_path) as read:
        item = read.data.items[0]
        assert dict(item.phrases) == {
            "title": "red blorp of series 0",
            "category": "blorp",
            "color": "red",
            "color category": "red blorp",
        }
        assert (read.report.items, read.report.products, read.report.pictures) == (12, 12, 12)
        assert (read.report.category, read.report.attributes) == ("category", ("color",))
        picture = read.data.pictures[item.pictures[0]]  # at least 64 pixels wide
        assert isinstance(picture, Image.Image)
        assert picture.size == (80, 80)


def test_a_broken_picture_costs_only_itself(tmp_path: Path) -> None:
    catalogue = write_shop(tmp_path / "shop", 12)
    (tmp_path / "shop" / "p3.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tmp_path / "shop" / "p4.png").unlink()
    with reading(catalogue, tmp_path) as read:
        assert (read.report.items, read.report.unreadable, read.report.left_out_items) == (10, 2, 2)
        assert "p3.png" in read.report.problems[0]
        assert [item.item_id for item in read.data.items][2:4] == ["p2", "p5"]


def test_two_items_with_one_picture_are_one_product_and_the_picture_is_kept_once(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop", 12)
    rows = shop_rows(12)
    (tmp_path / "shop" / "copy.png").write_bytes((tmp_path / "shop" / "p0.png").read_bytes())
    rows[5]["image"] = "copy.png"
    with reading(write_rows(tmp_path / "shop", rows), tmp_path) as read:
        first, other = read.data.items[0], read.data.items[5]
        assert first.pictures == other.pictures
        assert first.product == other.product
        assert (read.report.pictures, read.report.repeated, read.report.products) == (11, 1, 11)


def test_a_picture_of_many_products_is_a_placeholder(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop", 12)
    rows = shop_rows(12)
    for row in rows[:6]:
        row["image"] = "p0.png"
    with reading(write_rows(tmp_path / "shop", rows), tmp_path) as read:
        assert (read.report.placeholders, read.report.items, read.report.left_out_items) == (1, 6, 6)


def test_a_column_with_the_parent_makes_products(tmp_path: Path) -> None:
    rows = [row | {"parent": f"model {number // 2}"} for number, row in enumerate(shop_rows(12))]
    write_shop(tmp_path / "shop", 12)
    with reading(write_rows(tmp_path / "shop", rows), tmp_path) as read:
        assert read.report.products == 6
        assert read.data.items[0].product == read.data.items[1].product


def test_whole_products_are_drawn_from_a_large_catalogue(tmp_path: Path) -> None:
    rows = [row | {"parent": f"model {number // 3}"} for number, row in enumerate(shop_rows(12))]
    write_shop(tmp_path / "shop", 12)
    with reading(write_rows(tmp_path / "shop", rows), tmp_path, max_items=7) as read:
        assert (read.report.items, read.report.products, read.report.not_drawn) == (6, 2, 6)


def test_remote_pictures_are_fetched_once_and_read_from_their_copies(tmp_path: Path, server: Server) -> None:
    write_shop(tmp_path / "shop", 2)
    rows = shop_rows(2)
    for row in rows:
        row["image"] = server.answer(f"/{row['image']}", (tmp_path / "shop" / row["image"]).read_bytes())
    with reading(rows, tmp_path, MediaPolicy(allow_private=True)) as read:
        requests = len(server.requests)
        assert [picture.size for picture in read.data.pictures] == [(80, 80)] * 2  # type: ignore[union-attr]
        assert len(server.requests) == requests


def test_files_outside_the_catalogues_folder_are_refused(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop", 2)
    rows = [row | {"image": f"../shop/{row['image']}"} for row in shop_rows(2)]
    (tmp_path / "other").mkdir()
    with (
        pytest.raises(firstsight.CatalogError, match="no item with both"),
        reading(write_rows(tmp_path / "other", rows), tmp_path),
    ):
        pass


def test_equal_titles_are_one_product_whatever_their_case() -> None:
    assert merge_products(["a", "b", "c"], [{0: "tee", 1: "hat", 2: "tee"}]) == ["a", "b", "a"]


def test_merging_is_transitive() -> None:
    merged = merge_products(["a", "b", "c", "d"], [{0: "x", 1: "x"}, {1: "y", 3: "y"}])
    assert merged[0] == merged[1] == merged[3] != merged[2]


def test_a_picture_of_five_products_is_no_placeholder() -> None:
    five = [str(number) for number in range(5)]
    assert placeholder_pictures(five, [["same"]] * 5) == set()
    assert placeholder_pictures([*five, "6"], [["same"]] * 6) == {"same"}


ITEM = TuningItem("", "", {"title": "a"}, (0,))


@given(products=st.lists(st.integers(0, 8).map(str), min_size=2, max_size=40), count=st.integers(2, 5))
def test_each_product_is_held_out_once_and_never_on_both_sides(products: list[str], count: int) -> None:
    data = TuningData(tuple(replace(ITEM, product=product) for product in products), [], ())
    folds = product_folds(data, count, seed=0)
    assert sorted(row for fold in folds for row in fold.held_out) == list(range(len(products)))
    for fold in folds:
        assert {products[row] for row in fold.held_out}.isdisjoint(products[row] for row in fold.train)
        assert len(fold.train) + len(fold.held_out) == len(products)
        inner = early_stopping_split(data, fold.train, seed=0)
        assert sorted(inner.train + inner.held_out) == sorted(fold.train)
        assert {products[row] for row in inner.held_out}.isdisjoint(products[row] for row in inner.train)
