"""Search by a vector, with part item and part best: python -m benchmarks.vector_queries CATALOGUE

CATALOGUE is a file for `firstsight index`, such as sample_media/catalogue.csv or that of luma_men_gear. The queries are
vectors that a client may have: stored ones of items, titles, pictures and frames; those of the second half of a title
and of the first 12 words of a text; unit means of an item's title and first picture. Each must find its item. The mean
of three items of a category (of at least 8 items, 20 draws each) must find others of the category.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import firstsight
from firstsight import Query
from firstsight.api.items import Item
from firstsight.encoders.base import Vector, unit
from firstsight.retrieval.query import PartChoice
from firstsight.storage.store import Store

PARTS: tuple[PartChoice, ...] = ("item", "best")
DEPTH = 10
DRAWS = 20

Searched = list[tuple[str, Vector]]  # the item to find, and a vector of it


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        db = firstsight.open(Path(folder) / "db")
        db.index(sys.argv[1])
        rows = Store.open(db.uri).items.search().select(["item_id"]).limit(None).to_list()
        items = [item for item in (db.get(row["item_id"]) for row in rows) if item.vector is not None]
        for name, searched in queries(db, items).items():
            if searched:
                measure(db, name, searched)
        measure_categories(db, items)


def queries(db: firstsight.Database, items: Sequence[Item]) -> dict[str, Searched]:
    found: dict[str, Searched] = {}
    found["the item"] = [(item.item_id, item.vector) for item in items if item.vector is not None]
    for part in ("title", "image", "frame"):
        found[f"its {part}"] = [
            (item.item_id, view.vector) for item in items for view in item.views if view.part == part
        ]
    found["mean of title and first picture"] = []
    for item in items:
        first = {view.part: view.vector for view in reversed(item.views)}
        if {"title", "image"} <= first.keys():
            mean = unit(first["title"] + first["image"])
            found["mean of title and first picture"].append((item.item_id, mean))
    found["second half of the title"] = encoded(db, items, "title", lambda words: words[len(words) // 2 :])
    found["first 12 words of the text"] = encoded(db, items, "text", lambda words: words[:12])
    return found


def encoded(
    db: firstsight.Database, items: Sequence[Item], field: str, cut: Callable[[list[str]], list[str]]
) -> Searched:
    words = [(item.item_id, (getattr(item, field) or "").split()) for item in items]
    named = [(item_id, cut(of_item)) for item_id, of_item in words if len(of_item) > 3]
    vectors = db.encoder.encode_texts([" ".join(of_item) for _, of_item in named])
    return [(item_id, vector) for (item_id, _), vector in zip(named, vectors, strict=True)]


def measure(db: firstsight.Database, name: str, searched: Searched) -> None:
    for part in PARTS:
        ranks = []
        for item_id, found in zip((i for i, _ in searched), answers(db, [v for _, v in searched], part), strict=True):
            ranks.append(found.index(item_id) + 1 if item_id in found else np.inf)
        first, reciprocal = np.mean(np.array(ranks) == 1), np.mean(1 / np.array(ranks))
        print(f"{name:32} {part:5} {len(ranks):5} queries  first {first:.3f}  MRR@{DEPTH} {reciprocal:.3f}")


def measure_categories(db: firstsight.Database, items: Sequence[Item]) -> None:
    """Share of the first 5 results, without the three items of the mean, that are of their category."""
    rng = np.random.default_rng(0)
    category = {item.item_id: item.columns.get("category") for item in items}
    drawn, means = [], []
    for name in sorted({value for value in category.values() if value}):
        members = [item for item in items if category[item.item_id] == name]
        for _ in range(DRAWS if len(members) >= 8 else 0):
            three = [members[n] for n in rng.choice(len(members), size=3, replace=False)]
            drawn.append({item.item_id for item in three})
            means.append(unit(np.sum([item.vector for item in three], axis=0)))
    for part in PARTS:
        shares = []
        for three_ids, found in zip(drawn, answers(db, means, part), strict=True):
            others = [item_id for item_id in found if item_id not in three_ids][:5]
            shares.append(np.mean([category[item_id] == category[min(three_ids)] for item_id in others]))
        if shares:
            precision = np.mean(shares)
            print(f"{'mean of three of a category':32} {part:5} {len(shares):5} queries  precision@5 {precision:.3f}")


def answers(db: firstsight.Database, vectors: Sequence[Vector], part: PartChoice) -> list[list[str]]:
    found = db.search_many([Query(vectors=[vector], part=part, k=DEPTH, collapse="none") for vector in vectors])
    return [[result.item_id for result in results] for results in found]


if __name__ == "__main__":
    main()
