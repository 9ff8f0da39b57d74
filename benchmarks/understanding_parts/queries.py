"""Query understanding: exact slots, and searches with and without the rules.

FOLDER has `query_slots.json`, queries with their slots, and `luma_men_gear/catalog.csv` with pictures and prices, and
`queries_7_languages.json` with queries for its categories. The project has three files of its own in `benchmarks/`:
60 queries of `query_slots.json`, written before the rules and known while they were; 120 of `query_slots_unseen.json`,
written without a look at the rules, whose faults were then corrected; 40 of `query_slots_last.json`, written after
these corrections. Figures of queries that were seen are too good: at their first measurement the last two files had
.93 and .98. Another file of queries in FOLDER, `query_slots_unseen.json`, is measured if it is there.

Searches: each query for a category gets a price limit in words. Precision@10 counts results of the category; "in the
limits" those with such a price. "limits by hand" searches for the whole text with the same limits as a filter.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import firstsight
from firstsight.understanding.queries.understand_query import understand_query

OWN_QUERIES = ("query_slots.json", "query_slots_unseen.json", "query_slots_last.json")
LIMITS = ((" under 40", None, 40.0), (" between 20 and 50 dollars", 20.0, 50.0), (" for less than $35", None, 35.0))
FIRST = 10


def run(data: Path) -> None:
    """Print exact slots of each file, then the precision of searches."""
    print(f"{'queries':<36} {'n':>4} {'exact':>6} {'text':>6} {'colours':>8} {'minus':>6} {'min':>6} {'max':>6}")
    own = (Path(__file__).parents[1] / name for name in OWN_QUERIES)
    for path in (data / "query_slots.json", *own, data / "query_slots_unseen.json"):
        if path.exists():
            _print_slots(path)
    print()
    _print_searches(data)


def _print_slots(path: Path) -> None:
    queries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    right = dict.fromkeys(("exact", "text", "colours", "not", "min", "max"), 0)
    for query in queries:
        found = understand_query(query["query"])
        slots = {"text": found.text, "colours": list(found.colours), "not": list(found.minus)}
        slots |= {"min": found.min_price, "max": found.max_price}  # type: ignore[dict-item]
        equal = {name: value == query[name] for name, value in slots.items()}
        for name, is_equal in (equal | {"exact": all(equal.values())}).items():
            right[name] += is_equal
    name = f"{path.parent.name}/{path.name}"
    shares = [right[name] / len(queries) for name in right]
    print(
        f"{name:<36} {len(queries):>4} {shares[0]:>6.2f} {shares[1]:>6.2f} {shares[2]:>8.2f} {shares[3]:>6.2f} "
        f"{shares[4]:>6.2f} {shares[5]:>6.2f}"
    )


@dataclass(frozen=True)
class _Shop:
    database: firstsight.Database
    categories: dict[str, str]
    prices: dict[str, float]


def _print_searches(data: Path) -> None:
    queries: list[Sequence[str]] = json.loads((data / "queries_7_languages.json").read_text(encoding="utf-8"))[
        "luma_men_gear"
    ]
    with tempfile.TemporaryDirectory() as folder:
        shop = _index(data / "luma_men_gear", Path(folder))
        print(f"{'searches with a price limit in words':<40} {'P@10':>6} {'in the limits':>13}")
        rows: dict[str, list[tuple[float, float]]] = {"rules off": [], "rules off, limits by hand": [], "rules on": []}
        for text, *_, category in queries:
            for words, low, high in LIMITS:
                where = " AND ".join(
                    f"price {sign} {limit}" for sign, limit in ((">=", low), ("<=", high)) if limit is not None
                )
                searches = {
                    "rules off": shop.database.search(text + words, k=FIRST, understand=False),
                    "rules off, limits by hand": shop.database.search(
                        text + words, where=where, k=FIRST, understand=False
                    ),
                    "rules on": shop.database.search(text + words, k=FIRST),
                }
                for name, results in searches.items():
                    rows[name].append(_shares(shop, results, category, low or 0.0, high or 1e9))
    for name, shares in rows.items():
        print(f"{name:<40} {_mean(share for share, _ in shares):>6.3f} {_mean(share for _, share in shares):>13.3f}")


def _index(source: Path, folder: Path) -> _Shop:
    with (source / "catalog.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    catalogue = folder / "catalogue.jsonl"
    with catalogue.open("w", encoding="utf-8") as file:
        for row in rows:
            item = {name: row[name] for name in ("item_id", "title", "category")}
            file.write(json.dumps({**item, "price": float(row["price"]), "images": [row["image"]]}) + "\n")
    shutil.copytree(source / "images", folder / "images")
    database = firstsight.open(folder / "db")
    database.index(catalogue)
    categories = {row["item_id"]: row["category"] for row in rows}
    return _Shop(database, categories, {row["item_id"]: float(row["price"]) for row in rows})


def _shares(
    shop: _Shop, results: firstsight.SearchResults, category: str, low: float, high: float
) -> tuple[float, float]:
    ids = [result.item_id for result in results]
    right = sum(shop.categories[item_id].endswith(category) for item_id in ids)
    within = sum(low <= shop.prices[item_id] <= high for item_id in ids)
    return right / FIRST, within / max(len(ids), 1)


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)
