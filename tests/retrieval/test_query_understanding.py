"""Parts of a query that rules understand, applied in a search: prices, words to avoid, names of items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lancedb.table import LanceTable

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.errors import QueryError
from firstsight.retrieval.query_understanding import describe_understood
from tests.indexer.shop import write_jsonl

SHOP: list[dict[str, Any]] = [
    {"item_id": "nike", "title": "Nike red running shoes", "price": 45.0},
    {"item_id": "plain", "title": "Red running shoes", "price": 40.0},
    {"item_id": "dear", "title": "Running shoes", "price": 120.0},
    {"item_id": "sale", "title": "Trail running shoes", "price": 90.0, "sale_price": 30.0},
    {"item_id": "no-price", "title": "Running shoes for children"},
    {"item_id": "vitamins", "title": "Over 50 Vitamins for Women", "price": 20.0},
    {"item_id": "vitamin-c", "title": "Vitamins with zinc", "price": 60.0},
    {"item_id": "shampoo", "title": "Not Your Father's Shampoo", "price": 9.0},
    {"item_id": "soap", "title": "Shampoo for fathers", "price": 8.0},
]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory, starter: Encoder) -> firstsight.Database:
    return make(tmp_path_factory.mktemp("understood"), SHOP, starter)


@pytest.fixture(scope="module")
def unpriced(tmp_path_factory: pytest.TempPathFactory, starter: Encoder) -> firstsight.Database:
    rows = [{name: value for name, value in row.items() if "price" not in name} for row in SHOP]
    return make(tmp_path_factory.mktemp("unpriced"), rows, starter)


def make(folder: Path, rows: list[dict[str, Any]], starter: Encoder) -> firstsight.Database:
    db = firstsight.open(folder / "db", encoder=starter)
    db.index(write_jsonl(folder / "c.jsonl", rows))
    return db


def ids(results: firstsight.SearchResults) -> list[str]:
    return [result.item_id for result in results]


def test_prices_filter_and_words_to_avoid_lower_the_score(db: firstsight.Database) -> None:
    found = db.search("red running shoes not nike under 50", k=9)
    by_hand = db.search(
        "red running shoes", minus=["nike"], where="COALESCE(sale_price, price) <= 50", k=9, understand=False
    )
    assert ids(found) == ids(by_hand)
    assert ids(found)[0] == "plain"
    assert {"dear", "no-price", "vitamin-c"}.isdisjoint(ids(found))
    assert found.understood == {
        "text": "running shoes",
        "colours": ["red"],
        "minus": ["nike"],
        "min_price": None,
        "max_price": 50.0,
        "currency": None,
        "unmet": [],
    }
    assert by_hand.understood is None


def test_the_sale_price_counts_where_there_is_one(db: firstsight.Database) -> None:
    assert "sale" in ids(db.search("running shoes under 35", k=9))
    assert "sale" not in ids(db.search("running shoes over 35", k=9))


def test_a_limit_that_no_item_meets_is_dropped_and_reported(db: firstsight.Database) -> None:
    found = db.search("running shoes under 2", k=9)
    assert ids(found) == ids(db.search("running shoes", k=9))
    assert found.understood is not None
    assert found.understood["unmet"] == ["price"]
    assert "no item has such a price" in describe_understood(found.understood)


def test_the_name_of_an_item_stays_whole(db: firstsight.Database) -> None:
    for name in ("over 50 vitamins", "vitamins over 50", "Not your father's shampoo"):
        assert db.search(name).understood is None, name
    assert ids(db.search("over 50 vitamins", k=1)) == ["vitamins"]


def test_words_of_a_title_in_another_order_are_no_name(db: firstsight.Database) -> None:
    found = db.search("50 shampoo not father's", k=9)  # the title has "not your father's"
    assert found.understood is not None
    assert found.understood["minus"] == ["father's"]


def test_a_filter_of_the_caller_over_the_price_takes_the_place_of_the_text(db: firstsight.Database) -> None:
    found = db.search("running shoes under 50", where="price > 100", k=9)
    assert ids(found) == ["dear"]
    assert found.understood is None
    joined = db.search("running shoes under 50", where="title LIKE '%Nike%'", k=9)
    assert ids(joined) == ["nike"]


def test_without_prices_their_words_stay_in_the_text(unpriced: firstsight.Database) -> None:
    found = unpriced.search("running shoes under 50", k=9)
    assert found.understood is None
    assert ids(found) == ids(unpriced.search("running shoes under 50", k=9, understand=False))


def test_mode_words_takes_prices_alone(db: firstsight.Database) -> None:
    found = db.search("running shoes not nike under 50", mode="words", k=9)
    assert found.understood is not None
    assert (found.understood["minus"], found.understood["max_price"]) == ([], 50.0)
    assert set(ids(found)) == {"nike", "plain", "sale"}


def test_a_limit_alone_filters(db: firstsight.Database) -> None:
    assert set(ids(db.search("under 10", k=9))) == {"shampoo", "soap"}
    similar = db.search("under 50", items=["dear"], k=9)
    assert ids(similar) == ids(db.search(item="dear", where="COALESCE(sale_price, price) <= 50", k=9, understand=False))


def test_pages_come_from_one_ranking(db: firstsight.Database) -> None:
    query = "running shoes not nike under 100"
    first = db.search(query, k=2)
    second = db.search(query, k=2, offset=2, snapshot=first.snapshot)
    assert ids(first) + ids(second) == ids(db.search(query, k=4))
    assert second.understood == first.understood


@pytest.mark.parametrize("text", ["running shoes", "shampoo for fathers", "zapatillas", "靴"])
def test_a_text_without_rule_words_is_searched_with_the_same_calls(
    db: firstsight.Database, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    search = LanceTable.search

    def counted(self: LanceTable, *args: Any, **kwargs: Any) -> Any:
        calls.append(self.name)
        return search(self, *args, **kwargs)

    db.search(text)  # fills the caches of word lookups
    monkeypatch.setattr(LanceTable, "search", counted)
    with_rules = db.search(text)
    count = len(calls)
    without = db.search(text, understand=False)
    assert count == len(calls) - count > 0
    assert with_rules == without


def test_understand_is_a_flag() -> None:
    with pytest.raises(QueryError, match="understand must be true or false"):
        firstsight.Query("shoes", understand="no")  # type: ignore[arg-type]


def test_one_line_names_every_part() -> None:
    parts = {"text": "shoes", "colours": ["red", "blue"], "minus": ["nike"], "min_price": 20.0, "max_price": 50.0}
    line = describe_understood({**parts, "currency": None, "unmet": []})
    assert line == "shoes, colour red or blue, without nike, price 20 to 50"
