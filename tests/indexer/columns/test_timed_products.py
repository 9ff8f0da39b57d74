"""Cells with the products that a video shows."""

from __future__ import annotations

import pytest

from firstsight.indexer.columns.timed_products import TimedProductCell, read_timed_products

TWO = [TimedProductCell("p1", 12.0, 20.0), TimedProductCell("p2", 65.0)]


@pytest.mark.parametrize(
    "value",
    [
        "p1@0:12-0:20; p2@1:05",
        "p1@12-20;p2@65",
        "p1@12s-20.0s\np2@0:01:05",
        '[{"product": "p1", "start": 12, "end": 20.0}, {"product": "p2", "start": "1:05"}]',
        "[{'product_id': 'p1', 'start_s': '0:12', 'end_s': 20}, {'sku': 'p2', 'at': 65}]",
        [{"product": "p1", "start": 12, "end": 20}, {"product": "p2", "start": 65, "end": None}],
        [{"product": "p1", "start": 12, "end": 20}, "p2@1:05", "p2@65"],
    ],
)
def test_both_forms_give_the_same_entries(value: object) -> None:
    assert read_timed_products(value) == (TWO, [])


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("p1", "'p1' is not a timed product; write p1@0:12-0:20"),
        ("p1@soon", "'soon' is not a time such as 12.5, 0:12 or 1:02:03"),
        ("p1@0:20-0:12", "'p1@0:20-0:12' ends before it starts; swap the two times"),
        ("@0:12", "'@0:12' names no product"),
        ('[{"product": "p1"}]', "has no start"),
        ('[{"product": "p1", "start": -1}]', "'-1' is not a time"),
        ("[7]", "'7' is not a timed product"),
        ("p1@9999999", "is not a time"),
    ],
)
def test_a_bad_entry_is_named_and_the_others_stay(value: str, problem: str) -> None:
    entries, problems = read_timed_products(value)
    assert entries == []
    assert problem in problems[0]
    entries, problems = read_timed_products(
        [value, "p2@1:05"] if not value.startswith("[") else f"{value[:-1]}, 'p2@65']".replace("null", "None")
    )
    assert entries == TWO[1:]
    assert len(problems) == 1


@pytest.mark.parametrize("value", [None, "", " ; ", [], float("nan")])
def test_an_empty_cell_has_no_entries(value: object) -> None:
    assert read_timed_products(value) == ([], [])
