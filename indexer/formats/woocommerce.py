"""WooCommerce's product export as CSV or XLSX: variations take the missing fields of their parents."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from firstsight.indexer.formats.parsing.shop_fields import (
    cell_text,
    count_notes,
    option_column,
    plain_header,
    price_text,
)
from firstsight.indexer.formats.source import BadRow, Row, ShopExport

_MARKS: Final = frozenset(
    {"regular price", "visibility in catalog", "is featured?", "short description", "attribute 1 name", "parent"}
)
_TEXTS: Final = ("description", "short description")
_COLUMNS: Final = {
    "tags": "tags",
    "stock": "stock",
    "in stock?": "in_stock",
    "brands": "brand",
    "gtin, upc, ean, or isbn": "gtin",
    "external url": "link",
}
"""Plain columns, with the names that they get."""

_INHERITED: Final = ("name", "categories", "tags", "images", "brands", "external url")
_ATTRIBUTE: Final = re.compile(r"attribute (\d+) name")
_COMMA: Final = re.compile(r"(?<!\\),")
_ESCAPED: Final = re.compile(r"'(?=[=+\-@\t\r])")

Cells = dict[str, str]


class WooCommerceSource(ShopExport):
    """Rows of a product export. A variable product with variations in the file is no item of its own."""

    kind = "WooCommerce product export"

    @staticmethod
    def recognises(row: Row) -> bool:
        """Whether a table with the columns of this row is a product export, with English column names."""
        names = {plain_header(name) for name in row}
        return {"type", "sku", "name"} <= names and len(names & _MARKS) >= 2

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        self.notes.clear()
        left_out: Counter[str] = Counter()
        without_parent = 0
        with closing(_Parents()) as parents:
            for _, row in self.table.rows():
                if not isinstance(row, BadRow):
                    parents.see(_cells(row))
            for number, row in self.table.rows():
                if isinstance(row, BadRow):
                    yield number, row
                    continue
                cells = _cells(row)
                parent = parents.of(cells) if _type(cells) == "variation" else None
                if _type(cells) == "variable" and parents.has_variations(cells):
                    continue
                if reason := _hidden(cells) or (parent and _hidden(parent)):
                    left_out[reason] += 1
                    continue
                if _type(cells) == "variation" and parent is None:
                    without_parent += 1
                yield number, _item(cells, parent)
        if without_parent:
            self.notes.append(f"{without_parent:,} variations have no parent in this file; they keep their own fields")
        self.notes.extend([*self.table.notes, *count_notes(left_out)])


class _Parents:
    """Variable products by SKU and id, in a temporary database: variations can come long before or after them."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("", isolation_level=None, check_same_thread=False)  # "": in a temporary file
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute("CREATE TABLE parents (key TEXT PRIMARY KEY, cells TEXT) WITHOUT ROWID")
        self._rows.execute("CREATE TABLE used (key TEXT PRIMARY KEY) WITHOUT ROWID")

    def close(self) -> None:
        self._rows.close()

    def see(self, cells: Cells) -> None:
        if _type(cells) == "variation":
            self._rows.execute("INSERT OR IGNORE INTO used VALUES (?)", (_parent_key(cells),))
        elif _type(cells).startswith("variable"):
            text = json.dumps(cells)
            self._rows.executemany("INSERT OR IGNORE INTO parents VALUES (?, ?)", [(key, text) for key in _keys(cells)])

    def of(self, cells: Cells) -> Cells | None:
        found = self._rows.execute("SELECT cells FROM parents WHERE key = ?", (_parent_key(cells),)).fetchone()
        parent: Cells | None = json.loads(found[0]) if found else None
        return parent

    def has_variations(self, cells: Cells) -> bool:
        return any(self._rows.execute("SELECT 1 FROM used WHERE key = ?", (key,)).fetchone() for key in _keys(cells))


def _keys(cells: Cells) -> list[str]:
    """The texts by which a variation can name a product."""
    keys = [f"id:{cells['id']}"] if cells.get("id") else []
    return [*keys, cells["sku"].lower()] if cells.get("sku") else keys


def _parent_key(cells: Cells) -> str:
    return re.sub(r"\s", "", parent) if (parent := cells.get("parent", "").lower()).startswith("id:") else parent


def _cells(row: Row) -> Cells:
    """The filled cells by lower-case name, without the escapes that the export adds."""
    cells: Cells = {}
    for name, value in row.items():
        header = plain_header(name)
        if (text := cell_text(value)) is not None and not header.startswith("meta:"):
            text = _ESCAPED.sub("", text, count=1) if text.startswith("'") else text
            cells[header] = text.replace("\\n", "\n") if header in _TEXTS else text
    return cells


def _type(cells: Cells) -> str:
    """The type without additions, as in `variation, virtual`."""
    return cells.get("type", "simple").lower().partition(",")[0].strip()


def _hidden(cells: Cells) -> str | None:
    if cells.get("published", "1").lower() in {"0", "-1", "false", "no"}:
        return "products that are not published"
    if cells.get("visibility in catalog", "visible").lower() == "hidden":
        return "products that are hidden in the shop's catalogue"
    return None


def _item(cells: Cells, parent: Cells | None) -> Row:
    whole = dict(cells)
    for name in _INHERITED if parent else ():
        if parent and name in parent:
            whole.setdefault(name, parent[name])
    if not set(_TEXTS) & set(cells) and parent:
        whole.update({name: parent[name] for name in _TEXTS if name in parent})
    row: dict[str, object] = {
        "item_id": cells.get("sku") or cells.get("id"),
        "title": whole.get("name"),
        "text": whole.get("description") or whole.get("short description"),
        "images": _listed(whole.get("images")),
        "price": price_text(cells.get("regular price")),
        "sale_price": price_text(cells.get("sale price")),
        "category": next(iter(_listed(whole.get("categories"))), None),
    }
    if parent is not None or (_type(cells) == "variation" and cells.get("parent")):
        row["group_id"] = (parent or {}).get("sku") or (parent or {}).get("id") or cells.get("parent")
        row["parent"] = cells.get("parent")
    row |= {ours: whole.get(theirs) for theirs, ours in _COLUMNS.items()}
    for name, value in {**_attributes(parent or {}), **_attributes(cells)}.items():
        row[option_column(name, row)] = value
    return row


def _attributes(cells: Cells) -> dict[str, str]:
    """Attributes by lower-case name; a list of values is text with commas."""
    attributes: dict[str, str] = {}
    for header in cells:
        number = _ATTRIBUTE.fullmatch(header)
        value = cells.get(f"attribute {number[1]} value(s)") if number else None
        if value:
            attributes[cells[header].lower()] = value.replace("\\,", ",")
    return attributes


def _listed(text: str | None) -> list[str]:
    """The parts of a cell; a comma within a part has a backslash before it."""
    parts = (part.strip().replace("\\,", ",") for part in _COMMA.split(text or ""))
    return [part for part in parts if part]
