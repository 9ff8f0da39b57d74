"""Events in memory after adding, repeating and correcting: equal to a full read, with only the new rows read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from firstsight.recommend.events import event_table, loaded_events
from firstsight.recommend.events.event_log import Events
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.storage.store import Store
from tests.recommend.conftest import MakeStore, write_items
from tests.recommend.events.test_order import write_old
from tests.recommend.events.writing import SPACE, T, event, write_lines
from tests.recommend.synthetic_events import clustered_space


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    return make_store(SPACE)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of rows of each read of the table."""
    counts: list[int] = []
    read = event_table.read_columns

    def counted(*arguments: object) -> object:
        batches = list(read(*arguments))  # type: ignore[arg-type]
        counts.append(sum(map(len, batches)))
        return batches

    monkeypatch.setattr(loaded_events, "read_columns", counted)
    return counts


def drawn(rng: np.random.Generator, count: int) -> list[dict[str, object]]:
    types = ["click", "impression", None, "buy"]
    return [
        event(
            f"u{rng.integers(9)}",
            None if n % 7 == 0 else f"i{rng.integers(14):04d}",
            T + int(rng.integers(20)),
            event=types[rng.integers(4)],
            weight=float(rng.integers(1, 4)),
            query=f"query {rng.integers(3)}" if n % 7 == 0 or n % 5 == 0 else None,
        )
        for n in range(count)
    ]


def assert_equal(got: Interactions, wanted: Interactions) -> None:
    assert got.user_ids.tolist() == wanted.user_ids.tolist()
    for name in ("users", "items", "times", "weights", "types"):
        assert getattr(got, name).tolist() == getattr(wanted, name).tolist(), name
    for name in ("users", "texts", "times", "clicked"):
        assert getattr(got.searches, name).tolist() == getattr(wanted.searches, name).tolist(), name


def test_new_rows_are_merged_as_if_all_were_read(store: Store, tmp_path: Path, reads: list[int]) -> None:
    log, rng = Events(store), np.random.default_rng(0)
    for n in range(6):
        added = Events(store).add(write_lines(tmp_path / "log.jsonl", drawn(rng, 40)))
        assert_equal(log.interactions(SPACE), Events(store).interactions(SPACE))
        if n:
            assert reads[-2] <= 41
            assert reads[-2] < reads[-1]
        reads.clear()
    assert added.added < 40  # some were repeated or corrected


def test_a_corrected_weight_is_replaced(store: Store, tmp_path: Path, reads: list[int]) -> None:
    log = Events(store)
    log.add(write_lines(tmp_path / "log.jsonl", [event(item=f"i{n:04d}") for n in range(9)]))
    log.interactions(SPACE)
    log.add(write_lines(tmp_path / "log.jsonl", [event(item="i0004", weight=5)]))
    reads.clear()
    assert log.interactions(SPACE).weights.tolist() == [1, 1, 1, 1, 5, 1, 1, 1, 1]
    assert reads == [1]


def test_a_click_that_gets_a_query_is_read_again(store: Store, tmp_path: Path) -> None:
    log = Events(store)
    log.add(write_lines(tmp_path / "log.jsonl", [event(item=f"i{n:04d}") for n in range(4)]))
    log.interactions(SPACE)
    log.add(write_lines(tmp_path / "log.jsonl", [event(item="i0002", query="shoes")]))
    assert_equal(log.interactions(SPACE), Events(store).interactions(SPACE))
    assert log.interactions(SPACE).searches.texts.tolist() == ["shoes"]


def test_rows_that_were_deleted_by_hand_are_noticed(store: Store, tmp_path: Path) -> None:
    log = Events(store)
    log.add(write_lines(tmp_path / "log.jsonl", [event(item=f"i{n:04d}") for n in range(4)]))
    log.interactions(SPACE)
    table = log._open()
    assert table is not None
    table.delete("item_id = 'i0002'")
    assert len(log.interactions(SPACE)) == 3


def test_new_items_find_events_that_waited_for_them(make_store: MakeStore, tmp_path: Path, reads: list[int]) -> None:
    whole = clustered_space(14)
    store = make_store(whole.subset(np.arange(12)), name="grown")
    log = Events(store)
    log.add(write_lines(tmp_path / "log.jsonl", [event(item="i0013", timestamp=T), event(item="i0002")]))
    assert len(log.interactions(ItemSpace.load(store))) == 1
    write_items(store, whole)
    reads.clear()
    space = ItemSpace.load(store)
    assert space.item_ids[log.interactions(space).items].tolist() == ["i0013", "i0002"]
    assert reads == []


def test_a_table_of_an_earlier_version_is_followed(store: Store, tmp_path: Path) -> None:
    write_old(store, ["i0003", "i0001"])
    log = Events(store)
    log.interactions(SPACE)
    for rows in ([event(item="i0000")], [event(item="i0001", weight=4)], [event("v", "i0005", query="x")]):
        Events(store).add(write_lines(tmp_path / "log.jsonl", rows))
        assert_equal(log.interactions(SPACE), Events(store).interactions(SPACE))


def test_indexes_and_merged_files_change_nothing(store: Store, tmp_path: Path, reads: list[int]) -> None:
    log = Events(store)
    log.add(write_lines(tmp_path / "log.jsonl", drawn(np.random.default_rng(1), 60)))
    before = log.interactions(SPACE)
    table = log._open()
    assert table is not None
    table.optimize()
    reads.clear()
    assert_equal(log.interactions(SPACE), before)
    assert sum(reads) == 0
