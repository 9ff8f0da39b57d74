"""Upkeep: it runs when it is due, and never harms rows, readers or runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from lancedb.table import Table

import firstsight
from firstsight.errors import DatabaseBusyError, StoreError
from firstsight.indexer.index_settings import IndexSettings
from firstsight.storage.indexes import upkeep
from firstsight.storage.indexes.upkeep import TableState, UpkeepStep, run_upkeep, steps_due, table_state
from firstsight.storage.indexes.vector_index import IndexTuning, nearest_rows, store_tuning
from firstsight.storage.store import Store
from tests.indexer.shop import ColourEncoder, assert_same, contents, index, make_shop, write_csv, write_jsonl
from tests.indexer.workers import ROOT, StartWorker
from tests.storage.large_tables import (
    add_items,
    clustered_vectors,
    index_small_tables,
    item_row,
    make_store,
)
from tests.storage.test_upgrade import killed_before_each_write

INDEXED_ROWS = 10_000  # rows of a table with indexes, in these tests
TUNING = IndexTuning(rows=100_000, partitions=24, nprobes=4, refine=10, recall=0.97)
FINE = TableState("items", 100_000, 3, 10, True, 500, 1, TUNING)

# ---- what is due


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        (FINE, ()),
        (replace(FINE, commits=100), ("compact",)),
        (replace(FINE, unindexed=10_001), ("compact", "measure")),
        (replace(FINE, rows=150_000), ("build", "measure")),
        (replace(FINE, segments=16), ("build", "measure")),
        (replace(FINE, tuning=replace(TUNING, recall=None)), ("build", "measure")),
        (replace(FINE, tuning=None, id_index=False), ("ids", "build", "measure")),
        (replace(FINE, rows=49_999, tuning=None, id_index=False), ()),
        (replace(FINE, group_index=False), ("ids",)),
        (replace(FINE, rows=49_999, tuning=None, group_index=False), ()),
        (replace(FINE, table="runs", tuning=None, id_index=False), ()),
    ],
)
def test_what_is_due(state: TableState, steps: tuple[UpkeepStep, ...]) -> None:
    assert steps_due(state) == steps


def test_during_a_run_a_longer_tail_may_wait_and_is_not_measured() -> None:
    state = replace(FINE, rows=2_000_000, tuning=replace(TUNING, rows=2_000_000), unindexed=15_000)
    assert steps_due(state, during_run=True) == ()
    assert steps_due(replace(state, unindexed=20_001), during_run=True) == ("compact",)
    assert steps_due(state) == ("compact", "measure")


def test_the_ids_of_products_get_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "IDS_MIN_ROWS", 10)
    store = make_store(tmp_path / "db", dim=16)
    add_items(store, clustered_vectors(20, 16))
    with store.writing():
        run_upkeep(store)
        assert table_state(store.items).group_index  # there are no products yet
        store.add_columns({"group_id": "text"})
        assert not table_state(store.items).group_index
        report = run_upkeep(store)
        assert report is not None
        assert report.tables[0].steps == ("ids",)
        assert {tuple(index.columns) for index in store.items.list_indices()} == {("item_id",), ("group_id",)}
        assert run_upkeep(store) is None


# ---- during index runs


def test_a_small_run_does_no_upkeep(tmp_path: Path) -> None:
    index(
        tmp_path / "db", write_jsonl(tmp_path / "c.jsonl", [{"item_id": f"i{n}", "title": f"t {n}"} for n in range(50)])
    )
    status = firstsight.open(tmp_path / "db").status()
    assert status.upkeep == ()
    assert all(0 < table.commits < 10 for table in status.tables)


@pytest.mark.slow
def test_a_run_of_many_small_writes_merges_their_files_on_the_way(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "c.jsonl", [{"item_id": f"i{n}", "title": f"t {n}"} for n in range(260)])
    small = IndexSettings(write_items=2, text_batch_size=2)
    index(tmp_path / "small", source, settings=small)
    index(tmp_path / "whole", source)
    assert_same(contents(tmp_path / "small"), contents(tmp_path / "whole"))
    status = firstsight.open(tmp_path / "small").status()
    assert [run.outcome for run in status.runs] == ["finished"]
    assert len(status.upkeep) >= 1
    assert all(table.commits < 130 and table.fragments < 60 for table in status.tables)


def test_upkeep_that_fails_costs_the_run_nothing_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(upkeep, "run_upkeep", full_disk)
    report = index(tmp_path / "db", write_jsonl(tmp_path / "c.jsonl", [{"item_id": "a", "title": "a"}]))
    assert report.outcome == "finished"
    (row,) = firstsight.open(tmp_path / "db").status().upkeep
    assert (row.outcome, row.counts) == ("failed", {"error": "no space left"})


# ---- by hand


@pytest.fixture(scope="module")
def whole_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with many small files from many small writes; read only."""
    folder = tmp_path_factory.mktemp("whole")
    source = write_csv(folder / "shop" / "c.csv", make_shop(folder / "shop", 40, broken=2))
    index(folder / "db", source, settings=IndexSettings(batch_size=2, text_batch_size=2, write_items=2))
    return folder / "db"


