"""Facts of indexed items: stored with views and items, filtered by name, updated without encoding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import firstsight
from firstsight.database import open_tables
from firstsight.storage.facts.view_fact_table import read_view_facts
from tests.understanding.facts.toy_detector import installed


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with pictures, and a database of them with the toy detector; tests change copies of it alone."""
    folder = tmp_path_factory.mktemp("facts")
    for name, colour in (("rose", (210, 20, 30)), ("sky", (40, 90, 220))):
        picture = Image.new("RGB", (240, 240), "white")
        picture.paste(colour, (60, 60, 180, 180))
        picture.save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    with installed(folder):
        yield folder


def rows(**changes: Any) -> list[dict[str, Any]]:
    return [
        {"item_id": "rose", "title": "A rose dress", "images": ["rose.png"], "price": changes.get("price", 5)},
        {"item_id": "sky", "title": "Hemd in Himmelblau", "images": ["sky.png", "broken.png"], "price": 7},
    ]


def test_facts_are_stored_filtered_refreshed_and_removed_with_their_items(shop: Path, tmp_path: Path) -> None:
    db = firstsight.open(tmp_path / "db")
    report = db.index(rows(), root=shop, detectors=["red", "broken", "ends"])
    assert report.counts.failed_media == 1
    # a function that ends the child costs its own fact of both pictures, not the pictures and not the other facts
    assert report.counts.failed_facts == 2
    assert report.lacking_facts == {}
    failure = next(row for row in db.indexing.failures() if row.item_id == "rose")
    assert (failure.stage, failure.reason) == ("facts", "crashed")
    assert "the fact detector_ends (toy_detectors:ends) failed" in failure.message
    assert db.get("rose").facts["colour"] == "red"

    db.index(rows(), root=shop, detectors=["red", "broken"], colours=True)
    updated = db.facts.update()
    assert (updated.outcome, updated.counts.pictures) == ("finished", 2)
    item = db.get("rose")
    assert item.facts["colour"] == "red"
    assert item.facts["colours"]["red"] > 0.9
    (found,) = item.views[0].facts["detector_red"]
    assert (found["label"], found["box"]) == ("RED", [0, 0, 240, 240])
    (failure,) = (row for row in db.indexing.failures() if row.item_id == "rose")
    assert "the fact detector_broken (toy_detectors:broken) failed: ValueError: no idea" in failure.message
    assert "detector_ends" not in failure.message

    for where in ("colours.red > 0.4", "FACTS.Colours.RED > 0.4 AND price < 9", "colour = 'red'", "Colour IN ('red')"):
        assert [result.item_id for result in db.search("dress", where=where)] == ["rose"], where
    shown = db.search("dress", where="facts.colour = 'red'")[0].columns
    assert shown["facts"]["colour"] == "red"
    assert not [name for name in shown if name.startswith("fact_")]

    refreshed = db.index(rows(price=6), root=shop)
    assert (refreshed.counts.refreshed, refreshed.counts.encoded) == (1, 0)
    assert db.get("rose").facts == item.facts
    db.remove(["rose"])
    assert read_view_facts(open_tables(db), ["rose", "sky"]).keys() == {"sky#image-0"}


def test_an_update_computes_outdated_facts_and_says_before_what_is_missing(shop: Path, tmp_path: Path) -> None:
    db = firstsight.open(tmp_path / "db")
    db.index(rows(), root=shop, colours=False, detect_language=False)
    assert db.facts.status().facts == ()
    report = db.index(rows(), root=shop, detectors=["red"])
    assert (report.counts.encoded, report.lacking_facts) == (0, {"red": 2})
    assert db.facts.settings == firstsight.FactSettings(colours=False, language=False, detectors=("red",))
    (state,) = db.facts.status().facts
    assert (state.total, state.found, state.missing) == (2, 0, 2)

    assert db.facts.update(should_stop=lambda: True).outcome == "stopped"
    assert db.facts.update().counts.pictures == 2
    assert db.index(rows(), root=shop).lacking_facts == {}
    with installed(shop, version="2"):
        (state,) = db.facts.status().facts
        assert (state.version, state.outdated, state.missing) == ("1.0/2", 2, 0)
        assert db.facts.update().counts.pictures == 2
        (state,) = db.facts.status().facts
        assert (state.found, state.outdated) == (2, 0)
        assert db.facts.update().counts.updated == 0


