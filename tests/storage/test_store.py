"""The database: complete creation, one writer at a time, and readers that never wait."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import firstsight
from firstsight.errors import DatabaseBusyError, EncoderMismatchError, MissingDatabaseError, StoreError
from firstsight.storage.store import Store
from tests.indexer.shop import ColourEncoder, assert_same, contents, index, make_shop, write_csv, write_jsonl
from tests.indexer.workers import StartWorker

SPEC = ColourEncoder().spec


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "db"


@pytest.fixture
def titles(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "c.jsonl", [{"item_id": f"i{n}", "title": f"thing {n}"} for n in range(20)])


# ---- creating and opening


def test_the_error_for_a_missing_database_says_how_to_create_one(db: Path) -> None:
    with pytest.raises(MissingDatabaseError, match=f"no database at {db}; make one with: firstsight index"):
        Store.open(db)
    assert not db.exists()


def test_creating_a_database_again_changes_nothing(db: Path, titles: Path) -> None:
    index(db, titles)
    before = contents(db)
    Store.create(db, SPEC)
    assert_same(before, contents(db))


def test_a_database_of_another_encoder_is_refused_for_writing(db: Path) -> None:
    Store.create(db, SPEC)
    with pytest.raises(EncoderMismatchError):
        Store.create(db, ColourEncoder("another").spec)


def test_a_half_created_database_is_created_again_for_any_encoder(db: Path, titles: Path) -> None:
    import shutil

    Store.create(db, ColourEncoder("another", dim=8).spec)
    shutil.rmtree(db / "items.lance" / "_versions")
    with pytest.raises(MissingDatabaseError):
        Store.open(db)
    index(db, titles)
    assert len(contents(db)["views"]) == 20


def test_a_database_without_one_of_its_tables_is_refused(db: Path) -> None:
    import shutil

    Store.create(db, SPEC)
    shutil.rmtree(db / "views.lance")
    with pytest.raises(StoreError, match="lacks a table"):
        Store.open(db)


def test_a_folder_of_other_files_does_not_become_a_database(tmp_path: Path, titles: Path) -> None:
    with pytest.raises(StoreError, match=r"holds other files \(c\.jsonl\); give the database its own folder"):
        Store.create(tmp_path, SPEC)
    assert [path.name for path in tmp_path.iterdir()] == ["c.jsonl"]


def test_a_file_cannot_become_a_database(titles: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used as a database"):
        Store.create(titles, SPEC)


def test_an_id_given_twice_in_one_write_is_stored_once(db: Path) -> None:
    store = Store.create(db, SPEC)
    vector = ColourEncoder().encode_texts(["x"])[0]
    view = {"view_id": "a#title", "item_id": "a", "part": "title", "vector": vector}
    store.write_views([view, view], replaced=[])
    assert store.views.count_rows() == 1


def test_a_column_that_another_run_added_with_another_kind_is_refused(db: Path) -> None:
    store = Store.create(db, SPEC)
    store.add_columns({"size": "text"})
    with pytest.raises(StoreError, match="another run has just added column 'size' as text; run again"):
        store.add_columns({"size": "number"})


# ---- one writer


@pytest.mark.slow
def test_the_error_for_a_second_writer_names_the_first(db: Path, titles: Path, start_worker: StartWorker) -> None:
    worker = start_worker(db=db, hold=True)
    worker.go()
    assert worker.answer() == "holding"
    with pytest.raises(DatabaseBusyError, match=rf"by process {worker.process.pid} on \S+ since 2.*Z; wait.*--wait"):
        index(db, titles)


@pytest.mark.slow
def test_a_second_writer_waits_up_to_its_maximum_wait(db: Path, titles: Path, start_worker: StartWorker) -> None:
    holder = start_worker(db=db, hold=True)
    holder.go()
    assert holder.answer() == "holding"
    waiting = start_worker(db=db, source=titles, wait_s=60)
    waiting.go()
    holder.go()
    assert waiting.answer() == "finished"
    assert len(contents(db)["items"]) == 20


@pytest.mark.slow
def test_a_killed_writer_holds_no_lock(db: Path, titles: Path, start_worker: StartWorker) -> None:
    worker = start_worker(db=db, hold=True)
    worker.go()
    assert worker.answer() == "holding"
    worker.process.kill()
    worker.process.wait()
    assert index(db, titles).outcome == "finished"


@pytest.mark.slow
def test_two_processes_can_create_one_database_at_once(db: Path, titles: Path, start_worker: StartWorker) -> None:
    workers = [start_worker(db=db, source=titles, wait_s=60) for _ in range(2)]
    for worker in workers:
        worker.go()
    assert [worker.answer() for worker in workers] == ["finished", "finished"]
    assert len(contents(db)["items"]) == 20


@pytest.mark.slow
def test_readers_read_while_another_process_writes(db: Path, titles: Path, start_worker: StartWorker) -> None:
    index(db, titles)
    worker = start_worker(db=db, hold=True)
    worker.go()
    assert worker.answer() == "holding"
    database = firstsight.open(db, encoder=ColourEncoder())
    assert database.get("i3").title == "thing 3"
    assert database.search("thing 3", k=1)[0].item_id == "i3"


def test_a_reader_sees_later_commits(db: Path, titles: Path, tmp_path: Path) -> None:
    index(db, titles)
    reader = firstsight.open(db, encoder=ColourEncoder())
    assert reader.status().items == 20
    index(db, write_jsonl(tmp_path / "more.jsonl", [{"item_id": "new", "title": "new"}]))
    assert reader.status().items == 21
    assert reader.get("new").title == "new"


@pytest.mark.slow
def test_readers_see_complete_items_at_every_moment_of_a_run(
    db: Path, tmp_path: Path, start_worker: StartWorker
) -> None:
    shop = write_csv(tmp_path / "shop" / "c.csv", make_shop(tmp_path / "shop", 100))
    Store.create(db, SPEC)
    settings = {"batch_size": 4, "text_batch_size": 4, "write_items": 8, "pictures_ahead": 8}
    worker = start_worker(db=db, source=shop, settings=settings)
    reader = Store.open(db)
    worker.go()
    seen = {0}
    while worker.process.poll() is None:
        reader.refresh()
        items = [item_id for ids in reader.item_ids() for item_id in ids]
        seen.add(len(items))
        reader.refresh()
        assert reader.view_rows(items).num_rows == 2 * len(items)
    assert worker.answer() == "finished"
    assert len(seen) > 2


def test_rows_are_read_by_their_ids_a_thousand_at_a_time(db: Path, titles: Path) -> None:
    index(db, titles)
    store = Store.open(db)
    ids = ["i3", "nobody's", *(f"none-{n}" for n in range(1_000)), "i7"]
    parts = list(store.rows_by_id(store.items, ids, columns=["item_id", "title"]))
    assert [part.to_pylist() for part in parts] == [
        [{"item_id": "i3", "title": "thing 3"}],
        [{"item_id": "i7", "title": "thing 7"}],
    ]
    either = store.rows_by_id(store.views, ["i3", "i7"], condition="view_id LIKE 'i3%' OR view_id LIKE 'i4%'")
    assert [row["item_id"] for part in either for row in part.to_pylist()] == ["i3"]
    of_views = store.rows_by_id(store.views, ["i3#title"], key="view_id")
    assert [row["item_id"] for part in of_views for row in part.to_pylist()] == ["i3"]
    assert list(store.rows_by_id(store.items, [])) == []


# ---- a full disk


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_loses_no_written_row(db: Path, tmp_path: Path, start_worker: StartWorker) -> None:
    shop = write_csv(tmp_path / "shop" / "c.csv", make_shop(tmp_path / "shop", 100))
    large = ColourEncoder(dim=384)
    index(db, shop, large, should_stop=iter([False] * 20 + [True] * 100).__next__)
    before = contents(db)
    assert len(before["items"]) == 20
    worker = start_worker(db=db, source=shop, dim=384, file_bytes=60_000)
    worker.go()
    said = r"StoreError: .* could not be written \(.*; earlier writes are safe: .* run again"
    assert re.match(said, worker.answer())
    after = contents(db)
    assert_same(before, {name: {key: after[name][key] for key in rows} for name, rows in before.items()})
    index(db, shop, large)
    index(tmp_path / "whole", shop, large)
    assert_same(contents(db), contents(tmp_path / "whole"))


@pytest.mark.slow
def test_a_full_temporary_folder_is_an_error_with_a_remedy(db: Path, titles: Path, start_worker: StartWorker) -> None:
    worker = start_worker(db=db, source=titles, file_bytes=1_000)
    worker.go()
    assert re.match("CatalogError: .* cannot hold the ids .*; free space there or set TMPDIR", worker.answer())
