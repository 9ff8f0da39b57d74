"""Timed products of a catalogue in the database: replaced by each run, hidden and removed with their items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import firstsight
from tests.indexer.shop import ColourEncoder, make_shop, write_csv
from tests.media.streams import write_clip


def open_(path: Path) -> firstsight.Database:
    return firstsight.open(path / "db", encoder=ColourEncoder())


def seconds(db: firstsight.Database, video: str = "show") -> list[tuple[str, float, float | None]]:
    return [(entry.product_id, entry.start_s, entry.end_s) for entry in db.timed_products.of_video(video)]


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    """Three products, and a video of two colours."""
    rows = make_shop(tmp_path / "shop", 3)
    colours = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    write_clip(tmp_path / "shop" / "show.mp4", [colours[0]] * 20 + [colours[1]] * 20, container="mp4")
    return [*rows, {"item_id": "show", "kind": "video", "title": "A show", "videos": "show.mp4"}]


def index(path: Path, rows: list[dict[str, Any]]) -> firstsight.IndexReport:
    return open_(path).index(write_csv(path / "shop" / "c.csv", rows))


def test_a_run_replaces_the_entries_of_the_catalogue_without_encoding_again(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    rows[-1]["Shoppable Products"] = "item-0@0:00-0:02; item-1@0:02"
    index(tmp_path, rows)
    db = open_(tmp_path)
    assert seconds(db) == [("item-0", 0.0, 2.0), ("item-1", 2.0, None)]
    (shown,) = db.timed_products.of_product("item-1")
    assert (shown.video_id, shown.video_title, shown.source, shown.state) == ("show", "A show", "catalogue", "accepted")
    assert "Shoppable Products" not in db.get("show").columns

    rows[-1]["Shoppable Products"] = "item-2@0:01"
    report = index(tmp_path, rows)
    assert (report.counts.encoded, report.counts.refreshed) == (0, 1)
    assert seconds(db) == [("item-2", 1.0, None)]
    rows[-1]["Shoppable Products"] = ""
    index(tmp_path, rows)
    assert seconds(db) == []


def test_a_bad_value_is_named_with_its_row_and_costs_only_itself(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    rows[-1]["timed_products"] = "item-0@0:01; item-1@later"
    report = index(tmp_path, rows)
    assert report.notes == (
        "line 5, item show: 'later' is not a time such as 12.5, 0:12 or 1:02:03; the item is indexed without it",
    )
    assert seconds(open_(tmp_path)) == [("item-0", 1.0, None)]


def test_entries_go_with_their_video_and_come_back_with_their_product(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    rows[-1]["timed_products"] = "item-0@0:01"
    index(tmp_path, rows)
    db = open_(tmp_path)
    db.remove(["item-0"])
    assert seconds(db) == []
    index(tmp_path, rows)
    assert seconds(db) == [("item-0", 1.0, None)]
    db.remove(["show"])
    assert db.timed_products.of_product("item-0") == ()
    assert db.timed_products.entries() == ()


def test_results_carry_the_products_of_their_videos(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    rows[-1]["timed_products"] = '[{"product": "item-0", "start": 1.5}]'
    index(tmp_path, rows)
    db = open_(tmp_path)
    (result,) = db.search("A show", k=1, kinds=["video"])
    assert result.products is not None
    assert result.to_dict()["products"] == [
        {
            "entry_id": "show#item-0#1.50",
            "video_id": "show",
            "video_title": "A show",
            "product_id": "item-0",
            "product_title": "thing number 0",
            "start_s": 1.5,
            "end_s": None,
            "source": "catalogue",
            "state": "accepted",
        }
    ]
    similar = db.similar("item-0", kinds=["video"])
    assert [(entry.video_id, entry.start_s) for entry in similar.videos] == [("show", 1.5)]
    assert similar[0].products == result.products
    assert db.search("thing number 1", k=1)[0].products is None
