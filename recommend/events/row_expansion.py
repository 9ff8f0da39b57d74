"""Rows of exports whose rows are not single events: orders with several items, and GA4's events with a list of items.

Only the structure changes here: every result is one event on one item, under the names that the export uses.
`event_columns` then decides what each name means, as for any other log.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from firstsight.indexer.columns.column_names import plain_name
from firstsight.indexer.formats.source import BadRow, Row
from firstsight.recommend.events.column_names import ORDER_NUMBERS, role_of

WITHOUT_ITEM = "rows without an item"
CANCELLED = "rows of cancelled orders"

PURCHASE = "purchase"
"""Type of an event from an order export, which has no types."""

_ORDER_LISTS = ("line_items", "lineitems", "order_items")
_LISTS = (*_ORDER_LISTS, "items", "products", "order_lines", "cart_items")
_WRAPPERS = ("properties", "payload", "data", "attributes", "ecommerce")
_OWNERS = (
    *("customer", "user", "buyer", "shopper", "visitor", "client", "member", "billing", "contact"),
    *("item", "product", "variant"),
)
_CELL_LIST = re.compile(r"(?:line_item|lineitem|product_item)_\d+")
_CELL_FIELD = re.compile(r"\s*[A-Za-z_ ]+:")
_CANCELLED_STATES = ("cancelled", "canceled", "wc_cancelled", "failed", "wc_failed", "trash", "voided")
_STATES = ("order_status", "status", "financial_status")
_EMPTY = ("", "(not set)")
_KNOWN_SHAPES = 1_000  # a log of objects can have a new set of names in each row


@dataclass(frozen=True)
class _Shape:
    """Structure of a row, as its names tell it."""

    format: str | None
    nested: tuple[str, ...]  # objects to flatten
    lists: tuple[str, ...]  # lists of items
    order: str | None  # the order number, which tells rows of one order
    inherited: tuple[str, ...]  # cells that only the first row of an order may have
    cancelled: tuple[str, ...]
    users: tuple[str, ...]
    items: tuple[str, ...]
    queries: tuple[str, ...]  # texts of searches
    has_event: bool
    is_orders: bool
    is_ga4: bool
    staff: tuple[str, ...]  # of the shop, not its customers

    @property
    def is_plain(self) -> bool:
        return not (self.lists or self.order or self.is_orders or self.is_ga4)


class RowExpansion:
    """Makes single events of the rows of one file, in one pass.

    Attributes:
        format: for messages, such as "Shopify orders"; None for a plain log.
        left_out: number of rows that are no events on items, by reason.
        adds_type: whether orders got the type `PURCHASE`.
    """

    def __init__(self) -> None:
        self.format: str | None = None
        self.left_out: Counter[str] = Counter()
        self.adds_type = False
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._order: object = None
        self._first: dict[str, object] = {}

    def rows(self, numbered: Iterable[tuple[int, Row | BadRow]]) -> Iterator[tuple[int, Row | BadRow]]:
        """Yield the rows of a source, one for each event, with the numbers of their source rows."""
        for number, row in numbered:
            if isinstance(row, BadRow):
                yield number, row
            else:
                for event in self._events(row):
                    yield number, event

    def _events(self, row: Row) -> Iterator[Row]:
        shape = self._shape(row)
        if any(isinstance(row[name], Mapping) for name in shape.nested):
            row = _flatten(row, shape.nested)
            shape = self._shape(row)
        if shape.is_ga4:
            row = _with_search_term(row)
            shape = self._shape(row)
        if shape.is_plain:
            yield row
            return
        if shape.staff:
            row = {name: value for name, value in row.items() if name not in shape.staff}
        self.format = self.format or shape.format
        if shape.order is not None:
            row = self._inherit(row, shape)
        if shape.is_orders and any(_is_cancelled(name, row[name]) for name in shape.cancelled):
            self.left_out[CANCELLED] += 1
            return
        lists = {name: entries for name in shape.lists if (entries := _entries(row[name])) is not None}
        if not lists:
            yield from self._single(row, shape)
            return
        without = {*lists, *(name for name in shape.lists if not _filled(row[name]))}
        shared = {name: value for name, value in row.items() if name not in without and _is_scalar(value)}
        entries = [entry for listed in lists.values() for entry in listed]
        if not entries and any(_filled(shared.get(name)) for name in (*shape.items, *shape.queries)):
            yield from self._single(shared, self._shape(shared), is_orders=shape.is_orders, is_ga4=shape.is_ga4)
        elif not entries:
            self.left_out[WITHOUT_ITEM] += 1
        for entry in entries:
            merged = _merge(shared, entry)
            merged_shape = self._shape(merged)
            yield from self._single(merged, merged_shape, is_orders=shape.is_orders, is_ga4=shape.is_ga4, in_list=True)

    def _single(
        self, row: Row, shape: _Shape, *, is_orders: bool = False, is_ga4: bool = False, in_list: bool = False
    ) -> Iterator[Row]:
        """Complete one event of an export."""
        orders, ga4 = is_orders or shape.is_orders, is_ga4 or shape.is_ga4
        if not (orders or ga4 or in_list):
            if shape.lists and not any(_filled(row[name]) for name in (*shape.items, *shape.queries, *shape.lists)):
                self.left_out[WITHOUT_ITEM] += 1
                return
            yield row
            return
        event = dict(row)
        for name in (*shape.users, *shape.items):
            if not _filled(event[name]) or (orders and str(event[name]) == "0"):  # 0: a guest, or no variation
                event[name] = None
        if ga4 and not any(_filled(event[name]) for name in (*shape.items, *shape.queries)):
            self.left_out[WITHOUT_ITEM] += 1
            return
        if orders and not shape.has_event:
            event["event"] = PURCHASE
            self.adds_type = True
        yield event

    def _inherit(self, row: Row, shape: _Shape) -> Row:
        """Fill cells that only the first row of an order has."""
        order = row[shape.order] if shape.order else None
        if not _filled(order):
            self._order = None
            return row
        if order != self._order:
            self._order, self._first = order, {name: row[name] for name in shape.inherited}
            return row
        return {
            name: self._first.get(name) if name in shape.inherited and not _filled(value) else value
            for name, value in row.items()
        }

    def _shape(self, row: Row) -> _Shape:
        names = tuple(row)
        shape = self._shapes.get(names)
        if shape is None:
            shape = _shape_of(names)
            if len(self._shapes) < _KNOWN_SHAPES:
                self._shapes[names] = shape
        return shape


def _shape_of(names: tuple[str, ...]) -> _Shape:
    plain = {name: plain_name(name) for name in names}
    known = set(plain.values())
    has_lines = any(name.startswith("lineitem_") for name in known)
    cells = [name for name in names if _CELL_LIST.fullmatch(plain[name])]
    is_ga4 = {"event_name", "user_pseudo_id"} <= known
    order = next((name for wanted in ORDER_NUMBERS for name in names if plain[name] == wanted), None)
    if has_lines:
        order = next((name for name in names if plain[name] == "name"), order)
    order_lists = known & set(_ORDER_LISTS)
    is_orders = has_lines or bool(cells) or bool(order_lists) or ("order_status" in known and order is not None)
    shop = _shop_of(known, has_lines, bool(cells)) if is_orders else None
    staff = [name for name in names if shop == "Shopify orders" and plain[name] in {"user_id", "device_id"}]
    roles = {name: None if name in staff else role_of(name) for name in names}
    states = tuple(name for name in names if plain[name] in {"cancelled_at", "canceled_at", *_STATES})
    return _Shape(
        format="GA4 export" if is_ga4 else shop,
        nested=tuple(name for name in names if plain[name] in {*_WRAPPERS, *_OWNERS}),
        lists=tuple(name for name in names if plain[name] in _LISTS or name in cells),
        order=order,
        inherited=tuple(name for name in names if roles[name] in {"user_id", "timestamp"} or name in states),
        cancelled=states,
        users=tuple(name for name in names if roles[name] == "user_id"),
        items=tuple(name for name in names if roles[name] == "item_id"),
        queries=tuple(name for name in names if roles[name] == "query"),
        has_event=any(roles[name] == "event" and plain[name] != "type" for name in names),
        is_orders=is_orders,
        is_ga4=is_ga4,
        staff=tuple(staff),
    )


def _shop_of(names: set[str], has_lines: bool, has_cells: bool) -> str:
    if has_lines or names & {"admin_graphql_api_id", "order_status_url", "financial_status", "displayfinancialstatus"}:
        return "Shopify orders"
    if has_cells or names & {"date_created", "date_created_gmt", "customer_user", "customer_note", "order_key"}:
        return "WooCommerce orders"
    return "orders"


def _with_search_term(row: Row) -> Row:
    """Lift GA4's search term from the list of the event's parameters to the row."""
    parameters = row.get("event_params")
    for entry in parameters if isinstance(parameters, list | tuple) else ():
        if isinstance(entry, Mapping) and entry.get("key") == "search_term" and isinstance(entry.get("value"), Mapping):
            return {**row, "search_term": entry["value"].get("string_value")}
    return row


def _flatten(row: Row, nested: Iterable[str]) -> Row:
    """Lift the fields of objects such as `customer` and `properties` to the row: `customer_id`."""
    flat = {name: value for name, value in row.items() if not (name in nested and isinstance(value, Mapping))}
    for name in nested:
        value = row[name]
        if not isinstance(value, Mapping):
            continue
        for key, inner in value.items():
            if plain_name(name) in _WRAPPERS:
                flat.setdefault(str(key), inner)
            elif _is_scalar(inner):
                flat.setdefault(f"{name}_{key}", inner)
    return flat


def _merge(shared: Row, entry: object) -> dict[str, object]:
    """One event of an order: its own cells, and those of one item."""
    merged = dict(shared)
    if not isinstance(entry, Mapping):
        merged["item_id"] = entry
        return merged
    item = {str(name): value for name, value in entry.items()}
    item = dict(_flatten(item, [name for name in item if plain_name(name) in _OWNERS]))
    own_name = any(role_of(name) == "item_id" and _filled(value) for name, value in item.items())
    given = {role_of(name) for name, value in shared.items() if _filled(value)}
    for name, value in item.items():
        role = role_of(name)
        if not _is_scalar(value) or (role in {"user_id", "timestamp", "event"} and role in given):
            continue
        if plain_name(name) == "id":  # in orders it is the number of the line
            name = "line_id" if own_name else "item_id"
        merged[name] = value
    return merged


def _entries(value: object) -> list[object] | None:
    """The items of a list, in any of its forms; None if the value is no list."""
    if isinstance(value, Mapping):  # GraphQL, and BigQuery's Parquet files
        inner = next((value[key] for key in ("edges", "nodes", "list") if key in value), None)
        if not isinstance(inner, list):
            return None
        value = inner
    if isinstance(value, list | tuple):
        return [_unwrapped(entry) for entry in value if entry is not None]
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text.startswith("["):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return [entry for entry in parsed if entry is not None] if isinstance(parsed, list) else None
    if "|" in text and _CELL_FIELD.match(text):  # name:Mug|product_id:7|sku:mug-7;name:…
        return [_fields(part) for part in re.split(r";(?=\s*[A-Za-z_ ]+:)", text)]
    return None


def _fields(text: str) -> dict[str, object]:
    pairs = (part.partition(":") for part in text.split("|"))
    return {name.strip(): value.strip() or None for name, colon, value in pairs if colon and name.strip()}


def _unwrapped(entry: object) -> object:
    if isinstance(entry, Mapping) and len(entry) <= 2:
        for key in ("node", "element", "item"):
            if isinstance(entry.get(key), Mapping):
                return entry[key]
    return entry


def _is_cancelled(name: str, value: object) -> bool:
    if not _filled(value):
        return False
    return plain_name(name) not in _STATES or plain_name(str(value)) in _CANCELLED_STATES


def _filled(value: object) -> bool:
    return value is not None and value == value and not (isinstance(value, str) and value.strip() in _EMPTY)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | Decimal | date)
