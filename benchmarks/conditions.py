"""Filters: generated conditions give the same rows as when LanceDB reads them itself, or are refused.

    python -m benchmarks.conditions                  # 2,000 conditions; exit code 1 if one gives other rows
    python -m benchmarks.conditions --count 20000 --seed 7 --show 20

Conditions have every operator, columns of every type, odd names, nested logic, semantic IDs, and damage: characters and
words that are left out, repeated or put in, and attempts to reach past the condition.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Literal

import lancedb
import pyarrow as pa
from lancedb.table import Table

from benchmarks.drawn_conditions import ROWS, generate
from firstsight.errors import QueryError
from firstsight.storage.sql import condition_parser
from firstsight.storage.sql.condition_parser import Condition, parse_condition
from firstsight.storage.sql.conditions import is_in

TYPICAL = {
    "3 comparisons": "price < 50 AND category = 'shoes' AND created_at > timestamp '2024-01-01T00:00:00Z'",
    "lists, LIKE and functions": (
        "lower(title) LIKE '%shoe%' AND (price BETWEEN 10 AND 60 OR on_sale) "
        "AND color IN ('red', 'blue', 'green') AND NOT (brand = 'x')"
    ),
    "1,000 ids": f"item_id IN ({', '.join(repr(f'item-{n:05}') for n in range(1_000))})",
}

Outcome = Literal["same rows", "refused by both", "refused now", "answered now", "other rows"]
OUTCOMES: dict[Outcome, str] = {
    "same rows": "the rows that LanceDB finds by the text itself",
    "refused by both": "LanceDB refuses the text, and so does the parser, or LanceDB what it wrote",
    "refused now": "LanceDB would answer; refused with a message",
    "answered now": "LanceDB refuses the text and answers what the parser wrote (trim, ceil, VARCHAR, ...)",
    "other rows": "a mistake",
}


@dataclass(frozen=True)
class Compared:
    """A condition, and what became of it."""

    text: str
    outcome: Outcome
    written: str  # for LanceDB, or the message of the refusal


def make_table(folder: str) -> Table:
    """A table with a column of every type, nulls, and names that need quotes."""
    draw = Random(1)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    words = [
        "red shoe",
        "Blue  shoe",
        "it's a band",
        'a "quoted" one',
        "50% off",
        "naïve café",
        "",
        "日本",
        "a_b",
        "\\",
    ]

    def some(values: list[object]) -> object:
        return None if draw.random() < 0.15 else draw.choice(values)

    rows = [
        {
            "item_id": f"i{n:03}",
            "semantic_id": f"{n % 4}-{n % 7}-{n}",
            "title": some(list(words)),
            "text": some(list(words)),
            "price": some([float(n), n / 4, -1.5, 0.0, float("nan"), 1e6]),
            "stock": some([n % 5, 0, -3, 100]),
            "on_sale": some([True, False]),
            "created_at": some([start + timedelta(days=40 * (n % 9), microseconds=n)]),
            "day": some([date(2020 + n % 3, 1 + n % 12, 1)]),
            "tags": some([[], ["a"], ["a", "red shoe"], ["b", "c"]]),
            "maker": some([{"name": draw.choice(words), "Rank": n % 3}]),
            "CamelCase": some(["P", "q"]),
            "with space": some(["s", "t"]),
            "order": some(["1", "2"]),
            "naïve": some(["é", "f"]),
            "it's": some(["u", "v"]),
            'dq"x': some(["w", "x"]),
        }
        for n in range(ROWS)
    ]
    texts = ("item_id", "semantic_id", "title", "text", "CamelCase", "with space", "order", "naïve", "it's", 'dq"x')
    kinds: dict[str, pa.DataType] = dict.fromkeys(texts, pa.string()) | {
        "price": pa.float64(),
        "stock": pa.int64(),
        "on_sale": pa.bool_(),
        "created_at": pa.timestamp("us", tz="UTC"),
        "day": pa.date32(),
        "tags": pa.list_(pa.string()),
        "maker": pa.struct([("name", pa.string()), ("Rank", pa.int64())]),
    }
    schema = pa.schema([pa.field(name, kinds[name]) for name in rows[0]])
    return lancedb.connect(folder).create_table("items", pa.Table.from_pylist(rows, schema=schema))


def compare(table: Table, text: str) -> Compared:
    """Evaluate a condition as LanceDB reads it and as the parser writes it."""
    before = _rows(table, text)
    try:
        written = _with_ids(table, parse_condition(text)).sql
    except QueryError as error:
        return Compared(text, "refused by both" if before is None else "refused now", str(error))
    now = _rows(table, written)
    if before is None:
        if now is None:
            return Compared(text, "refused by both", written)
        spelled = _rows(table, _as_lancedb_spells(text))
        return Compared(text, "answered now" if spelled in (None, now) else "other rows", written)
    if now is None:
        return Compared(text, "refused now", written)
    return Compared(text, "same rows" if now == before else "other rows", written)


def _rows(table: Table, condition: str) -> list[str] | None:
    """The ids that a condition finds; None if LanceDB refuses it, or fails on a row."""
    try:
        found = table.search().where(f"({condition})").select(["item_id"]).limit(None).to_arrow()
    except Exception:
        return None
    return sorted(str(item_id) for item_id in found["item_id"].to_pylist())


def _as_lancedb_spells(text: str) -> str:
    """The text with the names of functions and types that LanceDB reads, where it refuses those that are usual."""
    for pattern, spelled in _SPELLINGS.items():
        text = re.sub(pattern, spelled, text, flags=re.IGNORECASE)
    return text


_SPELLINGS: dict[str, str | Callable[[re.Match[str]], str]] = {
    r"\b(ceil|floor|trim|substr|substring)\(": lambda found: f"`{found[1].lower()}`(",
    r"\b(as |::)text\b": r"\1string",
    r"\b(as |::)numeric\b": r"\1decimal",
    r"\b(as |::)bool\b": r"\1boolean",
}


def _with_ids(table: Table, condition: Condition) -> Condition:
    """The condition with ids in the place of semantic IDs, as a search has it; here every row has one."""

    def by_item(comparison: str, negated: bool) -> str:
        ids = _rows(table, f"semantic_id {comparison}")
        assert ids is not None
        return f"({'NOT ' if negated else ''}{is_in('item_id', ids)})"

    try:
        return condition.replace_column("semantic_id", by_item, "compare it with a text")
    except QueryError:  # also used in another way; the column is there, so that LanceDB can answer
        return condition


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=2_000, help="conditions")
    options.add_argument("--seed", type=int, default=0, help="random seed")
    options.add_argument("--show", type=int, default=0, help="examples of each outcome to print")
    given = options.parse_args()
    counts: Counter[Outcome] = Counter()
    shown: Counter[Outcome] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        table = make_table(folder)
        for text in generate(given.count, given.seed):
            compared = compare(table, text)
            counts[compared.outcome] += 1
            if compared.outcome == "other rows" or shown[compared.outcome] < given.show:
                shown[compared.outcome] += 1
                print(f"{compared.outcome}: {text!r}\n    {compared.written!r}")
    for outcome, meaning in OUTCOMES.items():
        print(f"{counts[outcome]:6,}  {outcome:16} {meaning}")
    for name, text in TYPICAL.items():
        print(f"{_milliseconds(text):6.2f}  ms of CPU to parse and write: {name}")
    return 1 if counts["other rows"] else 0


def _milliseconds(text: str, times: int = 50) -> float:
    parse_condition(text)  # imports the parser
    start = time.process_time()
    for _ in range(times):
        condition_parser._tree.cache_clear()
        parse_condition(text)
    return (time.process_time() - start) / times * 1_000


if __name__ == "__main__":
    sys.exit(main())
