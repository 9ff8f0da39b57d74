"""The column of items, and watermarks by the text in pictures."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from firstsight.media.picture_facts import JsonValue
from firstsight.understanding.facts.fact_kind import FactItem, FactKind, FactView
from firstsight.understanding.quality.quality_facts import QualityFacts

FACTS: FactKind = QualityFacts()
GOOD: dict[str, JsonValue] = {
    "width": 900,
    "height": 900,
    "bars": 0.0,
    "blur": 0.5,
    "detail": 900,
    "enlargement": 0.5,
    "blocking": 0.1,
    "brightness": 1.0,
    "clipped": 0.0,
    "white_background": 0.6,
    "content": 0.3,
}


def line(text: str, x: float, y: float, slope: float = 0.0) -> dict[str, JsonValue]:
    box: list[JsonValue] = [[x, y], [x + 0.1, y + slope], [x + 0.1, y + 0.02 + slope], [x, y + 0.02]]
    return {"text": text, "score": 0.95, "box": box}


def item(name: str, *pictures: dict[str, JsonValue], text: JsonValue = None) -> FactItem:
    views = [
        FactView(f"{name}#image-{n}", "image", facts={"quality": {**GOOD, **picture}, "ocr": text})
        for n, picture in enumerate(pictures)
    ]
    return FactItem(name, name, None, {}, views)


def quality(*items: FactItem) -> list[dict[str, Any]]:
    return [row["fact_quality"] for row in FACTS.values(items)]


def test_an_item_has_the_worst_of_each_measure_and_the_problems_of_all_pictures() -> None:
    blurred: dict[str, JsonValue] = {"blur": 1.4, "detail": 350, "white_background": 0.8}
    (found,) = quality(item("mug", {}, blurred, {"brightness": 0.3, "width": 300, "height": 450}))
    assert found["problems"] == "blurred,dark,low_resolution"
    assert (found["blur"], found["detail"], found["brightness"], found["white_background"]) == (1.4, 350, 0.3, 0.6)
    assert (found["width"], found["height"]) == (300, 450)
    assert found["aspect"] == pytest.approx(2 / 3)


def test_an_item_without_measured_pictures_has_no_quality() -> None:
    frame = FactView("clip#frame-0", "frame", facts={"quality": dict(GOOD)})
    unmeasured = FactView("mug#image-0", "image", facts={"quality": None})
    assert quality(FactItem("clip", None, None, {}, [frame, unmeasured])) == [None]


def test_a_measure_that_no_picture_has_is_unknown() -> None:
    (found,) = quality(item("mug", {"blur": None, "detail": None}))
    assert found["blur"] is None
    assert found["problems"] == ""


def test_the_rows_fit_the_column() -> None:
    rows = FACTS.values([item("a", {}), item("b", {"blur": None}), FactItem("c", None, None, {})])
    table = pa.Table.from_pylist(rows, schema=pa.schema(FACTS.fields))
    assert table["fact_quality"].null_count == 1


def test_the_same_text_in_the_corner_of_many_items_is_a_watermark() -> None:
    shop = [item(f"mug-{n}", {}, text=[line("SampleShop", 0.85, 0.92 + 0.005 * n)]) for n in range(5)]
    other = item("plain", {}, text=[])
    unread = item("unread", {})
    found = quality(*shop, other, unread)
    assert [each["watermark"] for each in found] == [1.0] * 5 + [0.0, None]
    assert [each["problems"] for each in found] == ["watermark"] * 5 + ["", ""]


def test_text_aslant_over_the_product_is_compared_too() -> None:
    shop = [item(f"mug-{n}", {}, text=[line("Sample", 0.4, 0.5, slope=-0.07)]) for n in range(5)]
    assert {each["watermark"] for each in quality(*shop)} == {1.0}


def test_a_brand_on_the_product_is_no_watermark() -> None:
    shop = [item(f"tee-{n}", {}, text=[line("Acme", 0.45, 0.4)]) for n in range(8)]
    variants = [item(f"box-{n}", {}, text=[line("Size 40", 0.85, 0.92)]) for n in range(3)]
    assert {each["watermark"] for each in quality(*shop, *variants)} == {0.0}


@pytest.mark.parametrize("text", ["www.example.com", "© Example", "Copyright 2020 Example"])
def test_the_owner_at_the_edge_is_a_watermark_in_a_single_picture(text: str) -> None:
    at_edge, on_product = quality(
        item("a", {}, text=[line(text, 0.4, 0.95)]), item("b", {}, text=[line(text, 0.4, 0.5)])
    )
    assert (at_edge["watermark"], on_product["watermark"]) == (1.0, 0.0)


@pytest.mark.parametrize("text", ["no list", [1], [{"text": 3}], [{"text": "a", "box": [[0, 1]]}], [{"box": None}]])
def test_text_of_another_form_is_ignored(text: JsonValue) -> None:
    assert quality(item("a", {}, text=text))[0]["watermark"] == 0.0
