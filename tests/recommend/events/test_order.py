"""The order of events at one time, and tables of earlier versions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from firstsight.recommend.events import event_reader
from firstsight.recommend.events.event_log import Events
from firstsight.recommend.events.event_rows import Event
from firstsight.recommend.events.event_table import SCHEMA, TABLE, open_events
from firstsight.storage.side_tables import upsert
from firstsight.storage.store import Store
from tests.recommend.conftest import MakeStore
from tests.recommend.events.writing import SPACE, T, event, ids, write_lines

OLD = pa.schema([field for field in SCHEMA if field.name not in {"query", "position", "revision"}])
BACKWARDS = [f"i{n:04d}" for n in (9, 2, 7, 0, 5)]


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    return make_store(SPACE)


@pytest.fixture
def log(store: Store) -> Events:
    return Events(store)


def both(log: Events, user: str = "u") -> list[str]:
    """Items of a user's history, which must be equal in both ways of reading."""
    history, interactions = log.history(user, SPACE), log.interactions(SPACE)
    place = int(np.searchsorted(interactions.user_ids, user))
    assert history.items.tolist() == interactions.history(place).items.tolist()
    return ids(SPACE, history.items)


def test_events_at_one_time_keep_the_order_of_their_file(
    log: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_reader, "BATCH", 2)
    source = write_lines(tmp_path / "log.jsonl", [event(item=item) for item in BACKWARDS])
    log.add(source)
    assert both(log) == BACKWARDS
    log.add(source)
    log.add(write_lines(tmp_path / "more.jsonl", [event(item="i0002", weight=3), event(item="i0001")]))
    assert both(log) == [*BACKWARDS, "i0001"]
    assert log.history("u", SPACE).weights.tolist() == [1, 3, 1, 1, 1, 1]


def test_a_file_added_again_writes_nothing(log: Events, store: Store, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "log.jsonl", [event(item=item) for item in BACKWARDS])
    log.add(source)
    version = log.version()
    log.add(source)
    assert log.version() == version


def write_old(store: Store, items: list[str]) -> None:
    """Write events as earlier versions did."""
    events = [Event("u", item, T * 1_000_000, None, 1.0) for item in items]
    rows = [
        {"event_id": e.event_id, "user_id": e.user_id, "item_id": e.item_id, "timestamp": e.time_us, "weight": e.weight}
        for e in events
    ]
    upsert(store, TABLE, OLD, "event_id", rows)


def test_a_table_of_an_earlier_version_is_read_and_added_to(log: Events, store: Store, tmp_path: Path) -> None:
    write_old(store, BACKWARDS)
    assert both(log) == sorted(BACKWARDS)
    assert log.status().events == 5
    rows = [event(item="i0011"), event(item="i0007", weight=2), event(item="i0001"), event(item=None, query="a")]
    assert log.add(write_lines(tmp_path / "log.jsonl", rows)).added == 3
    assert both(log) == [*sorted(BACKWARDS), "i0011", "i0001"]
    assert log.history("u", SPACE).searches.texts.tolist() == ["a"]
    assert log.history("u", SPACE).weights.tolist() == [1, 1, 1, 2, 1, 1, 1]
    table = open_events(store)
    assert table is not None
    assert table.schema.names == SCHEMA.names
    assert log.status().events == 8