def test_vectors_are_the_same_with_and_without_facts(shop: Path, tmp_path: Path) -> None:
    plain, full = firstsight.open(tmp_path / "plain"), firstsight.open(tmp_path / "full")
    plain.index(rows(), root=shop, colours=False)
    full.index(rows(), root=shop, detectors=["red"])
    for item_id in ("rose", "sky"):
        before, after = plain.get(item_id).vector, full.get(item_id).vector
        assert before is not None
        assert after is not None
        assert float(before @ after) > 0.99999


def test_a_column_of_the_catalogue_wins_over_the_name_of_a_fact(shop: Path, tmp_path: Path) -> None:
    db = firstsight.open(tmp_path / "db")
    own = [row | {"colour": "coral", "tags": "new"} for row in rows()]
    db.index(own, root=shop)
    assert [result.item_id for result in db.search("dress", where="facts.colour = 'red'")] == ["rose"]
    assert len(db.search("dress", where="colour = 'coral'")) == 2
    assert len(db.search("dress", where="tags = 'new'")) == 2


def test_a_tag_has_its_name_alone_unless_the_catalogue_has_that_column(shop: Path, tmp_path: Path) -> None:
    db = firstsight.open(tmp_path / "db")
    db.index(rows(), root=shop)
    db.tags.correct("rose", {"category": "Dresses"})
    for where in ("category = 'Dresses'", "CATEGORY = 'Dresses'", "facts.category = 'Dresses' AND category_p = 1"):
        assert [result.item_id for result in db.search("dress", where=where)] == ["rose"]
        assert db.to_arrow(["item_id"], where=where, vectors=False).read_all().num_rows == 1
    with pytest.raises(firstsight.QueryError, match=r"'category' with 3, but 'category' is a text column"):
        db.search("dress", where="category > 3")
    db.index([row | {"category": "Clothing"} for row in rows()], root=shop)
    assert len(db.search("dress", where="category = 'Clothing'")) == 2
    assert [result.item_id for result in db.search("dress", where="facts.category = 'Dresses'")] == ["rose"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            "colours.turquoise > 0.3",
            "asks for 'colours.turquoise', which the fact 'colours' does not have; it has",
        ),
        ("facts.smell = 'rose'", "asks for 'facts.smell', which is no fact; the facts are colour, colours (black"),
        ("colour > 3", "compares 'colour' with 3, but 'colour' is a text column; write '3' in quotes"),
        ("colours.red = 'much'", "compares 'colours.red' with 'much', but 'colours.red' is a number column"),
        ("smell = 'rose'", "asks for 'smell', which is no column; the columns are item_id"),
    ],
)
def test_a_wrong_name_or_type_of_a_fact_is_explained(sample_db: Path, where: str, said: str) -> None:
    with pytest.raises(firstsight.QueryError) as error:
        firstsight.open(sample_db).search("shoe", where=where)
    assert said in str(error.value)
    assert "fact_" not in str(error.value)


def test_a_column_of_a_catalogue_cannot_have_the_name_of_a_column_of_facts(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(firstsight.CatalogError, match="'fact_colour' has a name that firstsight reserves"):
        firstsight.open(tmp_path / "db").index([row | {"fact_colour": "x"} for row in rows()], root=shop)


def test_unknown_detectors_and_folders_are_named_before_anything_is_written(shop: Path, tmp_path: Path) -> None:
    db = firstsight.open(tmp_path / "db")
    with pytest.raises(firstsight.QueryError, match="no detector 'nude'; installed are: broken, ends, infinite, red"):
        db.index(rows(), root=shop, detectors=["nude"])
    with pytest.raises(firstsight.QueryError, match="does not exist"):
        db.index(rows(), root=shop, ocr_models=tmp_path / "none")
    assert not (tmp_path / "db").exists()
