"""Colour words of a query move items of these colours up, within the first 200, and pages stay one ranking."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import firstsight
from firstsight import Query, QueryError
from firstsight.retrieval.ranking.colour_boost import boost_colours, find_colour_wish
from firstsight.retrieval.ranking.readings import Candidate
from firstsight.storage.store import Store
from tests.cli.calling import call_in_process


@pytest.fixture(scope="module")
def db(sample_db: Path) -> firstsight.Database:
    return firstsight.open(sample_db)


@pytest.fixture(scope="module")
def store(sample_db: Path) -> Store:
    return Store.open(str(sample_db))


def ids(results: firstsight.SearchResults) -> list[str]:
    return [result.item_id for result in results]


def test_pixels_of_pictures_fill_the_columns(store: Store) -> None:
    rows = store.item_rows(["tee-red", "tee-black", "lemon"])
    assert {name: row["fact_colour"] for name, row in rows.items()} == {
        "tee-red": "red",
        "tee-black": "black",
        "lemon": "yellow",
    }


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_items_of_the_colour_rise(db: firstsight.Database, mode: str) -> None:
    query = Query("blue hat", mode=mode, part="image" if mode == "vector" else None, k=40)  # type: ignore[arg-type]
    plain = ids(db.search(replace(query, colour_weight=0.0)))
    coloured = ids(db.search(query))
    assert coloured.index("fedora-blue") <= plain.index("fedora-blue")
    assert coloured.index("fedora-blue") < min(coloured.index("fedora-red"), coloured.index("fedora-brown"))


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
@pytest.mark.parametrize("text", ["red shoes", "black and white", "grünes Obst"])
def test_fewer_results_are_the_beginning_of_more(db: firstsight.Database, mode: str, text: str) -> None:
    query = Query(text, mode=mode, k=60)  # type: ignore[arg-type]
    longest = ids(db.search(query))
    assert len(set(longest)) == len(longest)
    for k in (1, 7, 25):
        assert ids(db.search(replace(query, k=k))) == longest[:k]
    assert ids(db.search(replace(query, k=20, offset=13))) == longest[13:33]


def test_the_boost_is_shown_and_bounded_by_the_weight(db: firstsight.Database) -> None:
    results = db.search(Query("red telephone", k=30, colour_weight=2.0))
    boosts = [result.colour_boost for result in results]
    assert all(boost is not None and 0 <= boost <= 2.0 for boost in boosts)
    assert max(boost for boost in boosts if boost is not None) > 0
    assert "colour_boost" in results[0].to_dict()


@pytest.mark.parametrize("query", [Query("telephone"), Query("red telephone", colour_weight=0.0)])
def test_nothing_is_boosted_without_colour_words_or_weight(db: firstsight.Database, query: Query) -> None:
    assert [result.colour_boost for result in db.search(query)] == [None] * 10


@pytest.mark.parametrize(
    ("query", "colours"),
    [
        (Query("navy and white shoes"), ("blue", "white")),
        (Query("chaussures rouges"), ("red",)),
        (Query("orange juice squeezer"), ()),
        (Query("shoes, not red"), ()),
        (Query("red shoes", mode="words"), ()),
        (Query("red shoes", text_weight=0, items=["tee-red"]), ()),
        (Query(items=["tee-red"]), ()),
        (Query("red shoes", colour_weight=0), ()),
        (Query("red shoes", understand=False), ()),
    ],
)
def test_colours_come_from_the_text_alone(store: Store, query: Query, colours: tuple[str, ...]) -> None:
    wish = find_colour_wish(store, query)
    assert (() if wish is None else wish.colours) == colours


def test_the_category_comes_before_the_colour(db: firstsight.Database) -> None:
    found = ids(db.search("red shoes", k=10))
    assert found[0] == "sneakers-red"
    assert max(map(found.index, ("sneakers-green", "sneakers-sky"))) < found.index("fedora-red")


def test_a_database_without_colours_searches_as_before(tmp_path: Path) -> None:
    catalogue = tmp_path / "shoes.csv"
    catalogue.write_text("item_id,title\na,red shoes\nb,blue shoes\n")
    db = firstsight.open(tmp_path / "db")
    db.index(catalogue, colours=False)
    results = db.search("red shoes")
    assert ids(results)[0] == "a"
    assert results[0].colour_boost is None


def test_scores_stay_in_the_order_of_the_results(store: Store) -> None:
    candidates = [Candidate(name, 0.5, 0.9 - n / 10) for n, name in enumerate(["tee-black", "fedora-red", "lemon"])]
    boosted = boost_colours(store, [*candidates, Candidate("unknown", 0.1, 0.1)], ["red"], 3.0)
    assert boosted[0].item_id == "fedora-red"
    assert [candidate.value for candidate in boosted] == [pytest.approx(value) for value in (0.9, 0.8, 0.7, 0.1)]
    assert next(c for c in boosted if c.item_id == "unknown").colour_boost == 0


def test_of_two_colours_an_item_with_both_comes_first(store: Store) -> None:
    candidates = [Candidate(name, 0.5, 0.5) for name in ("tee-black", "football")] + [Candidate("x", 0.1, 0.1)]
    boosted = boost_colours(store, candidates, ["black", "white"], 3.0)
    assert [candidate.item_id for candidate in boosted] == ["football", "tee-black", "x"]


@pytest.mark.parametrize("weight", [-0.1, 10.5, float("nan"), "1"])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(QueryError, match="colour_weight must be between 0 and 10"):
        Query("red", colour_weight=weight)


def test_the_command_has_the_default_of_the_query(
    sample_db: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def search(*options: str) -> list[dict[str, Any]]:
        command = ("search", "blue hat", "--db", str(sample_db), "--json", *options)
        code, out, _ = call_in_process(monkeypatch, capsys, *command)
        assert code == 0
        return [json.loads(line) for line in out.splitlines()]

    assert search() == search("--colour-weight", str(Query("blue").colour_weight))
    assert "colour_boost" in search()[0]
    assert "colour_boost" not in search("--colour-weight", "0")[0]
