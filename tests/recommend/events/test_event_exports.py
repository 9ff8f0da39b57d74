"""Exports whose rows are not single events: GA4, and orders of Shopify and WooCommerce."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firstsight.errors import CatalogError
from firstsight.indexer.formats.source import BadRow, Row
from firstsight.recommend.events.event_log import Events
from firstsight.recommend.events.event_reports import AddedEvents
from firstsight.recommend.events.row_expansion import RowExpansion
from tests.recommend.conftest import MakeStore
from tests.recommend.synthetic_events import clustered_space

SPACE = clustered_space(12)
SECOND = 1_777_636_801  # 2026-05-01 12:00:01 UTC

GA4: list[dict[str, object]] = [
    {"event_name": "session_start", "user_id": None, "user_pseudo_id": "1.2", "items": []},
    {
        "event_name": "view_item",
        "user_id": None,
        "user_pseudo_id": "1.2",
        "items": [{"item_id": "i0001", "price": 9.5}],
    },
    {
        "event_name": "purchase",
        "user_id": "ann",
        "user_pseudo_id": "3.4",
        "items": [{"item_id": "i0001", "quantity": 2}, {"item_id": "i0002", "quantity": 1}, {"item_id": "(not set)"}],
    },
]

SHOPIFY_CSV = """\
Name,Email,Financial Status,Paid at,Created at,Lineitem quantity,Lineitem name,Lineitem sku,Cancelled at,Device ID
#1001,ann@example.com,paid,2026-05-01 08:00:09 -0400,2026-05-01 08:00:01 -0400,1,Mug,i0001,,7
#1001,,,,,2,Cup,i0002,,
#1002,bob@example.com,voided,,2026-05-02 12:00:00 -0400,1,Mug,i0001,2026-05-03 12:00:00 -0400,7
#1002,,,,,1,Cup,i0002,,
#1003,bob@example.com,paid,2026-05-02 12:00:00 -0400,2026-05-02 12:00:00 -0400,1,Tee,i0003,,7
#1003,,,,,1,Gift card,,,
"""


@pytest.fixture
def log(make_store: MakeStore) -> Events:
    return Events(make_store(SPACE))


def lines(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def taken(added: AddedEvents) -> dict[str, tuple[str, ...]]:
    assert added.columns is not None
    return dict(added.columns.taken)


def stored(log: Events, user: str) -> list[tuple[str, int]]:
    """Items of a user's history, with their times in seconds since 1970."""
    history = log.history(user, SPACE)
    return sorted(zip(SPACE.item_ids[history.items].tolist(), (history.times // 1_000_000).tolist(), strict=True))


def expand(*rows: Row | BadRow) -> list[Row | BadRow]:
    return [row for _, row in RowExpansion().rows(enumerate(rows))]


@pytest.mark.parametrize("form", ["jsonl", "parquet", "cells.csv"])
def test_a_ga4_export_gives_one_event_for_each_item(log: Events, tmp_path: Path, form: str) -> None:
    rows: list[dict[str, object]] = [
        {**row, "event_date": "20260501", "event_timestamp": (SECOND + n) * 1_000_000, "device": {"category": "mobile"}}
        for n, row in enumerate(GA4)
    ]
    source = tmp_path / f"ga4.{form}"
    if form == "jsonl":  # BigQuery writes whole numbers as text
        lines(source, [{**row, "event_timestamp": str(row["event_timestamp"])} for row in rows])
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), source)
    else:
        cells = [[json.dumps(v) if isinstance(v, list | dict) else v for v in row.values()] for row in rows]
        text = "\n".join(
            ",".join('"' + str("" if cell is None else cell).replace('"', '""') + '"' for cell in row) for row in cells
        )
        source.write_text(",".join(rows[0]) + "\n" + text + "\n", encoding="utf-8")
    added = log.add(str(source))
    assert (added.format, added.time_unit, added.added, added.refused) == ("GA4 export", "us", 3, 0)
    assert added.left_out == {"rows without an item": 2}
    assert taken(added)["user_id"] == ("user_pseudo_id",)
    assert log.status().types == {"view_item": 1, "purchase": 2}
    assert stored(log, "3.4") == [("i0001", SECOND + 2), ("i0002", SECOND + 2)]


def test_a_flat_ga4_table_leaves_out_events_without_an_item(log: Events, tmp_path: Path) -> None:
    source = tmp_path / "ga4.csv"
    source.write_text(
        "event_date,event_name,user_pseudo_id,items.item_id\n20260501,view_item,1.2,i0001\n20260501,page_view,1.2,\n"
    )
    added = log.add(str(source))
    assert (added.time_unit, added.added, added.refused) == ("iso", 1, 0)
    assert added.left_out == {"rows without an item": 1}


def test_rows_of_a_shopify_order_inherit_customer_and_date(log: Events, tmp_path: Path) -> None:
    source = tmp_path / "orders_export.csv"
    source.write_text(SHOPIFY_CSV, encoding="utf-8")
    added = log.add(str(source))
    assert (added.format, added.rows, added.added, added.refused) == ("Shopify orders", 4, 3, 1)
    assert "line 7: the event has no item_id" in added.refusals[0]
    assert added.left_out == {"rows of cancelled orders": 2}
    assert taken(added)["user_id"] == ("Email",)
    assert taken(added)["timestamp"] == ("Created at",)
    assert stored(log, "ann@example.com") == [("i0001", SECOND), ("i0002", SECOND)]
    assert [item for item, _ in stored(log, "bob@example.com")] == ["i0003"]
    assert log.status().types == {"purchase": 3}


def test_rows_of_an_order_whose_first_row_is_broken_inherit_from_no_other_order() -> None:
    first = {"Name": "#1", "Email": "ann@example.com", "Created at": "2026-05-01", "Lineitem sku": "i0001"}
    second = {"Name": "#2", "Email": None, "Created at": None, "Lineitem sku": "i0002"}
    events = expand(first, BadRow("3 cells"), second, {**second, "Lineitem sku": "i0003"})
    assert isinstance(events[1], BadRow)
    assert [row["Email"] for row in events if not isinstance(row, BadRow)] == ["ann@example.com", None, None]


@pytest.mark.parametrize("form", ["list", "graphql"])
def test_shopify_orders_give_an_event_for_each_line(log: Events, tmp_path: Path, form: str) -> None:
    items: list[dict[str, object]] = [
        {"id": 9, "sku": "i0001", "product_id": 100, "variant_id": 200, "quantity": 3, "name": "Mug"},
        {"id": 10, "sku": "i0002", "product_id": 101, "variant_id": 201, "quantity": 1, "properties": []},
    ]
    order: dict[str, object] = {
        "id": 1,
        "order_status_url": "https://shop.example/1",
        "created_at": "2026-05-01T08:00:01-04:00",
        "cancelled_at": None,
        "user_id": 77,  # who took the order in the shop
        "customer": {"id": 5001, "email": "ann@example.com"},
        "line_items": items if form == "list" else {"edges": [{"node": item} for item in items]},
    }
    cancelled = {**order, "id": 2, "cancelled_at": "2026-05-01T09:00:00-04:00"}
    added = log.add(lines(tmp_path / "orders.jsonl", [order, cancelled]))
    assert (added.format, added.added) == ("Shopify orders", 2)
    assert added.left_out == {"rows of cancelled orders": 1}
    assert taken(added)["item_id"] == ("sku",)
    assert stored(log, "5001") == [("i0001", SECOND), ("i0002", SECOND)]
    assert log.history("5001", SPACE).weights.tolist() == [2, 2]  # two purchases


def test_woocommerce_orders_know_guests_and_variations(log: Events, tmp_path: Path) -> None:
    def order(
        number: int, customer: int, email: str, product: str, variation: object, status: str
    ) -> dict[str, object]:
        return {
            "id": number,
            "status": status,
            "date_created": "2026-05-01T14:00:01",
            "date_created_gmt": "2026-05-01T12:00:01",
            "customer_id": customer,
            "billing": {"email": email, "first_name": "A"},
            "line_items": [{"id": 4, "product_id": product, "variation_id": variation, "sku": "", "quantity": 1}],
        }

    orders = [
        order(1, 0, "guest@example.com", "i0001", 0, "completed"),
        order(2, 3, "ann@example.com", "i0004", "i0002", "processing"),
        order(3, 3, "ann@example.com", "i0003", 0, "cancelled"),
    ]
    added = log.add(lines(tmp_path / "orders.jsonl", orders))
    assert (added.format, added.added) == ("WooCommerce orders", 2)
    assert taken(added)["user_id"] == ("billing_email",)
    assert taken(added)["timestamp"] == ("date_created_gmt",)
    assert stored(log, "guest@example.com") == [("i0001", SECOND)]


def test_woocommerce_cells_with_the_fields_of_a_line_are_read(log: Events, tmp_path: Path) -> None:
    source = tmp_path / "orders.csv"
    source.write_text(
        "order_id,order_date,status,customer_email,line_item_1,line_item_2\n"
        "1,2026-05-01 12:00:01,completed,ann@example.com,name:Mug|product_id:7|sku:i0001|quantity:1,"
        "name:Cup: blue|product_id:8|sku:i0002|quantity:2\n"
        "2,2026-05-01 12:00:01,failed,ann@example.com,name:Mug|product_id:7|sku:i0001|quantity:1,\n"
        "3,2026-05-01 12:00:02,completed,bob@example.com,name:Mug|product_id:7|sku:i0001|quantity:1,\n"
    )
    added = log.add(str(source))
    assert (added.format, added.added, added.refused) == ("WooCommerce orders", 3, 0)
    assert stored(log, "ann@example.com") == [("i0001", SECOND), ("i0002", SECOND)]
    assert stored(log, "bob@example.com") == [("i0001", SECOND + 1)]


def test_events_with_properties_and_lists_of_products_are_read(log: Events, tmp_path: Path) -> None:
    at = {"anonymousId": "a1", "timestamp": "2026-05-01T12:00:01.000Z"}
    rows: list[dict[str, object]] = [
        {**at, "event": "Product Viewed", "properties": {"product_id": "i0001", "name": "Mug"}},
        {**at, "event": "Order Completed", "properties": {"products": [{"id": "i0002"}, {"product_id": "i0003"}]}},
        {**at, "event": "Cart Viewed", "properties": {"products": ["i0004"]}},
        {**at, "event": "Signed Up", "properties": {"products": []}},
    ]
    added = log.add(lines(tmp_path / "events.jsonl", rows))
    assert (added.added, added.refused) == (4, 0)
    assert added.left_out == {"rows without an item": 1}
    assert [item for item, _ in stored(log, "a1")] == ["i0001", "i0002", "i0003", "i0004"]


def test_an_export_without_events_on_items_says_so(log: Events, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no events on items: 2 rows without an item"):
        log.add(lines(tmp_path / "ga4.jsonl", [GA4[0], GA4[0]]))


def test_a_plain_log_is_left_as_it_is() -> None:
    rows: list[Row] = [
        {"user_id": "ann", "item": "i0001", "date": "2026-05-01", "customer": "x", "items": 3},
        {"user_id": "ann", "item": "i0001", "date": "2026-05-01", "customer": "x", "items": ""},
    ]
    assert expand(*rows) == rows
