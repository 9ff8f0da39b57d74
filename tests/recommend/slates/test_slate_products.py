"""Slates and similar items show one variant of each product, and none of the products of the history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firstsight
from firstsight.errors import QueryError
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.recommend.slates.rules.slate_products import SlateProducts, top_places
from tests.cli.calling import call_in_process, parse_json_lines
from tests.indexer.shop import ColourEncoder, index, picture, write_csv

EVERY_ROW = CatalogOptions(variants="variant")
FLOOD = 300


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shirt in 300 variants, one of them merged from three sizes, 40 products with two variants, and two singles."""
    folder = tmp_path_factory.mktemp("products")
    for n in range(42):
        (folder / f"{n}.png").write_bytes(picture(n))
    rows = [
        {"item_id": f"shirt-{n:03d}", "group_id": "shirt", "title": f"shirt {n}", "images": "0.png"}
        | {"variant_ids": json.dumps(["s", "m", "l"]) if n == 0 else ""}
        for n in range(FLOOD)
    ]
    rows += [
        {"item_id": f"p{n:02d}-{color}", "group_id": f"p{n:02d}", "title": f"thing {n} {color}", "images": f"{n}.png"}
        for n in range(40)
        for color in ("blue", "red")
    ]
    rows += [{"item_id": f"single-{n}", "title": f"single {n}", "images": f"{n + 40}.png"} for n in range(2)]
    index(folder / "db", write_csv(folder / "c.csv", rows), options=EVERY_ROW)
    return folder / "db"


@pytest.fixture
def db(shop: Path) -> firstsight.Database:
    return firstsight.open(shop, encoder=ColourEncoder())


def product(item_id: str) -> str:
    return item_id if item_id.startswith("single") else item_id.partition("-")[0]


def products(items: list[str]) -> list[str]:
    return [product(item_id) for item_id in items]


@pytest.mark.parametrize("settings", [{}, {"explore": 1.0}, {"explore": 0.0, "merge": "rank"}, {"diversity": 0.5}])
@pytest.mark.parametrize("history", [["p00-blue"], ["shirt-005", "p03-red"], None])
def test_a_slate_has_one_variant_of_each_product_and_none_of_the_history(
    db: firstsight.Database, settings: dict[str, Any], history: list[str] | None
) -> None:
    slate = db.recommend(history=history, k=20, near_duplicate=1.0, seed=1, **settings)
    shown = products([item.item_id for item in slate])
    assert len(shown) == len(set(shown)) == 20
    assert not set(shown) & set(products(history or []))


def test_a_slate_shows_every_variant_if_asked(db: firstsight.Database) -> None:
    settings: dict[str, Any] = {"history": ["shirt-005"], "k": 10, "near_duplicate": 1.0, "explore": 0.0}
    slate = db.recommend(collapse="none", **settings)
    assert products([item.item_id for item in slate]).count("shirt") > 1
    assert slate[0].variants is None
    assert "variants" not in slate[0].to_dict()


def test_similar_items_are_other_products_each_once(db: firstsight.Database) -> None:
    found = db.similar("shirt-005", k=30)
    shown = products([item.item_id for item in found])
    assert len(set(shown)) == 30
    assert "shirt" not in shown
    assert products([item.item_id for item in db.similar("shirt-005", k=10, collapse="none")]).count("shirt") > 1
    scores = {item.item_id: item.score for item in db.similar("shirt-005", k=400, collapse="none")}
    best = {p: max(score for i, score in scores.items() if product(i) == p) for p in set(shown)}
    assert [item.score for item in found] == pytest.approx([best[p] for p in shown])


def test_variants_are_counted_with_merged_ones(db: firstsight.Database) -> None:
    counts = {product(item.item_id): item.variants for item in db.similar("p01-red", k=50)}
    assert counts == {"shirt": FLOOD + 2, "single-0": 1, "single-1": 1} | {f"p{n:02d}": 2 for n in range(40) if n != 1}
    assert {item.variants for item in db.recommend(history=["p01-red"], k=40)} <= {1, 2, FLOOD + 2}


def test_other_values_of_collapse_are_refused(db: firstsight.Database) -> None:
    with pytest.raises(QueryError, match="collapse is 'color'; give none for every variant"):
        db.similar("p01-red", collapse="color")
    with pytest.raises(QueryError, match="collapse is 'color'; give none for every variant"):
        db.recommend(collapse="color")  # type: ignore[arg-type]


def test_the_commands_show_the_number_of_variants_and_take_collapse_none(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: str) -> str:
        code, out, err = call_in_process(monkeypatch, capsys, *arguments, "--db", str(shop))
        assert code == 0, err
        return out

    similar = parse_json_lines(call("similar", "shirt-005", "--json"))
    assert {row["variants"] for row in similar} <= {1, 2}
    every = parse_json_lines(call("similar", "shirt-005", "--collapse", "none", "--json"))
    assert sum(row["item_id"].startswith("shirt") for row in every) > 1
    slate = parse_json_lines(call("recommend", "--history", "p01-red", "--json"))
    assert len({product(row["item_id"]) for row in slate}) == len(slate)
    assert all(row["variants"] for row in slate)
    assert "variants" not in parse_json_lines(call("recommend", "--collapse", "none", "--json"))[0]


def test_the_best_places_are_of_different_products() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=500).astype(np.float32)
    codes = np.append(np.full(300, 0), rng.integers(-1, 60, size=200))
    values[:300] += 10
    kept = top_places(values, np.arange(500), 20, SlateProducts(codes, np.ones(500, dtype=np.int64)))
    best: list[int] = []
    for n in np.argsort(-values):
        if codes[n] < 0 or codes[n] not in codes[best]:
            best.append(int(n))
    assert sorted(kept) == sorted(best[:20])
