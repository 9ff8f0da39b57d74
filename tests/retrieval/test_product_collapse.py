"""Variants do not flood: one result per product, unless the query names a variant or asks for every item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import firstsight
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.retrieval.query import Mode, Query
from firstsight.storage.product_groups import note_variant_values
from firstsight.storage.store import Store
from tests.cli.calling import call_on_a_terminal
from tests.indexer.shop import ColourEncoder, index, picture, write_csv

EVERY_ROW = CatalogOptions(variants="variant")
FLOOD = 300
OTHERS = 30


@pytest.fixture(scope="module")
def flood(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shirt in 300 variants, whose title has every word, and 30 products with two variants each."""
    folder = tmp_path_factory.mktemp("flood")
    for n in range(OTHERS + 1):
        (folder / f"{n}.png").write_bytes(picture(n))
    rows: list[dict[str, Any]] = [
        {"item_id": f"shirt-{n:03d}", "group_id": "shirt", "title": "soft cotton shirt", "images": "0.png"}
        | {"color": "Blue" if n % 2 else "Red", "price": n}
        for n in range(FLOOD)
    ]
    rows += [
        {"item_id": f"other-{n:02d}-{color}", "group_id": f"other-{n:02d}", "title": f"cotton thing {n}"}
        | {"images": f"{n + 1}.png", "color": color, "price": n}
        for n in range(OTHERS)
        for color in ("Blue", "Red")
    ]
    rows += [{"item_id": f"single-{n}", "title": "soft cotton sock", "images": "1.png"} for n in range(2)]
    index(folder / "db", write_csv(folder / "c.csv", rows), options=EVERY_ROW)
    store = Store.open(folder / "db")
    with store.writing():
        note_variant_values(store, {"color": ["Blue", "Red"]})
    return folder / "db"


@pytest.fixture
def db(flood: Path) -> firstsight.Database:
    return firstsight.open(flood, encoder=ColourEncoder())


def products(results: firstsight.SearchResults) -> list[str]:
    return [result.columns["group_id"] or result.item_id for result in results]


@pytest.mark.parametrize("settings", [{}, {"mode": "vector"}, {"mode": "words"}, {"diversity": 0.3}, {"part": "image"}])
def test_ten_results_are_ten_products(db: firstsight.Database, settings: dict[str, Any]) -> None:
    found = db.search("soft cotton shirt", k=10, **settings)
    assert len(set(products(found))) == 10


@pytest.mark.parametrize("mode", ["vector", "words", "hybrid"])
def test_each_product_is_shown_by_its_best_variant_in_the_order_of_the_ranking(
    db: firstsight.Database, mode: Mode
) -> None:
    every = db.search("soft cotton shirt", mode=mode, k=1_000, collapse="none")
    best: dict[str, str] = {}
    for result in every:
        best.setdefault(result.columns["group_id"] or result.item_id, result.item_id)
    found = db.search("soft cotton shirt", mode=mode, k=1_000)
    assert [result.item_id for result in found] == list(best.values())
    assert found[0].columns["group_id"] in {"shirt", None}


def test_variants_are_counted_among_the_items_that_pass_the_filter(db: firstsight.Database) -> None:
    (shirt,) = (r for r in db.search("soft cotton shirt", k=50) if r.columns["group_id"] == "shirt")
    assert (shirt.others, shirt.variants) == (FLOOD - 1, FLOOD)
    (shirt,) = (r for r in db.search("soft cotton shirt", k=50, where="price < 10") if r.item_id.startswith("shirt"))
    assert (shirt.others, shirt.variants) == (9, 10)
    assert shirt.to_dict()["variants"] == 10
    single = next(r for r in db.search("soft cotton shirt", k=50) if r.item_id == "single-0")
    assert (single.others, single.variants) == (0, 1)
    assert "variants" not in db.search("soft cotton shirt", collapse="none")[0].to_dict()


def test_a_query_that_names_a_variant_gets_every_variant(db: firstsight.Database) -> None:
    for settings in ({"text": "blue cotton shirt"}, {"text": "cotton shirt", "where": "color = 'Blue'"}):
        found = db.search(Query(k=20, mode="words", **settings))  # type: ignore[arg-type]
        assert products(found).count("shirt") > 1
    assert len(set(products(db.search("green cotton shirt", k=20)))) == 20
    assert products(db.search("shirt", where="group_id = 'shirt'", k=400)) == ["shirt"] * FLOOD


