"""Filters that compare a column with a value of another type are refused, with the column, its type and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstsight.errors import QueryError
from firstsight.retrieval.ranking.item_filters import build_condition
from firstsight.storage.store import Store
from firstsight.vectors import EncoderSpec


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made: Path = tmp_path_factory.mktemp("filters") / "db"
    store = Store.create(made, EncoderSpec("colours", 4, 32, "c0105"))
    with store.writing():
        store.add_columns({"price": "text", "net, price": "text", "stock": "number", "new": "flag", "sold": "time"})
    return store


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("price < 50", "'price' is a text column; write '50' in quotes to compare texts, or .*--types price=number"),
        ("50 >= PRICE", "'price' is a text column"),
        ("NOT (price < 50)", "'price' is a text column"),
        ("title = 'a' AND price BETWEEN 1 AND 5", "'price' with 1, but 'price' is a text column"),
        ("price IN ('1', 2)", "'price' with 2, but 'price' is a text column"),
        ("price = -5", "'price' with -5, but 'price' is a text column"),
        ("`net, price` < 5", """--types '"net, price"=number'"""),
        ("price = TRUE", "'price' is a text column.*--types price=flag"),
        ("title < 50", "'title' is a text column; write '50' in quotes to compare texts$"),
        ("stock = 'many'", "'stock' is a number column; write numbers without quotes, or .*--types stock=text"),
        ("stock > '5'", "'stock' is a number column; write numbers without quotes$"),
        ("new = 1", "'new' is a flag column; compare it with TRUE or FALSE"),
        ("new = 'yes'", "'new' is a flag column; compare it with TRUE or FALSE$"),
        ("sold > '2026-05-01'", "'sold' is a time column; write times as timestamp '2026-05-01 12:00:00'$"),
        ("created_at > 5", "'created_at' is a time column"),
        ("abs(price) < 5", "price is a text column; firstsight index --types changes a type"),
        ("price + 1 < 5", "price is a text column; firstsight index --types changes a type"),
    ],
)
def test_a_comparison_with_another_type_is_refused(store: Store, where: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        build_condition(store, where, [])


@pytest.mark.parametrize(
    "where",
    [
        "price < '50'",
        "CAST(price AS DOUBLE) < 50",
        "stock < 5 AND new AND price IS NULL",
        "new = TRUE",
        "sold > timestamp '2026-05-01 12:00:00'",
        "stock IN (1, 2.5)",
        "price = title",
        "length(price) > 3",
        "stock BETWEEN -1 AND 5",
    ],
)
def test_comparisons_of_equal_types_are_accepted(store: Store, where: str) -> None:
    condition = build_condition(store, where, [])
    assert store.items.count_rows(condition) == 0
