"""Searches in the log of events: with a clicked item, without one, and beside live rooms."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from firstsight.errors import CatalogError, QueryError
from firstsight.recommend.evaluation.protocols import global_time, item_cold, user_cold
from firstsight.recommend.events.event_log import Events
from firstsight.recommend.events.event_rows import MAX_QUERY, read_query
from firstsight.recommend.events.event_types import EVENT_TYPES
from firstsight.recommend.slates.profiles import merge_histories, read_history
from tests.recommend.conftest import MakeStore
from tests.recommend.events.writing import SPACE, T, event, ids, write_lines


@pytest.fixture
def log(make_store: MakeStore) -> Events:
    return Events(make_store(SPACE))


def texts(log: Events, user: str = "u") -> list[str]:
    return [str(text) for text in log.history(user, SPACE).searches.texts]


def test_a_search_with_an_item_is_an_event_and_a_search(log: Events, tmp_path: Path) -> None:
    rows = [
        event(item=None, query="red shoes"),
        event(timestamp=T + 1, query="red shoes"),
        event(item="i0002", timestamp=T + 2, event="purchase", query="red shoes"),
        event(item="i0003", timestamp=T + 3),
    ]
    added = log.add(write_lines(tmp_path / "log.jsonl", rows))
    assert (added.added, added.searches, added.unknown) == (4, 3, 0)
    status = log.status()
    assert (status.events, status.searches, status.items, status.unknown_events) == (4, 3, 3, 0)
    history = log.history("u", SPACE)
    assert ids(SPACE, history.items) == ["i0001", "i0002", "i0003"]
    assert [EVENT_TYPES[code] for code in history.types] == ["search click", "purchase", "other"]
    assert history.searches.times.tolist() == [(T + n) * 1_000_000 for n in range(3)]
    clicked = log.interactions(SPACE).searches.clicked
    assert [ids(SPACE, place) if place >= 0 else None for place in np.split(clicked, 3)] == [None, ["i0001"], ["i0002"]]


def test_results_that_were_shown_for_a_search_are_one_search_of_their_clicks(log: Events, tmp_path: Path) -> None:
    shown = [event("v", f"i{n:04d}", query="a lamp", event="impression" if n != 3 else "click") for n in range(6)]
    nothing = [event("v", f"i{n:04d}", T + 9, query="a chair", event="impression") for n in range(4)]
    log.add(write_lines(tmp_path / "log.jsonl", [*shown, *nothing]))
    searches = log.interactions(SPACE).searches
    assert searches.texts.tolist() == ["a lamp", "a chair"]
    assert ids(SPACE, searches.clicked[:1]) == ["i0003"]
    assert searches.clicked[1] == -1
    assert ids(SPACE, log.history("v", SPACE).items) == ["i0003"]


def test_two_clicks_of_one_search_are_one_search_of_the_history(log: Events, tmp_path: Path) -> None:
    rows = [event(item=f"i{n:04d}", query="a lamp", event="click") for n in (5, 2)]
    log.add(write_lines(tmp_path / "log.jsonl", rows))
    interactions = log.interactions(SPACE)
    assert ids(SPACE, interactions.searches.clicked) == ["i0005", "i0002"]
    assert interactions.history(0).searches.texts.tolist() == texts(log) == ["a lamp"]


def test_a_file_of_searches_alone_is_added_once(log: Events, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"user": "u", "search_term": text, "time": T} for text in ("shoes", "boots", " shoes\n", "")
    ]
    source = write_lines(tmp_path / "log.jsonl", rows)
    first, again = log.add(source), log.add(source)
    assert first.columns is not None
    assert first.columns.taken["query"] == ("search_term",)
    assert (first.rows, first.added, first.refused, again.added) == (4, 2, 1, 0)
    assert "no item_id" in first.refusals[0]
    assert texts(log) == ["shoes", "boots"]
    with pytest.raises(QueryError, match="no events on items"):
        log.interactions(SPACE)


def test_a_log_without_items_and_searches_is_refused(log: Events, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no column item_id"):
        log.add(write_lines(tmp_path / "log.jsonl", [{"user": "u", "time": T}]))


def test_a_click_gets_its_query_from_a_later_file_and_keeps_it(log: Events, tmp_path: Path) -> None:
    log.add(write_lines(tmp_path / "a.jsonl", [event()]))
    assert log.add(write_lines(tmp_path / "b.jsonl", [event(query="shoes")])).added == 0
    log.add(write_lines(tmp_path / "a.jsonl", [event(weight=2)]))
    assert texts(log) == ["shoes"]
    assert log.history("u", SPACE).weights.tolist() == [2]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("  red\tshoes\n", "red shoes"),
        ("[20, 34, 3]", "20 34 3"),
        ([20, 34.0, "x"], "20 34 x"),
        ("[brand] shoes", "[brand] shoes"),
        ("x" * 9_999, "x" * MAX_QUERY),
        (7, "7"),
        ("[]", None),
        ("   ", None),
        (None, None),
        (float("nan"), None),
        (b"x", None),
    ],
)
def test_the_text_of_a_query_is_one_line(given: object, text: str | None) -> None:
    assert read_query(given) == text


def test_live_rooms_videos_and_products_of_one_log_are_all_items(log: Events, tmp_path: Path) -> None:
    head = ["user_id", "video_id", "live_room_id", "product_id", "action", "time"]
    rows = [
        ["u", "i0001", "", "", "play", T],
        ["u", "", "i0002", "", "gift", T + 1],
        ["u", "", "", "i0003", "buy", T + 2],
        ["u", "", "", "later", "view", T + 3],
    ]
    with (tmp_path / "log.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    added = log.add(str(tmp_path / "log.csv"))
    assert added.columns is not None
    assert set(added.columns.taken["item_id"]) == {"video_id", "live_room_id", "product_id"}
    assert (added.added, added.unknown) == (4, 1)
    history = log.history("u", SPACE)
    assert ids(SPACE, history.items) == ["i0001", "i0002", "i0003"]
    assert [EVENT_TYPES[code] for code in history.types] == ["watch", "gift", "purchase"]


def test_searches_of_ga4_are_kept(log: Events, tmp_path: Path) -> None:
    head = {"user_pseudo_id": "1.2", "event_date": "20260501"}
    parameters = [{"key": "page", "value": {"int_value": 2}}, {"key": "search_term", "value": {"string_value": "mugs"}}]
    rows: list[dict[str, object]] = [
        {**head, "event_name": "view_search_results", "event_timestamp": T * 10**6, "event_params": parameters},
        {**head, "event_name": "page_view", "event_timestamp": (T + 1) * 10**6, "event_params": parameters[:1]},
        {
            **head,
            "event_name": "view_item",
            "event_timestamp": (T + 2) * 10**6,
            "event_params": [],
            "items": [{"item_id": "i0001"}],
        },
    ]
    added = log.add(write_lines(tmp_path / "ga4.jsonl", rows))
    assert (added.added, added.searches, added.left_out) == (2, 1, {"rows without an item": 1})
    assert texts(log, "1.2") == ["mugs"]
    assert ids(SPACE, log.history("1.2", SPACE).items) == ["i0001"]


def test_searches_end_where_the_events_end(log: Events, tmp_path: Path) -> None:
    rows = [event("u", f"i{n:04d}", T + n, query=f"query {n}") for n in range(10)]
    late = [event("w", "i0001", T + 8, query="late")]
    log.add(write_lines(tmp_path / "log.jsonl", [*rows, *late]))
    before = datetime.fromtimestamp(T + 4, UTC)
    part = log.interactions(SPACE, before)
    assert part.user_ids.tolist() == ["u"]
    assert part.searches.texts.tolist() == [f"query {n}" for n in range(4)]
    assert len(log.history("u", SPACE, before).searches) == 4
    assert len(log.interactions(SPACE).searches) == 11


def test_protocols_show_no_search_that_tells_a_target(log: Events, tmp_path: Path) -> None:
    rows = [
        event(f"u{user}", f"i{n:04d}", T + 100 * user + n, query=f"{user} {n}") for user in range(8) for n in range(12)
    ]
    log.add(write_lines(tmp_path / "log.jsonl", rows))
    whole = log.interactions(SPACE)
    cold = item_cold(whole)
    assert not cold.cold[cold.train.searches.clicked].any()
    new = user_cold(whole, first=3)
    held = set(whole.user_ids[new.users])
    assert not held & {f"u{text.split()[0]}" for text in new.train.searches.texts}
    for user, history in zip(new.users, new.histories, strict=True):
        number = str(whole.user_ids[user])[1:]
        assert history.searches.texts.tolist() == [f"{number} {n}" for n in range(3)]
    later = global_time(whole)
    assert later.train.searches.times.max() <= later.train.times.max()
    assert all(history.searches.times.max(initial=0) <= later.train.times.max() for history in later.histories)


def test_a_history_in_a_request_may_have_searches() -> None:
    now = datetime.fromtimestamp(T + 100, UTC)
    entries = [{"query": "boots", "timestamp": T + 5}, {"item_id": "i0003", "timestamp": T, "event": "like"}]
    history = read_history(SPACE, entries, now)
    assert ids(SPACE, history.items) == ["i0003"]
    assert history.searches.texts.tolist() == ["boots"]
    assert len(merge_histories(history, history).searches) == 2
