"""A catalogue with sales, judgements graded by sales, and the gain of search results."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import firstsight

COLOURS = ("red", "blue", "green", "black", "white", "yellow", "brown", "grey")
THINGS = ("mug", "shoe", "guitar", "lamp", "tent", "clock", "bicycle", "hat")
SAYINGS = ("{}", "a {} for me", "the best {}", "buy a new {}")
SALES = {
    f"{colour}-{thing}": int(sold)
    for (colour, thing), sold in zip(
        itertools.product(COLOURS, THINGS), np.random.default_rng(5).integers(0, 1000, size=64), strict=True
    )
}


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def catalogue() -> list[dict[str, Any]]:
    """64 items: 8 products in 8 colours, with sales; titles only, so that indexing is quick."""
    return [
        {
            "item_id": item_id,
            "title": item_id.replace("-", " "),
            "sales": sold,
            "colour": item_id.partition("-")[0],
            "in_stock": sold % 2 == 0,
            "created_at": f"2025-{1 + sold % 12:02d}-01",
        }
        for item_id, sold in SALES.items()
    ]


def by_sales() -> list[dict[str, Any]]:
    """Relevant items are of the named product, and graded by sales; search alone does not know the sales."""
    return [
        {"query": saying.format(thing), "item_id": f"{colour}-{thing}", "grade": SALES[f"{colour}-{thing}"] // 250}
        for saying, thing, colour in itertools.product(SAYINGS, THINGS, COLOURS)
    ]


def by_nothing() -> list[dict[str, Any]]:
    """Random relevant items, so nothing can be learned. (1 of 40 such samples was promoted; p < 0.05 allows that.)"""
    random = np.random.default_rng(0)
    return [
        {"query": saying.format(thing), "item_id": str(item_id), "grade": 1}
        for saying, thing in itertools.product(SAYINGS, THINGS)
        for item_id in random.choice(sorted(SALES), 6, replace=False)
    ]


def ids(results: Sequence[firstsight.SearchResult]) -> list[str]:
    return [result.item_id for result in results]


def gain(results: Sequence[firstsight.SearchResult], thing: str) -> float:
    good = (SALES[r.item_id] // 250 if r.item_id.endswith(thing) else 0 for r in results[:5])
    return float(sum(grade / np.log2(place + 2) for place, grade in enumerate(good)))
