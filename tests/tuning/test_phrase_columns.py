"""Columns that become phrases: few values that several products have, and that a picture can show."""

from __future__ import annotations

import pytest

from firstsight.tuning.reading.phrase_columns import PhraseColumns, category_tails, choose_phrase_columns

NONE: frozenset[str] = frozenset()


def choose(columns: dict[str, list[object]], category: str | None = None) -> PhraseColumns:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return choose_phrase_columns(rows, [f"product {number}" for number in range(len(rows))], category, NONE)


@pytest.mark.parametrize(
    ("values", "tails"),
    [
        ({"Men/Tops/Jackets", "Men/Tees", "Gear/Bags"}, {"Men/Tops/Jackets": "Jackets", "Gear/Bags": "Bags"}),
        ({"Home > Chairs", "Home > Oak / Beech > Tables"}, {"Home > Oak / Beech > Tables": "Tables"}),
        ({"Clothing > Hoodies, Sale", "Clothing > Tees"}, {"Clothing > Hoodies, Sale": "Hoodies"}),
        ({"Coats/Jackets", "Trousers", "Shoes"}, {"Coats/Jackets": "Coats/Jackets", "Shoes": "Shoes"}),
        ({"Hats", ">"}, {"Hats": "Hats", ">": ">"}),
    ],
)
def test_a_category_is_the_last_name_of_its_path(values: set[str], tails: dict[str, str]) -> None:
    assert category_tails(values).items() >= tails.items()


def test_the_colour_comes_first_and_is_joined_with_the_category() -> None:
    columns = choose(
        {
            "brand": ["Acme", "Acme", "Bolt", "Bolt"],
            "Farbe": ["rot", "blau", "rot", "blau"],
            "category": ["Hats", "Hats", "Bags", "Bags"],
        },
        "category",
    )
    assert (columns.category, columns.attributes) == ("category", ("Farbe", "brand"))
    assert columns.joined == ("Farbe", "brand")
    assert columns.phrases[0] == {"brand": "Acme", "Farbe": "rot", "category": "Hats"}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("size", ["Large", "Small", "Large", "Small"]),
        ("availability", ["in stock", "sold out", "in stock", "sold out"]),
        ("code", ["AX-1", "AX-2", "AX-3", "AX-4"]),  # names single products
        ("link", ["https://a.example/x", "https://a.example/y"] * 2),
        ("note", ["a long sentence about the item, which nobody would ever type as a search", "another one"] * 2),
        ("grade", ["A", "B", "A", "B"]),
        ("material", ["wool"] * 4),  # tells nothing apart
        ("flag", [True, False, True, False]),
    ],
)
def test_a_column_that_no_picture_shows_is_left_out(name: str, values: list[object]) -> None:
    assert choose({name: values}).attributes == ()


def test_items_of_one_product_do_not_make_a_value_repeat() -> None:
    rows = [{"style": "Chaz"}, {"style": "Chaz"}, {"style": "Teton"}, {"style": "Teton"}]
    assert choose_phrase_columns(rows, ["a", "a", "b", "b"], None, NONE).attributes == ()