@pytest.fixture
def shop(whole_shop: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(whole_shop, tmp_path / "db")


@pytest.mark.slow
def test_optimize_merges_the_files_and_changes_no_row(shop: Path) -> None:
    before = contents(shop)
    report = firstsight.open(shop).maintenance.optimize()
    assert_same(contents(shop), before)
    items = report.tables[0]
    assert items.before.fragments > 10
    assert items.after.fragments == 1
    assert items.after.commits == 0
    (row,) = firstsight.open(shop).status().upkeep
    assert (row.run_id, row.outcome, row.settings) == (
        report.run_id,
        "finished",
        {"kind": "optimize", "by_hand": True},
    )


@pytest.mark.slow
def test_versions_past_their_age_are_removed_and_younger_ones_stay(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = firstsight.open(shop).maintenance.optimize().tables[0]
    assert kept.versions[1] >= kept.versions[0]
    monkeypatch.setattr(upkeep, "KEEP_VERSIONS_FOR", timedelta(milliseconds=1))
    removed = firstsight.open(shop).maintenance.optimize().tables[0]
    assert removed.versions[1] <= 3
    assert removed.disk_bytes is not None
    assert removed.disk_bytes[1] < removed.disk_bytes[0]


@pytest.mark.slow
def test_a_tag_older_than_the_cut_off_stays_and_stops_nothing(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "KEEP_VERSIONS_FOR", timedelta(milliseconds=1))
    store = Store.open(shop)
    tagged = store.items.version
    store.items.tags.create("last-week", tagged)
    store.write_items([item_row("later", None) | {"price": 1.0}])
    report = firstsight.open(shop).maintenance.optimize()
    assert report.tables[0].after.fragments < report.tables[0].before.fragments
    store.items.checkout("last-week")
    assert (store.items.version, store.items.count_rows()) == (tagged, 40)


@pytest.mark.slow
def test_a_reader_goes_on_with_the_version_it_has(shop: Path) -> None:
    reader = Store.open(shop)
    version = reader.items.version
    before = reader.digests([f"item-{n}" for n in range(40)])
    firstsight.open(shop).maintenance.optimize()
    assert reader.digests([f"item-{n}" for n in range(40)]) == before
    assert reader.items.version == version


@pytest.mark.slow
def test_work_begins_again_from_the_newest_version_where_a_write_came_between(shop: Path) -> None:
    store, other = Store.open(shop), Store.open(shop)
    conflicts: list[str] = []

    other.items.update(where="true", values={"run_id": "other"})  # rewrites the files that upkeep is about to merge

    def compact(table: Table) -> None:
        try:
            table.optimize()
        except RuntimeError as error:
            conflicts.append(str(error))
            raise

    store.maintain(store.items, compact)
    assert len(conflicts) == 1
    assert "Retryable commit conflict" in conflicts[0]
    assert {row["run_id"] for row in store.item_rows([f"item-{n}" for n in range(40)]).values()} == {"other"}


@pytest.mark.slow
def test_work_that_always_meets_other_writes_is_answered(shop: Path) -> None:
    def never(table: object) -> None:
        raise RuntimeError("Retryable commit conflict for version 9")

    with pytest.raises(StoreError, match=r"could not be written \(Retryable commit conflict"):
        Store.open(shop).maintain(Store.open(shop).items, never)


@pytest.mark.slow
def test_optimize_waits_for_no_writer_unless_told(shop: Path, start_worker: StartWorker) -> None:
    worker = start_worker(db=shop, hold=True)
    worker.go()
    assert worker.answer() == "holding"
    with pytest.raises(DatabaseBusyError):
        firstsight.open(shop).maintenance.optimize()


@pytest.mark.slow
def test_files_that_killed_writes_left_are_removed_once_they_are_old(shop: Path) -> None:
    old, young = shop / "items.lance" / "data" / ".tmpOLD", shop / "items.lance" / "data" / ".tmpYOUNG"
    for path in (old, young):
        path.write_bytes(b"half a file")
    os.utime(old, (time.time() - 7_200, time.time() - 7_200))
    assert firstsight.open(shop).maintenance.optimize().stray_files == 1
    assert (old.exists(), young.exists()) == (False, True)


# ---- a large database


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with enough items for an index, without an index; read only."""
    path = tmp_path_factory.mktemp("large") / "db"
    add_items(make_store(path, dim=32), clustered_vectors(INDEXED_ROWS, 32))
    return path


@pytest.fixture(scope="module")
def indexed(large: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with indexes; read only."""
    path: Path = shutil.copytree(large, tmp_path_factory.mktemp("indexed") / "db")
    store = Store.open(path)
    with pytest.MonkeyPatch.context() as patch, store.writing():
        index_small_tables(patch, INDEXED_ROWS)
        run_upkeep(store)
    return path


@pytest.fixture
def indexed_copy(indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    index_small_tables(monkeypatch, INDEXED_ROWS)
    return shutil.copytree(indexed, tmp_path / "db")


@pytest.fixture
def copy(large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    index_small_tables(monkeypatch, INDEXED_ROWS)
    return shutil.copytree(large, tmp_path / "db")


@pytest.mark.slow
def test_a_table_that_has_grown_large_gets_its_indexes_and_they_are_kept_up(copy: Path) -> None:
    store = Store.open(copy)
    with store.writing():
        report = run_upkeep(store)
        assert report is not None
        assert report.tables[0].steps == ("ids", "build", "measure")
        first = table_state(store.items)
        assert (first.id_index, first.segments, first.unindexed) == (True, 1, 0)
        assert first.tuning is not None
        assert first.tuning.reaches_target
        assert run_upkeep(store) is None

        add_items(store, clustered_vectors(upkeep.TAIL_ROWS + 1, 32, seed=2), start=INDEXED_ROWS)
        extended = run_upkeep(store)
        assert extended is not None
        assert extended.tables[0].steps == ("compact", "measure")
        state = table_state(store.items)
        assert (state.segments, state.unindexed) == (2, 0)
        assert state.tuning is not None
        assert state.tuning.reaches_target

        add_items(store, clustered_vectors(INDEXED_ROWS // 2, 32, seed=3), start=2 * INDEXED_ROWS)
        rebuilt = run_upkeep(store)
        assert rebuilt is not None
        assert "build" in rebuilt.tables[0].steps
        state = table_state(store.items)
        assert state.segments == 1
        assert state.tuning is not None
        assert state.tuning.rows == state.rows
    assert len(firstsight.open(copy).status().upkeep) == 3


@pytest.mark.slow
def test_ids_are_found_by_their_index_and_upserts_stay_single(indexed_copy: Path) -> None:
    store = Store.open(indexed_copy)
    with store.writing():
        store.write_items([item_row("item-5", None, price=-1.0), item_row("new", None)])
    assert "ScalarIndexQuery" in store.items.search().where("item_id IN ('item-5', 'new')").explain_plan()
    assert [row["price"] for row in store.item_rows(["item-5", "new"]).values()] == [-1.0, 1.0]
    assert store.items.count_rows() == INDEXED_ROWS + 1


@pytest.mark.slow
def test_an_index_killed_before_it_was_measured_is_built_again(indexed_copy: Path) -> None:
    store = Store.open(indexed_copy)
    with store.writing():
        store_tuning(store.items, replace(TUNING, recall=None))
        report = run_upkeep(store)
        assert report is not None
        assert report.tables[0].steps == ("build", "measure")


@pytest.mark.slow
def test_killed_while_it_works_and_run_again(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = firstsight.open(copy, encoder=ColourEncoder(dim=32))
    expected = sorted(item_id for ids in Store.open(copy).item_ids() for item_id in ids)
    vectors = clustered_vectors(INDEXED_ROWS, 32)

    def check(db: Path) -> None:
        store = Store.open(db)
        (found,) = nearest_rows(store, "items", vectors[7:8], k=1, condition=None, columns=["item_id"])
        assert found[0]["item_id"] == "item-7"
        assert sorted(item_id for ids in store.item_ids() for item_id in ids) == expected

    with killed_before_each_write(copy, monkeypatch) as killed:
        database.maintenance.optimize(rebuild=True)
    assert len(killed) >= 4
    for _, db in killed:
        check(db)
    kill_within_an_index_build(copy)
    check(copy)
    report = database.maintenance.optimize()
    assert report.tables[0].after.tuning is not None
    assert report.tables[0].after.tuning.reaches_target
    index(copy, write_jsonl(copy.parent / "c.jsonl", [{"item_id": "new", "title": "new"}]), ColourEncoder(dim=32))
    assert next(result.item_id for result in database.search("new", k=3)) == "new"
    assert len(database.search(item="new", k=3)) == 3


def kill_within_an_index_build(db: Path) -> None:
    """Kill a process that builds indexes once files of a new one are on the disk."""
    code = """if True:
        import sys, firstsight
        from firstsight.storage.indexes import vector_index
        vector_index.MIN_ROWS = int(sys.argv[2])
        while True:
            firstsight.open(sys.argv[1]).maintenance.optimize(rebuild=True)
    """
    indexes = db / "items.lance" / "_indices"
    before = set(indexes.iterdir())
    with subprocess.Popen([sys.executable, "-c", code, str(db), str(INDEXED_ROWS)], cwd=ROOT) as worker:
        while set(indexes.iterdir()) == before:
            with pytest.raises(subprocess.TimeoutExpired):
                worker.wait(0.005)
        worker.send_signal(signal.SIGKILL)
