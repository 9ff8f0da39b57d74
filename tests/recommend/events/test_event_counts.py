"""Counts of a large log: equal to a full count after every kind of write, with only the new events read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from firstsight.recommend.events import event_counts, event_table
from firstsight.recommend.events.event_counts import EventCounts, read_counts
from firstsight.recommend.events.event_log import Events
from firstsight.recommend.events.event_rows import Event
from firstsight.recommend.events.event_table import read_columns, write_events
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.store import Store
from tests.recommend.conftest import MakeStore
from tests.recommend.events.test_incremental import drawn
from tests.recommend.events.writing import SPACE, T, event, write_lines


@pytest.fixture
def store(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(event_table, "MIN_INDEXED_EVENTS", 20)
    return make_store(SPACE)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of rows of each read of the events."""
    counts: list[int] = []

    def counted(*arguments: object) -> object:
        batches = list(read_columns(*arguments))  # type: ignore[arg-type]
        counts.append(sum(map(len, batches)))
        return batches

    monkeypatch.setattr(event_counts, "read_columns", counted)
    return counts


def assert_right(store: Store) -> None:
    table = event_table.open_events(store)
    assert table is not None
    counts, wanted = read_counts(store, table), EventCounts(int(table.version))
    wanted.users = len(wanted.add(read_columns(table, None, ("user_id", "item_id", "timestamp", "event", "query"))))
    assert counts == wanted


def test_counts_follow_adds_repeats_and_corrections(store: Store, tmp_path: Path, reads: list[int]) -> None:
    log, rng = Events(store), np.random.default_rng(0)
    for n in range(6):
        reads.clear()
        log.add(write_lines(tmp_path / "log.jsonl", drawn(rng, 40)))
        if n:
            assert max(reads) <= 40
        assert_right(store)
    reads.clear()
    log.status()
    assert sum(reads) == 0
    log.add(write_lines(tmp_path / "log.jsonl", [event("new", "elsewhere", T + 99, event="cart")]))
    assert_right(store)
    assert log.status().types["cart"] == 1


def test_a_click_that_gets_a_query_is_counted_as_a_search(store: Store, tmp_path: Path) -> None:
    log = Events(store)
    log.add(write_lines(tmp_path / "log.jsonl", [event(item=f"i{n:04d}", timestamp=T + n) for n in range(30)]))
    log.add(write_lines(tmp_path / "log.jsonl", [event(item="i0004", timestamp=T + 4, query="shoes")]))
    assert log.status().searches == 1
    assert_right(store)


def test_events_written_before_a_kill_are_counted(store: Store, tmp_path: Path) -> None:
    log = Events(store)
    log.add(write_lines(tmp_path / "log.jsonl", [event(item=f"i{n:04d}", timestamp=T + n) for n in range(30)]))
    late = Event("late", "i0001", (T + 500) * 1_000_000, "click", 1.0)
    with store.writing():
        write_events(store, {late.event_id: late})
    assert_right(store)
    log.add(write_lines(tmp_path / "log.jsonl", [event("later", timestamp=T + 600)]))
    assert_right(store)
    assert log.status().users == 3


def test_events_that_were_deleted_by_hand_are_noticed(store: Store, tmp_path: Path) -> None:
    log = Events(store)
    log.add(write_lines(tmp_path / "log.jsonl", [event(item=f"i{n:04d}", timestamp=T + n) for n in range(30)]))
    table = event_table.open_events(store)
    assert table is not None
    table.delete("item_id = 'i0004'")
    assert_right(store)
    log.add(write_lines(tmp_path / "log.jsonl", [event("later", timestamp=T + 600)]))
    assert_right(store)


def test_damaged_counts_are_made_anew(store: Store, tmp_path: Path) -> None:
    log = Events(store)
    log.add(write_lines(tmp_path / "log.jsonl", [event(item=f"i{n:04d}", timestamp=T + n) for n in range(30)]))
    table = open_side_table(store, event_counts.TABLE)
    assert table is not None
    table.delete("key = '=events'")
    assert_right(store)
    log.add(write_lines(tmp_path / "log.jsonl", [event("later", timestamp=T + 600)]))
    assert_right(store)


def test_a_small_log_has_no_counts(store: Store, tmp_path: Path) -> None:
    Events(store).add(write_lines(tmp_path / "log.jsonl", [event()]))
    assert open_side_table(store, event_counts.TABLE) is None
    assert_right(store)
