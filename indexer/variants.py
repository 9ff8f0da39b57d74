"""Variants of products: rows of a catalogue that are merged into one item, and the columns that tell variants apart.

The first pass over a catalogue compares each row with the rows before it, and keeps the values of rows that belong to
an earlier item in the temporary SQLite file. The second pass adds them to the item. Memory does not grow with the
catalogue.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from firstsight.indexer.columns.catalog_options import MEDIA, PRICES, VariantsMode
from firstsight.indexer.columns.column_names import is_joined_name, is_variant_name
from firstsight.indexer.columns.column_values import ColumnValue, as_text, as_utc
from firstsight.indexer.row_reader import CatalogItem
from firstsight.storage.product_groups import MAX_CHARACTERS, MAX_VALUES, VARIANT_IDS_COLUMN, limit_values

_KEPT_FROM_FIRST: Final = frozenset({"category", "currency", *PRICES})


@dataclass(frozen=True)
class VariantRow:
    """A checked row of a product with variants."""

    place: int  # number of the row in the catalogue
    item_id: str
    group: str
    known: Mapping[str, Any]  # fields of the item
    own: Mapping[str, object]  # other columns, by the database's names


class Variants:
    """Variants in a catalogue.

    Args:
        database: of temporary tables.
        mode: which rows are one item.
        candidates: database's names of the columns that may tell variants apart.
    """

    def __init__(self, database: sqlite3.Connection, mode: VariantsMode, candidates: Sequence[str]) -> None:
        self.merged = 0  # rows that belong to an earlier item
        self.joined: set[str] = set()  # number columns whose values differ in a merged item, so that they are texts
        self._database = database
        self._mode = mode
        self._candidates = candidates
        self._values: dict[str, dict[str, None]] = {name: {} for name in candidates}
        self._differing: Counter[str] = Counter()  # column -> products whose items differ in it
        self._several = 0  # products with several items
        for table in (
            "sets (key BLOB PRIMARY KEY, place INTEGER, told TEXT) WITHOUT ROWID",
            "products (group_id TEXT PRIMARY KEY, told TEXT, differing TEXT) WITHOUT ROWID",
            "later (place INTEGER PRIMARY KEY, first INTEGER, item_id TEXT, row TEXT)",
            "embedded (address TEXT PRIMARY KEY, data BLOB) WITHOUT ROWID",
        ):
            database.execute(f"CREATE TABLE {table}")
        database.execute("CREATE INDEX later_by_first ON later (first)")

    # ---- first pass

    def add(self, row: VariantRow) -> bool:
        """Add a row; returns whether it belongs to the item of an earlier row."""
        told = self._told(row.own)
        if self._mode != "variant":
            key = self._key(row)
            found = self._database.execute("SELECT place, told FROM sets WHERE key = ?", (key,)).fetchone()
            if found is not None:
                self._merge(row, found[0], json.loads(found[1]), told)
                return True
            self._database.execute("INSERT INTO sets VALUES (?, ?, ?)", (key, row.place, json.dumps(told)))
        self._compare(row.group, told)
        return False

    def keep_medium(self, address: str, data: bytes) -> None:
        """Keep the bytes of a medium of a row; merged items of mode "product" have media of several rows."""
        if self._mode == "product":
            self._database.execute("INSERT OR IGNORE INTO embedded VALUES (?, ?)", (address, data))

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns that tell the items of products apart, with their values; at most `MAX_VALUES` in all."""
        chosen = {
            name for name, products in self._differing.items() if is_variant_name(name) or 2 * products >= self._several
        }
        return limit_values({name: tuple(self._values[name]) for name in self._candidates if name in chosen})

    def merged_ids(self) -> Iterator[list[str]]:
        """Yield the ids of rows that belong to an earlier item, at most 1,000 at a time."""
        found = self._database.execute("SELECT item_id FROM later ORDER BY place")
        while part := found.fetchmany(1_000):
            yield [row[0] for row in part]

    # ---- second pass

    def is_merged(self, place: int) -> bool:
        """Whether a row belongs to the item of an earlier row."""
        return bool(self.merged) and self._one("SELECT 1 FROM later WHERE place = ?", place) is not None

    def complete(
        self,
        item: CatalogItem,
        place: int,
        convert: Callable[[str, object], ColumnValue],
        store_medium: Callable[[bytes], str],
    ) -> CatalogItem:
        """Add the rows that belong to an item.

        Args:
            convert: converts a value to the kind of a column of this name.
            store_medium: stores a medium whose bytes were in a row.

        The item keeps the id, title, text and numbers of its first variant. A text column that differs has all values,
        joined by commas. The prices are those of the cheapest variant.
        """
        if not self.merged:
            return item
        query = "SELECT item_id, row FROM later WHERE first = ? ORDER BY place"
        later = [(item_id, json.loads(row)) for item_id, row in self._database.execute(query, (place,))]
        if not later:
            return item
        rows = [item.columns] + [
            {name: convert(name, _decode(value)) for name, value in row["own"].items() if value is not None}
            for _, row in later
        ]
        columns = {
            name: _joined(name, [row.get(name) for row in rows]) for name in dict.fromkeys(n for r in rows for n in r)
        }
        columns.update(_cheapest(rows))
        columns[VARIANT_IDS_COLUMN] = json.dumps([item.item_id, *(item_id for item_id, _ in later)], ensure_ascii=False)
        media: dict[str, tuple[str, ...]] = {}
        for name in MEDIA:
            added = (self._stored(uri, store_medium) for _, row in later for uri in row.get(name, ()))
            media[name] = tuple(dict.fromkeys([*getattr(item, name), *added]))
        values = {name: getattr(item, name) for name in item.__dataclass_fields__}
        return CatalogItem(**(values | media | {"columns": columns}))

    # ---- parts

    def _one(self, query: str, *values: object) -> Any:
        return self._database.execute(query, values).fetchone()

    def _key(self, row: VariantRow) -> bytes:
        """Equal for rows of one item: the product and, with mode "picture", its media, main picture first."""
        images, videos = row.known["images"], row.known["videos"]
        if self._mode == "product":
            content: list[object] = []
        elif images or videos:
            content = [images[:1], sorted(set(images)), sorted(set(videos))]
        else:
            content = [row.known["title"], row.known["text"]]
        text = json.dumps([row.group, row.known["kind"], content], ensure_ascii=False)
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def _told(self, own: Mapping[str, object]) -> dict[str, str]:
        names = [name for name in own if name in self._values or is_joined_name(name)]
        return {name: text for name in names if (text := _short_text(own[name]))}

    def _merge(self, row: VariantRow, first: int, told_first: Mapping[str, str], told: Mapping[str, str]) -> None:
        self.merged += 1
        self.joined.update(
            name
            for name in told.keys() & told_first.keys()
            if told[name] != told_first[name] and (is_variant_name(name) or is_joined_name(name))
        )
        values: dict[str, object] = {"own": {name: _encode(value) for name, value in row.own.items()}}
        if self._mode == "product":
            values |= {name: row.known[name] for name in MEDIA}
        text = json.dumps(values, ensure_ascii=False)
        self._database.execute("INSERT INTO later VALUES (?, ?, ?, ?)", (row.place, first, row.item_id, text))

    def _compare(self, group: str, told: Mapping[str, str]) -> None:
        """Compare an item with the first item of its product; each product counts once per column."""
        shown = {name: told[name] for name in told if name in self._values}
        for name, text in shown.items():
            if len(self._values[name]) < MAX_VALUES:
                self._values[name][text] = None
        found = self._one("SELECT told, differing FROM products WHERE group_id = ?", group)
        if found is None:
            self._database.execute("INSERT INTO products VALUES (?, ?, NULL)", (group, json.dumps(shown)))
            return
        first, before = json.loads(found[0]), json.loads(found[1] or "[]")
        self._several += found[1] is None
        new = [name for name, text in shown.items() if name in first and first[name] != text and name not in before]
        self._differing.update(new)
        if new or found[1] is None:
            change = "UPDATE products SET differing = ? WHERE group_id = ?"
            self._database.execute(change, (json.dumps([*before, *new]), group))

    def _stored(self, uri: str, store_medium: Callable[[bytes], str]) -> str:
        if not uri.startswith("embedded://"):
            return uri
        found = self._one("SELECT data FROM embedded WHERE address = ?", uri)
        return uri if found is None else store_medium(found[0])


