"""Queries that name a variant: a value of a variant column in the text, or a filter on such a column."""

from __future__ import annotations

import pytest

from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.variant_words import names_variant
from firstsight.storage.product_groups import ProductGroups

GROUPS = ProductGroups(
    {
        "Color": ("Blue", "Navy Blue", "Blau", "Grün", "Stripes", "Black/White", "Rosé", "Short", "Rot", "青"),
        "size": ("S", "M", "XL", "10", "10.5", "36/38", "A", "One Size", "No", "32 GB", "50"),
    }
)


@pytest.mark.parametrize(
    "text",
    [
        *("blue shirts", "BLUE", "shirts in blue.", "a navy blue coat", "navy-blue coat", "black shoes", "blaue Hosen"),
        *("grunes hemd", "grüne Jacke", "gru\u0308n", "stripe dress", "rose dress", "short sleeves", "青いシャツ"),
        *("rote Schuhe", "roter Pullover", "Hemd in Rot", "rotes Hemd", "blauer Pullover", "grünem Hemd"),
        *("t-shirt M", "t-shirt m", "shirt, M", "shirt (M)", "shirt S/M", "shirt M,L", "shirt 'XL'", "xl shirt"),
        *(
            "shoes 10",
            "shoes 10.5",
            "trousers 36/38",
            "trousers 36",
            "bra size A",
            "hat one size",
            "phone 32 GB",
            "32GB phone",
        ),
    ],
)
def test_a_value_in_the_text_names_a_variant(text: str) -> None:
    assert names_variant(GROUPS, Query(text))


@pytest.mark.parametrize(
    "text",
    [
        *("men's shirts", "men’s", "mens", "blueberry jam", "navy coat", "m-65 jacket", "t-shirt"),
        *("rotary mower", "roters", "brot"),
        *("running shorts", "A shirt", "a shirt", "no sleeves", "size one", "x-l", "xls", "s-hook", "model M1"),
        *("shoes 10.50", "$10 shoes", "10€", "10 euros", "10 %", "under 50", "shoes 100", "shoes 10cm"),
    ],
)
def test_other_words_name_none(text: str) -> None:
    assert not names_variant(GROUPS, Query(text))


def test_only_the_searched_text_counts() -> None:
    assert not names_variant(GROUPS, Query("shirts", minus=["blue"]))
    assert not names_variant(GROUPS, Query("blue", text_weight=0, items=["a"]))
    assert not names_variant(GROUPS, Query(images=["blue.jpg"]))
    assert not names_variant(ProductGroups({}), Query("blue shirts"))


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("color = 'blue'", True),
        ("`Color` IN ('a', 'b') AND price < 5", True),
        ("price < 5 OR lower(size) LIKE 'x%'", True),
        ("group_id = 'p1'", True),
        ("item_id IN ('a', 'b')", True),
        ("price < 50", False),
        ("title = 'color'", False),
        ("colors = 'blue'", False),
    ],
)
def test_a_filter_on_a_variant_column_names_a_variant(where: str, named: bool) -> None:
    assert names_variant(GROUPS, Query("shirts", where=where)) is named
