"""Repeated index runs and retries: they encode new, changed and failed items, and leave the others alone."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

import firstsight
from firstsight.errors import CatalogError
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.index_settings import IndexSettings
from tests.indexer.shop import (
    ColourEncoder,
    Rows,
    assert_same,
    contents,
    edit,
    failures,
    index,
    picture,
    write_csv,
    write_jsonl,
)

# ---- repeated runs


def test_running_again_encodes_nothing(db: Path, shop: Path) -> None:
    index(db, shop)
    before = contents(db)
    encoder = ColourEncoder()
    report = index(db, shop, encoder)
    assert (encoder.image_batches, encoder.text_batches) == ([], [])
    assert (report.counts.unchanged, report.counts.encoded) == (12, 0)
    assert_same(before, contents(db))


@pytest.mark.slow
def test_a_changed_title_encodes_that_item_alone(db: Path, shop: Path) -> None:
    index(db, shop)
    edit(shop, lambda rows: rows[5].update(title="another thing"))
    encoder = ColourEncoder()
    report = index(db, shop, encoder)
    assert (encoder.texts, encoder.images) == (1, 1)
    assert (report.counts.encoded, report.counts.unchanged) == (1, 11)
    assert firstsight.open(db).get("item-5").title == "another thing"


@pytest.mark.slow
def test_a_changed_picture_encodes_that_item_alone(db: Path, shop: Path) -> None:
    index(db, shop)
    before = firstsight.open(db).get("item-5")
    (shop.parent / "5.png").write_bytes(picture(99))
    encoder = ColourEncoder()
    index(db, shop, encoder)
    assert (encoder.texts, encoder.images) == (1, 1)
    after = firstsight.open(db).get("item-5")
    assert before.vector is not None
    assert after.vector is not None
    assert after.vector @ before.vector < 0.999


@pytest.mark.slow
def test_a_changed_price_is_stored_without_encoding(db: Path, shop: Path) -> None:
    index(db, shop)
    before = contents(db)
    edit(shop, lambda rows: rows[5].update(price=99.0))
    encoder = ColourEncoder()
    report = index(db, shop, encoder)
    assert (encoder.texts, encoder.images) == (0, 0)
    assert (report.counts.refreshed, report.counts.unchanged) == (1, 11)
    after = contents(db)
    assert after["items"]["item-5"]["price"] == 99.0
    assert after["items"]["item-5"]["vector"] == before["items"]["item-5"]["vector"]


def test_a_new_column_is_stored_without_encoding(db: Path, shop: Path) -> None:
    index(db, shop)
    edit(shop, lambda rows: [row.update(colour="red") for row in rows])
    encoder = ColourEncoder()
    report = index(db, shop, encoder)
    assert (encoder.texts, encoder.images, report.counts.refreshed) == (0, 0, 12)
    assert firstsight.open(db).get("item-5").columns["colour"] == "red"


def test_a_column_that_is_left_out_later_becomes_missing(db: Path, shop: Path) -> None:
    index(db, shop)
    edit(shop, lambda rows: [row.pop("price") for row in rows])
    index(db, shop)
    assert firstsight.open(db).get("item-5").columns["price"] is None


@pytest.mark.slow
def test_a_picture_taken_out_takes_its_view_along(db: Path, shop: Path) -> None:
    index(db, shop)
    edit(shop, lambda rows: rows[5].update(images=""))
    index(db, shop)
    assert [view.part for view in firstsight.open(db).get("item-5").views] == ["title"]


@pytest.mark.slow
def test_a_broken_picture_taken_out_takes_its_failure_along(db: Path, shop: Path) -> None:
    index(db, shop)
    edit(shop, lambda rows: rows[0].update(images=""))
    index(db, shop)
    assert [row[0] for row in failures(db)] == ["item-1"]


@pytest.mark.slow
def test_a_catalogue_that_moved_with_its_pictures_is_not_encoded_again(db: Path, shop: Path, tmp_path: Path) -> None:
    index(db, shop)
    shop.parent.rename(tmp_path / "moved")
    encoder = ColourEncoder()
    index(db, tmp_path / "moved" / "c.csv", encoder)
    assert encoder.images == 0
    (view,) = [v for v in firstsight.open(db).get("item-5").views if v.part == "image"]
    assert view.uri == str(tmp_path / "moved" / "5.png")


@pytest.mark.slow
def test_other_weights_encode_everything_again(db: Path, shop: Path) -> None:
    index(db, shop)
    report = index(db, shop, settings=IndexSettings(weights={"title": 0.0, "image": 1.0, "frame": 1.0}))
    assert report.counts.encoded == 12
    item = firstsight.open(db).get("item-5")
    assert item.vector is not None
    np.testing.assert_allclose(item.vector, item.views[0].vector, atol=1e-6)


@pytest.mark.slow
def test_items_gone_from_the_catalogue_stay_unless_pruned(db: Path, shop: Path) -> None:
    index(db, shop)
    edit(shop, lambda rows: rows.__delitem__(slice(0, 6)))
    index(db, shop)
    assert len(contents(db)["items"]) == 12
    report = index(db, shop, prune=True)
    stored = contents(db)
    assert report.counts.pruned == 6
    assert sorted(stored["items"]) == sorted(f"item-{n}" for n in range(6, 12))
    assert {row["item_id"] for row in stored["views"].values()} == set(stored["items"])
    assert stored["failures"] == {}


def test_an_item_whose_row_is_bad_today_is_not_pruned(db: Path, tmp_path: Path) -> None:
    rows: Rows = [
        {"item_id": "a", "title": "one"},
        {"item_id": "b", "title": "two"},
        {"item_id": "c", "title": "three"},
    ]
    index(db, write_jsonl(tmp_path / "c.jsonl", rows))
    rows = [rows[0], rows[1] | {"created_at": "soon"}]
    report = index(db, write_jsonl(tmp_path / "c.jsonl", rows), prune=True, options=CatalogOptions(skip_bad_rows=True))
    assert (report.counts.pruned, report.counts.skipped_rows) == (1, 1)
    assert sorted(contents(db)["items"]) == ["a", "b"]


@pytest.mark.slow
def test_pruning_reaches_every_item_of_a_large_database(db: Path, tmp_path: Path) -> None:
    rows = [{"item_id": f"i{n}", "title": "t"} for n in range(12_000)]
    index(db, write_jsonl(tmp_path / "c.jsonl", rows), settings=IndexSettings(write_items=10_000))
    report = index(db, write_jsonl(tmp_path / "c.jsonl", rows[::5]), prune=True)
    assert report.counts.pruned == 9_600
    assert set(contents(db)["items"]) == {row["item_id"] for row in rows[::5]}


# ---- retries


@pytest.mark.slow
def test_retry_tries_just_the_items_that_failed(db: Path, shop: Path) -> None:
    index(db, shop)
    encoder = ColourEncoder()
    (report,) = firstsight.open(db, encoder=encoder).indexing.retry()
    assert (report.counts.total, report.counts.encoded, encoder.texts, encoder.images) == (2, 2, 2, 0)
    assert [row[-1] for row in failures(db)] == [2, 2]


@pytest.mark.slow
def test_a_mended_picture_is_forgotten_after_a_retry(db: Path, shop: Path) -> None:
    index(db, shop)
    (shop.parent / "0.png").write_bytes(picture(0))
    firstsight.open(db, encoder=ColourEncoder()).indexing.retry()
    assert [(row[0], row[-1]) for row in failures(db)] == [("item-1", 2)]
    assert len(firstsight.open(db).get("item-0").views) == 2


def test_a_retry_reads_the_catalogue_as_the_run_did(db: Path, tmp_path: Path) -> None:
    rows = [{"sku": "a", "name": "Tea", "photo": "gone.png", "junk": 1}]
    options = CatalogOptions(
        mapping={"item_id": ("sku",), "title": ("name",), "images": ("photo",)}, drop=frozenset({"junk"})
    )
    index(db, write_csv(tmp_path / "c.csv", rows), options=options)
    (tmp_path / "gone.png").write_bytes(picture(1))
    firstsight.open(db, encoder=ColourEncoder()).indexing.retry()
    assert failures(db) == []


def test_a_retry_where_nothing_failed_does_nothing(db: Path, tmp_path: Path) -> None:
    index(db, write_jsonl(tmp_path / "c.jsonl", [{"item_id": "a", "title": "Tea"}]))
    assert firstsight.open(db, encoder=ColourEncoder()).indexing.retry() == []


def test_a_retry_of_items_from_standard_input_asks_for_their_catalogue(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = json.dumps({"item_id": "a", "title": "Tea", "images": "gone.png"}).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line)))
    monkeypatch.chdir(tmp_path)
    index(db, "-")
    with pytest.raises(
        CatalogError, match="1 failed items came from standard input, which is gone; name their catalogue"
    ):
        firstsight.open(db, encoder=ColourEncoder()).indexing.retry()
    (tmp_path / "gone.png").write_bytes(picture(1))
    (tmp_path / "c.jsonl").write_bytes(line)
    firstsight.open(db, encoder=ColourEncoder()).indexing.retry(tmp_path / "c.jsonl")
    assert failures(db) == []