def test_other_variants_of_the_query_item_are_no_similar_items(db: firstsight.Database) -> None:
    found = db.search(item="shirt-007", k=25)
    assert len(set(products(found))) == 25
    assert "shirt" not in products(found)
    assert products(db.search(item="shirt-007", k=5, collapse="none")) == ["shirt"] * 5
    explicit = db.search(item="shirt-007", k=25, collapse="group_id")
    assert products(explicit).count("shirt") == 1
    assert explicit[0].columns["group_id"] == "shirt"


def test_pages_of_a_snapshot_continue_one_ranking(flood: Path, tmp_path: Path) -> None:
    db = firstsight.open(flood, encoder=ColourEncoder())
    whole = [r.item_id for r in db.search("soft cotton shirt", k=30)]
    first = db.search("soft cotton shirt", k=10)
    pages = [r.item_id for r in first]
    for offset in (10, 20):
        page = db.search("soft cotton shirt", k=10, offset=offset, snapshot=first.snapshot)
        pages += [r.item_id for r in page]
    assert pages == whole


def test_many_queries_collapse_each_in_its_own_way(db: firstsight.Database) -> None:
    queries = [Query("cotton shirt"), Query("cotton shirt", collapse="none"), Query("blue cotton shirt")]
    queries += [Query("cotton shirt", collapse="color"), Query(items=["other-01-Red"])]
    alone = [[r.to_dict() for r in db.search(query)] for query in queries]
    assert [[r.to_dict() for r in results] for results in db.search_many(queries)] == alone
    assert len(alone[3]) == 2 + 2  # two colors, and the items without a color


def test_without_a_group_id_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(picture(0))
    rows = [{"item_id": f"i{n}", "series": "p", "title": "shirt", "images": "0.png"} for n in range(5)]
    index(tmp_path / "db", write_csv(tmp_path / "c.csv", rows), options=EVERY_ROW)
    found = firstsight.open(tmp_path / "db", encoder=ColourEncoder()).search("shirt")
    assert len(found) == 5
    assert (found[0].others, found[0].variants) == (None, None)


def test_merged_sizes_count_as_variants(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(picture(n))
    rows = [
        {"item_id": f"{product}-{color}-{size}", "group_id": product, "title": "shirt", "images": f"{color}.png"}
        | {"size": size}
        for product, colors in ((101, 2), (102, 1))
        for color in range(colors)
        for size in ("S", "M", "L")
    ]
    index(tmp_path / "db", write_csv(tmp_path / "c.csv", rows))  # sizes share their picture, so they are one item
    found = firstsight.open(tmp_path / "db", encoder=ColourEncoder()).search("shirt", mode="words")
    assert [(r.item_id, r.others, r.variants) for r in found] == [("101-0-S", 1, 6), ("102-0-S", 0, 3)]


def test_blocked_variants_are_neither_shown_nor_counted(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(picture(0))
    rows = [{"item_id": f"i{n}", "group_id": "p", "title": "shirt", "images": "0.png"} for n in range(4)]
    index(tmp_path / "db", write_csv(tmp_path / "c.csv", rows), options=EVERY_ROW)
    store = Store.open(tmp_path / "db")
    with store.writing():
        store.write_safety({"i0": {"safety_decision": "block"}})
    (found,) = firstsight.open(tmp_path / "db", encoder=ColourEncoder()).search("shirt")
    assert (found.item_id, found.variants) == ("i1", 3)


def test_an_evaluation_ranks_items_and_not_products(flood: Path, tmp_path: Path) -> None:
    judged = tmp_path / "judged.csv"
    judged.write_text("query,item_id,grade\n" + "".join(f"soft cotton shirt,shirt-{n:03d},1\n" for n in range(10)))
    db = firstsight.open(flood, encoder=ColourEncoder())
    (task,) = db.evaluation.search(judged, modes=["words"])
    (outcome,) = task.modes[0].outcomes
    every = db.search("soft cotton shirt", mode="words", k=10, collapse="none")
    assert list(outcome.item_ids) == [result.item_id for result in every]
    assert len(set(products(every))) < len(every)


def test_the_table_shows_the_number_of_variants(
    flood: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def table(*options: str) -> str:
        search = ("search", "--item", "other-03-Red", "-k", "40", "--db", str(flood))
        code, out, err = call_on_a_terminal(monkeypatch, capsys, *search, *options)
        assert code == 0, err
        return out

    shown = table()
    assert "300 variants" in shown
    assert shown.count("2 variants") == OTHERS - 1
    assert "1 variants" not in shown
    assert "variants" not in table("--collapse", "none")
    assert "others" in table("--collapse", "color")
