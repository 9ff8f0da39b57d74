"""Which column of a log is taken for what: by names, by values, and as the user says."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.errors import CatalogError
from firstsight.indexer.columns.mapping_text import parse_column_pairs
from firstsight.recommend.events.event_columns import parse_event_mapping
from firstsight.recommend.events.event_log import Events
from firstsight.recommend.events.event_reader import EventOptions
from firstsight.recommend.events.event_rows import hash_user_id
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.slates.interests.interests import InterestSettings, lasting_interests
from firstsight.storage.quoted_names import quote_name
from tests.recommend.conftest import MakeStore
from tests.recommend.synthetic_events import clustered_space

SPACE = clustered_space(12)
DAY = "2026-05-01"


@pytest.fixture
def log(make_store: MakeStore) -> Events:
    return Events(make_store(SPACE))


def table(path: Path, head: str, rows: Sequence[Sequence[object]]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([next(csv.reader([head])), *rows])
    return str(path)


@pytest.mark.parametrize(
    "head",
    [
        "user_id,item_id,timestamp",
        "customer_id,sku,created_at",
        "Customer ID,SKU,Order Date",
        "customerId,productId,eventTime",
        "visitor_id,variant_id,date",
        "customer email,Lineitem sku,Created at",
        "reviewerID,asin,unixReviewTime",
        "CustomerID,StockCode,InvoiceDate",
        "session_id,item,time",
        "client_id,product.id,event_timestamp",
    ],
)
def test_columns_are_recognised_by_what_shops_call_them(log: Events, tmp_path: Path, head: str) -> None:
    added = log.add(table(tmp_path / "log.csv", head, [("ann", "i0001", DAY), ("bob", "i0002", DAY)]))
    assert added.columns is not None
    assert [added.columns.taken[ours] for ours in ("user_id", "item_id", "timestamp")] == [
        (n,) for n in head.split(",")
    ]
    assert (added.added, added.unknown) == (2, 0)
    assert SPACE.item_ids[log.history("bob", SPACE).items].tolist() == ["i0002"]


def test_the_better_filled_column_is_used_and_the_other_one_named(log: Events, tmp_path: Path) -> None:
    rows = [("", "v1", "i0001", DAY), ("ann", "v2", "i0002", DAY)]
    columns = log.preview(table(tmp_path / "log.csv", "customer_id,visitor_id,sku,date", rows)).columns
    assert columns.taken["user_id"] == ("visitor_id",)
    assert columns.other == {"user_id": ("customer_id",)}
    assert columns.filled == {"user_id": 1, "item_id": 1, "timestamp": 1}


def test_a_session_is_a_user_only_if_there_is_no_other(log: Events, tmp_path: Path) -> None:
    rows = [("s1", "", "i0001", DAY), ("s2", "ann", "i0002", DAY)]
    assert log.preview(table(tmp_path / "a.csv", "session_id,user_id,sku,date", rows)).columns.taken["user_id"] == (
        "user_id",
    )
    columns = log.preview(table(tmp_path / "b.csv", "session_id,other,sku,date", rows)).columns
    assert columns.taken["user_id"] == ("session_id",)
    assert any("each value of 'session_id' counts as a user of its own" in note for note in columns.notes)


def test_ids_of_the_index_decide_between_columns_of_items(log: Events, tmp_path: Path) -> None:
    rows = [("ann", "77", "i0001", DAY), ("bob", "78", "", DAY)]
    columns = log.preview(table(tmp_path / "a.csv", "user,product_id,sku,date", rows)).columns
    assert columns.taken["item_id"] == ("sku",)
    assert columns.other["item_id"] == ("product_id",)
    assert log.preview(table(tmp_path / "b.csv", "user,x,was_bought,date", rows)).columns.taken["item_id"] == (
        "was_bought",
    )


def test_a_date_and_a_time_of_day_in_two_columns_are_joined(log: Events, tmp_path: Path) -> None:
    rows = [("ann", "i0001", DAY, "12:00:05"), ("ann", "i0002", DAY, "09:30")]
    log.add(table(tmp_path / "log.csv", "user,item,date,time", rows))
    history = log.history("ann", SPACE)
    assert SPACE.item_ids[history.items].tolist() == ["i0002", "i0001"]
    assert np.diff(history.times).tolist() == [(2.5 * 3600 + 5) * 1_000_000]


def test_ratings_and_quantities_are_weights_only_if_the_user_says_so(log: Events, tmp_path: Path) -> None:
    source = table(tmp_path / "log.csv", "user,item,date,rating", [("ann", "i0001", DAY, 5)])
    added = log.add(source)
    assert added.columns is not None
    assert any("--map weight=rating" in note for note in added.columns.notes)
    assert log.history("ann", SPACE).weights.tolist() == [1]
    log.add(source, options=EventOptions({"weight": "rating"}))
    assert log.history("ann", SPACE).weights.tolist() == [5]


def test_a_missing_column_is_named_with_the_columns_that_there_are(log: Events, tmp_path: Path) -> None:
    source = table(tmp_path / "log.csv", 'who,item,"what, long"', [("ann", "i0001", DAY)])
    with pytest.raises(CatalogError, match=r"no column user_id.*item, what, long, who.*--map user_id=NAME"):
        log.add(source)
    with pytest.raises(CatalogError, match=r"--map user_id=nobody: there is no column 'nobody'"):
        log.add(source, options=EventOptions({"user_id": "nobody"}))
    mapping = parse_event_mapping('user_id=who,timestamp="what, long"')
    assert log.add(source, options=EventOptions(mapping)).added == 1


def test_a_log_with_positions_keeps_its_order_and_repeats_nothing(log: Events, tmp_path: Path) -> None:
    rows = [("ann", "i0003", 2), ("bob", "i0001", 0), ("ann", "i0002", 0), ("ann", "i0001", 1), ("ann", "i0004", "new")]
    source = table(tmp_path / "log.csv", "user_id,item_id,position", rows)
    with pytest.raises(CatalogError, match=r"no column timestamp.*--order position"):
        log.add(source)
    with pytest.raises(CatalogError, match=r"no column 'place' for --order"):
        log.add(source, options=EventOptions(order="place"))
    added = log.add(source, options=EventOptions(order="position"))
    assert (added.added, added.refused, added.time_unit) == (4, 1, "order")
    assert "position 'new'" in added.refusals[0]
    assert log.add(source, options=EventOptions(order="position")).added == 0
    assert SPACE.item_ids[log.history("ann", SPACE).items].tolist() == ["i0002", "i0001", "i0003"]


def test_the_order_of_the_rows_is_the_order_of_each_user(log: Events, tmp_path: Path) -> None:
    rows = [("ann", "i0003"), ("bob", "i0001"), ("ann", "i0001"), ("ann", "i0003")]
    log.add(table(tmp_path / "log.csv", "user,item", rows), options=EventOptions(order="rows"))
    grown = [("cy", "i0001"), *rows, ("bob", "i0002")]
    assert log.add(table(tmp_path / "log.csv", "user,item", grown), options=EventOptions(order="rows")).added == 2
    assert SPACE.item_ids[log.history("ann", SPACE).items].tolist() == ["i0003", "i0001", "i0003"]


def test_events_without_times_still_have_interests(log: Events, tmp_path: Path) -> None:
    rows = [("ann", f"i{n:04d}", n) for n in range(12)]
    log.add(table(tmp_path / "log.csv", "user,item,position", rows), options=EventOptions(order="position"))
    interests = lasting_interests(SPACE, log.history("ann", SPACE), 1_800_000_000_000_000, InterestSettings())
    assert sum(interest.share for interest in interests) == pytest.approx(1)
    assert all(interest.share > 0.01 for interest in interests)


@pytest.mark.parametrize("more", [{"time_unit": "s"}, {"mapping": {"timestamp": "when"}}])
def test_an_order_and_times_cannot_be_combined(more: dict[str, str | dict[str, str]]) -> None:
    with pytest.raises(CatalogError, match="logs without times"):
        EventOptions(order="position", **more)  # type: ignore[arg-type]


def test_an_event_on_a_merged_variant_counts_for_its_item(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store(SPACE)
    store.add_columns({"variant_ids": "text"})
    rows = list(store.item_rows(["i0001", "i0002"]).values())
    for row, variants in zip(rows, (["i0001", "i0001-s", "i0001-m"], ["i0002", "i0003"]), strict=True):
        row["variant_ids"] = json.dumps(variants)
    store.write_items(rows)
    log = Events(store)
    events = [("ann", "i0001-m", DAY), ("ann", "i0003", DAY), ("ann", "gone", DAY), ("ann", "i0002", DAY)]
    added = log.add(table(tmp_path / "log.csv", "user,sku,date", events))
    assert (added.mapped, added.unknown, added.added) == (1, 1, 4)
    space = ItemSpace.load(store)
    assert sorted(space.item_ids[log.history("ann", space).items]) == ["i0001", "i0002", "i0003"]  # i0003 is an item
    assert log.status().unknown_events == 1


def test_user_ids_are_hashed_on_request(log: Events, tmp_path: Path) -> None:
    source = table(tmp_path / "log.csv", "email,sku,date", [("Ann@Example.com", "i0001", DAY)])
    assert any("--hash-users" in note for note in log.preview(source).columns.notes)
    added = log.add(source, options=EventOptions(hash_users=True))
    assert added.columns is not None
    assert not any("--hash-users" in note for note in added.columns.notes)
    assert len(log.history("Ann@Example.com", SPACE)) == 0
    assert len(log.history(hash_user_id("ann@example.com"), SPACE)) == 1


def test_a_preview_writes_nothing(log: Events, tmp_path: Path) -> None:
    rows = [("ann", f"i{n:04d}", DAY) for n in range(5)] + [("", "i0001", DAY)]
    preview = log.preview(table(tmp_path / "log.csv", "user,item,date", rows))
    assert [event.item_id for event in preview.events] == ["i0000", "i0001", "i0002"]
    assert len(preview.refusals) == 1
    assert json.loads(json.dumps(preview.to_dict()))["events"][0]["timestamp"] == "2026-05-01T00:00:00+00:00"
    assert log.version() == 0


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_a_quoted_name_is_read_back(name: str) -> None:
    pairs = parse_column_pairs(f"a={quote_name(name)},b=c+{quote_name(name)}")
    assert [(pair.ours, pair.theirs) for pair in pairs] == [("a", (name,)), ("b", ("c", name))]


@pytest.mark.parametrize("text", ["a", "a=", "=b", "a=b=c", 'a="b', 'a="b"c', "a=b+", 'a=""'])
def test_a_mapping_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(CatalogError, match=r"is not of the form|a quote is not closed|text beside a quoted name"):
        parse_column_pairs(text)


def test_an_event_mapping_names_our_columns_and_single_ones_of_theirs() -> None:
    assert parse_event_mapping(" user_id = who , item_id=sku,") == {"user_id": "who", "item_id": "sku"}
    assert parse_event_mapping("user_id=a", "item_id=b,user_id=c") == {"user_id": "c", "item_id": "b"}
    for text in ("user=who", "user_id=a+b"):
        with pytest.raises(CatalogError, match="--map"):
            parse_event_mapping(text)