def _joined(name: str, values: Sequence[Any]) -> Any:
    filled = [value for value in values if value is not None]
    if name in _KEPT_FROM_FIRST or not all(isinstance(value, str) for value in filled):
        return filled[0] if filled else None
    return ", ".join(dict.fromkeys(filled)) or None


def _cheapest(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The prices and currency of the variant with the lowest price, so that they belong together."""
    priced = [row for row in rows if isinstance(row.get("price"), float)]
    if not priced:
        return {}
    lowest = min(priced, key=lambda row: float(row["price"]))
    return {name: lowest[name] for name in (*PRICES, "currency") if lowest.get(name) is not None}


def _short_text(value: object) -> str:
    if value is None or value != value or isinstance(value, list | tuple | dict | bytes):
        return ""
    text = as_text(value).strip()
    return text if len(text) <= MAX_CHARACTERS else ""


def _encode(value: object) -> object:
    """Convert a value of a catalogue to JSON, with the kind that it has."""
    if isinstance(value, date):
        return {"time": as_utc(value).isoformat()}
    if isinstance(value, Decimal | list | tuple | dict):
        return as_text(value)
    if value is None or value != value or isinstance(value, bool | int | float | str):
        return None if value != value else value
    return as_text(value)


def _decode(value: object) -> object:
    return datetime.fromisoformat(value["time"]) if isinstance(value, dict) else value
