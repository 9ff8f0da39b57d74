"""Colours of a catalogue by pixels, against prompts and the majority; and colour words in searches ("blue tees").

FOLDER has `luma_men_gear`. Settings of the colours were chosen on half of its products (by a hash of the product's id);
both halves are given. Titles are indexed without their colour, so that words do not find it.

"blue tees": one query for each pair of colour and category that exists. Both right: share of the first ten results with
both. Findable: the same as share of those that exist, at most ten. Category: share with the category.
"""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import firstsight
from firstsight import Query
from firstsight.media.picture_facts import PictureSource
from firstsight.retrieval.query import Mode, PartChoice
from firstsight.understanding.colours.named_shades import COLOURS
from firstsight.understanding.colours.picture_colours import measure_colours

SAME_AS = {"lavender": "purple"}
TIMED_PICTURES = 60
CASES: tuple[tuple[Mode, PartChoice], ...] = (("hybrid", "item"), ("vector", "item"), ("vector", "image"))

Row = Mapping[str, str]
Pair = tuple[str, str]


def run(data: Path) -> None:
    """Print the figures of both tasks."""
    shop = data / "luma_men_gear"
    with (shop / "catalog.csv").open(encoding="utf-8", newline="") as file:
        rows = [row | {"color": SAME_AS.get(row["color"], row["color"])} for row in csv.DictReader(file)]
    coloured = [row for row in rows if row["color"]]
    with tempfile.TemporaryDirectory() as folder:
        db = _index(rows, shop, Path(folder))
        _print_colours(db, coloured)
        _print_searches(db, coloured)
    _print_cost(shop, coloured)


def _index(rows: Sequence[Row], shop: Path, folder: Path) -> firstsight.Database:
    shutil.copytree(shop / "images", folder / "images")
    catalogue = folder / "catalogue.csv"
    with catalogue.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title", "images", "category"])
        for row in rows:
            title = re.sub(rf"\s+{row['color'] or '$^'}$", "", row["title"], flags=re.IGNORECASE)
            images = "|".join([row["image"], *row["more_images"].split()])
            writer.writerow([row["item_id"], title, images, _category(row)])
    db = firstsight.open(folder / "db")
    db.index(catalogue)
    return db


def _category(row: Row) -> str:
    return row["category"].split("/")[-1]


def _half(row: Row) -> int:
    return int(hashlib.sha1(row["parent"].encode(), usedforsecurity=False).hexdigest(), 16) % 2


def _print_colours(db: firstsight.Database, rows: Sequence[Row]) -> None:
    facts = [db.get(row["item_id"]) for row in rows]
    found = [item.facts.get("colour") for item in facts]
    prompts = db.encoder.encode_texts([f"a photo of {colour} clothing" for colour in COLOURS])
    pictures = [next(view.vector for view in item.views if view.part == "image") for item in facts]
    by_prompt = [COLOURS[n] for n in (np.stack(pictures) @ prompts.T).argmax(axis=1)]
    majority = Counter(row["color"] for row in rows).most_common(1)[0][0]
    print(f"{'colour of the catalogue found':<34} {'all':>6} {'half 1':>7} {'half 2':>7}")
    for label, answers in (("pixels", found), ("prompts", by_prompt), ("majority", [majority] * len(rows))):
        right = [answer == row["color"] for answer, row in zip(answers, rows, strict=True)]
        halves = [statistics.mean(r for r, row in zip(right, rows, strict=True) if _half(row) == n) for n in (0, 1)]
        print(f"{label:<34} {statistics.mean(right):>6.3f} {halves[0]:>7.3f} {halves[1]:>7.3f}")


def _print_searches(db: firstsight.Database, rows: Sequence[Row]) -> None:
    truth: dict[str, Pair] = {row["item_id"]: (row["color"], _category(row)) for row in rows}
    pairs = sorted(set(truth.values()))
    print(f"\n{len(pairs)} queries such as blue tees{'':<7} {'weight':>6} {'both':>6} {'findable':>8} {'category':>8}")
    for mode, part in CASES:
        for weight in (0.0, 1.0, 2.0, 3.0, 4.0):
            queries = [
                Query(f"{colour} {category.lower()}", mode=mode, part=part, collapse="none", colour_weight=weight)
                for colour, category in pairs
            ]
            figures = []
            for pair, results in zip(pairs, db.search_many(queries), strict=True):
                first = [truth.get(result.item_id, ("", "")) for result in results]
                both = first.count(pair)
                exist = min(10, list(truth.values()).count(pair))
                figures.append((both / 10, both / exist, sum(known[1] == pair[1] for known in first) / 10))
            both_right, findable, category = np.mean(figures, axis=0)
            label = f"mode {mode}, part {part}"
            print(f"{label:<35} {weight:>6.1f} {both_right:>6.3f} {findable:>8.3f} {category:>8.3f}")


def _print_cost(shop: Path, rows: Sequence[Row]) -> None:
    pictures = []
    for row in rows[:TIMED_PICTURES]:
        with Image.open(shop / row["image"]) as opened:
            pictures.append(opened.convert("RGB").resize((320, 397)))
    start = time.process_time()
    for picture in pictures:
        measure_colours(picture, PictureSource(*picture.size, "image"))
    seconds = (time.process_time() - start) / len(pictures)
    print(f"\nprocessor time per decoded picture of 320 x 397: {seconds * 1e3:.1f} ms")
