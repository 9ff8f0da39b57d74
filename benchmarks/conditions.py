"""Filters: parsed conditions give the same rows as LanceDB's own parser, or are refused.

    python -m benchmarks.conditions                  # 2,000 conditions; exit code 1 if one gives other rows
    python -m benchmarks.conditions --count 20000 --seed 7 --show 20

The generated conditions have every operator, columns of every type, unusual names, nested logic and semantic IDs. Some
are damaged: characters and words are removed, repeated or inserted. Others try to escape from the condition.
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
    "same rows": "the parsed condition finds the same rows as the original text in LanceDB",
    "refused by both": "LanceDB refuses the text; the parser refuses it, or LanceDB refuses the parsed condition",
    "refused now": "LanceDB accepts the text; the parser refuses it with a message, or LanceDB the parsed condition",
    "answered now": "LanceDB refuses the text and accepts the parsed condition (trim, ceil, VARCHAR, ...)",
    "other rows": "an error of the parser",
}


@dataclass(frozen=True)
class ComparedCondition:
    """A condition and its outcome."""

    text: str
    outcome: Outcome
    written: str  # the parsed condition in LanceDB's SQL, or the message of the refusal


def make_table(folder: str) -> Table:
    """Make a table with a column of every type, nulls, and names that need quotes."""
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

    def value_or_null(values: list[object]) -> object:
        return None if draw.random() < 0.15 else draw.choice(values)

    rows = [
        {
            "item_id": f"i{n:03}",
            "semantic_id": f"{n % 4}-{n % 7}-{n}",
            "title": value_or_null(list(words)),
            "text": value_or_null(list(words)),
            "price": value_or_null([float(n), n / 4, -1.5, 0.0, float("nan"), 1e6]),
            "stock": value_or_null([n % 5, 0, -3, 100]),
            "on_sale": value_or_null([True, False]),
            "created_at": value_or_null([start + timedelta(days=40 * (n % 9), microseconds=n)]),
            "day": value_or_null([date(2020 + n % 3, 1 + n % 12, 1)]),
            "tags": value_or_null([[], ["a"], ["a", "red shoe"], ["b", "c"]]),
            "maker": value_or_null([{"name": draw.choice(words), "Rank": n % 3}]),
            "CamelCase": value_or_null(["P", "q"]),
            "with space": value_or_null(["s", "t"]),
            "order": value_or_null(["1", "2"]),
            "naïve": value_or_null(["é", "f"]),
            "it's": value_or_null(["u", "v"]),
            'dq"x': value_or_null(["w", "x"]),
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


def compare(table: Table, text: str) -> ComparedCondition:
    """Evaluate a condition with LanceDB's own parser, and after parsing and writing it."""
    before = _rows(table, text)
    try:
        written = _with_ids(table, parse_condition(text)).sql
    except QueryError as error:
        return ComparedCondition(text, "refused by both" if before is None else "refused now", str(error))
    now = _rows(table, written)
    if before is None:
        if now is None:
            return ComparedCondition(text, "refused by both", written)
        spelled = _rows(table, _as_lancedb_spells(text))
        return ComparedCondition(text, "answered now" if spelled in (None, now) else "other rows", written)
    if now is None:
        return ComparedCondition(text, "refused now", written)
    return ComparedCondition(text, "same rows" if now == before else "other rows", written)


def _rows(table: Table, condition: str) -> list[str] | None:
    """Return the ids of the matching rows; None if LanceDB refuses the condition or fails on a row."""
    try:
        found = table.search().where(f"({condition})").select(["item_id"]).limit(None).to_arrow()
    except Exception:
        return None
    return sorted(str(item_id) for item_id in found["item_id"].to_pylist())


def _as_lancedb_spells(text: str) -> str:
    """Replace common names of functions and types that LanceDB refuses by the names that it accepts."""
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
    """Replace comparisons of semantic IDs by lists of item ids, as search does; every row has a semantic ID here."""

    def by_item(comparison: str, negated: bool) -> str:
        ids = _rows(table, f"semantic_id {comparison}")
        assert ids is not None
        return f"({'NOT ' if negated else ''}{is_in('item_id', ids)})"

    try:
        return condition.replace_column("semantic_id", by_item, "compare it with a text")
    except QueryError:  # also used outside comparisons; the table has the column, so LanceDB can evaluate it
        return condition


def main() -> int:
    """Print the outcomes; return 1 if a condition gave other rows."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=2_000, help="number of conditions")
    options.add_argument("--seed", type=int, default=0, help="random seed")
    options.add_argument("--show", type=int, default=0, help="number of examples to print for each outcome")
    arguments = options.parse_args()
    counts: Counter[Outcome] = Counter()
    shown: Counter[Outcome] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        table = make_table(folder)
        for text in generate(arguments.count, arguments.seed):
            compared = compare(table, text)
            counts[compared.outcome] += 1
            if compared.outcome == "other rows" or shown[compared.outcome] < arguments.show:
                shown[compared.outcome] += 1
                print(f"{compared.outcome}: {text!r}\n    {compared.written!r}")
    for outcome, meaning in OUTCOMES.items():
        print(f"{counts[outcome]:6,}  {outcome:16} {meaning}")
    for name, text in TYPICAL.items():
        print(f"{_milliseconds(text):6.2f}  ms of CPU time to parse and write: {name}")
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
