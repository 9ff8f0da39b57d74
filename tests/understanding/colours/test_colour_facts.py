"""The colours of items: the weighted mean of their pictures, in columns of `items`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from firstsight.media.picture_facts import JsonValue
from firstsight.storage.facts.fact_columns import is_fact_column
from firstsight.understanding.colours.colour_facts import ColourFacts
from firstsight.understanding.colours.named_shades import COLOURS
from firstsight.understanding.facts.fact_kind import FactItem, FactKind, FactView

FACTS: FactKind = ColourFacts()


def picture(place: int, shares: dict[str, JsonValue], *, pattern: bool = False) -> FactView:
    value: JsonValue = {"shares": shares, "clusters": [], "multicolour": False, "pattern": pattern, "subject": 0.5}
    return FactView(f"shirt#image-{place}", "image", facts={"colours": value})


def values(*views: FactView) -> dict[str, Any]:
    (row,) = FACTS.values([FactItem("shirt", "A shirt", None, {}, views)])
    return row


def test_the_first_picture_counts_twice_as_much_as_a_further_one() -> None:
    row = values(picture(0, {"blue": 1.0}), picture(1, {"red": 1.0}))
    assert row["fact_colour"] == "blue"
    assert row["fact_colours"]["blue"] == pytest.approx(2 / 3)
    assert row["fact_colours"]["red"] == pytest.approx(1 / 3)


def test_the_order_of_views_makes_no_difference() -> None:
    views = [picture(n, {"blue" if n == 2 else "red": 1.0}) for n in (2, 10, 11)]
    assert values(*views) == values(*reversed(views))
    assert values(*views)["fact_colours"]["blue"] == pytest.approx(0.5)  # picture 2 comes before 10


def test_titles_frames_and_unmeasured_pictures_are_left_out() -> None:
    title = FactView("shirt#title", "title")
    unknown = FactView("shirt#image-0", "image", facts={"colours": None})
    other = FactView("shirt#image-3", "image", facts={"quality": {"blur": 1.0}})
    row = values(title, unknown, other, picture(1, {"green": 0.8, "black": 0.2}))
    assert row["fact_colour"] == "green"
    assert row["fact_colours"]["green"] == pytest.approx(0.8)


def test_an_item_without_measured_pictures_has_no_colours() -> None:
    assert values() == {"fact_colour": None, "fact_colours": None}
    assert values(FactView("shirt#image-0", "image", facts={"colours": None}))["fact_colours"] is None


def test_no_main_colour_is_named_where_no_share_is_large() -> None:
    row = values(picture(0, dict.fromkeys(["red", "blue", "green", "yellow", "pink"], 0.2)))
    assert row["fact_colour"] is None
    assert row["fact_colours"]["multicolour"]


def test_a_pattern_needs_half_of_the_weight() -> None:
    plain, striped = picture(0, {"red": 1.0}), picture(1, {"red": 1.0}, pattern=True)
    assert not values(plain, striped)["fact_colours"]["pattern"]
    assert values(picture(0, {"red": 1.0}, pattern=True), picture(1, {"red": 1.0}))["fact_colours"]["pattern"]


def test_the_values_fit_the_columns() -> None:
    rows = [values(picture(0, {"red": 0.7, "white": 0.3})), values()]
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(FACTS.fields)))
    assert all(is_fact_column(name) for name in table.column_names)
    assert table["fact_colour"].to_pylist() == ["red", None]
    shares = table.to_pylist()[0]["fact_colours"]
    assert set(shares) == {*COLOURS, "multicolour", "pattern"}
    assert sum(shares[colour] for colour in COLOURS) == pytest.approx(1)
