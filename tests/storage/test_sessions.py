"""Open files: their number does not grow with writes, and an idle database has none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import firstsight
from firstsight import Database
from firstsight.database import open_tables, release_tables
from firstsight.errors import MissingDatabaseError, StoreError
from firstsight.storage import sessions
from firstsight.storage.indexes.text_index import index_texts
from firstsight.storage.store import Store
from tests.indexer.shop import ColourEncoder, write_jsonl
from tests.storage.open_files import ITEMS, make_text_heavy_database, open_files

MAX_REPLACED = 6
"""In place of the package's own number, so that a session is replaced after fewer writes."""

BOUND = MAX_REPLACED + 4
"""Maximum open files: of replaced indexes, of the two text indexes in use, and of their successors."""

ENOUGH = MAX_REPLACED // 2 + 4
"""Writes, with two text indexes each, after which the session is replaced."""


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_REPLACED", MAX_REPLACED)


@pytest.fixture(scope="module")
def text_heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with text indexes that LanceDB keeps open, because they are too large to read whole."""
    return make_text_heavy_database(tmp_path_factory.mktemp("text_heavy"), ColourEncoder())


@pytest.fixture
def db(text_heavy: Path, tmp_path: Path) -> Path:
    """A copy of it for writes."""
    return Path(shutil.copytree(text_heavy, tmp_path / "db"))


def open_db(path: Path) -> Database:
    return firstsight.open(path, encoder=ColourEncoder())


def writes(path: Path, times: int) -> Iterator[int]:
    """Write an item and its words to a database, `times` times."""
    store = Store.open(path)
    row = store.item_rows(["item-0"])["item-0"]
    for n in range(times):
        with store.writing():
            store.write_items([row | {"item_id": f"new-{n}", "title": f"cup {n}", "text": "a new cup"}])
            index_texts(store)
        yield n


@pytest.mark.slow
def test_many_writes_do_not_raise_the_open_files_of_a_reader(db: Path, tmp_path: Path) -> None:
    reader, writer, seen = open_db(db), open_db(db), []
    for n in range(ENOUGH + 6):
        writer.index(write_jsonl(tmp_path / "row.jsonl", [{"item_id": f"new-{n}", "title": f"cup {n}"}]))
        assert reader.search(f"cup {n}", mode="hybrid", k=1)[0].item_id == f"new-{n}"
        seen.append(len(open_files(db)))
    assert seen[0] > 0  # otherwise this tests nothing
    assert max(seen) <= BOUND


@pytest.mark.slow
def test_many_writes_of_another_process_do_not_raise_them_either(db: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(db)  # another address has its own session, like another process
    reader, seen = open_db(db), []
    for n in writes(tmp_path / "alias", ENOUGH):
        assert reader.search(f"cup {n}", mode="words", k=1)[0].item_id == f"new-{n}"
        seen.append(len(open_files(db)))
    assert 0 < max(seen) <= BOUND


@pytest.mark.slow
def test_pages_of_many_snapshots_do_not_raise_the_open_files(db: Path) -> None:
    reader = open_db(db)
    first = {reader.search("cup", mode="words", k=2, offset=2).snapshot: 0}
    for n in writes(db, ENOUGH):
        first[reader.search("cup", mode="words", k=20).snapshot] = n + 1
    for snapshot, count in first.items():
        assert len(reader.search("cup", mode="words", k=20, snapshot=snapshot)) == min(count, 20)
        assert len(open_files(db)) <= BOUND


@pytest.mark.slow
def test_databases_of_one_address_read_an_index_once(db: Path) -> None:
    readers = [open_db(db) for _ in range(4)]
    seen = []
    for reader in readers:
        reader.search("cup", mode="words")
        seen.append(len(open_files(db)))
    assert seen == [seen[0]] * 4


@pytest.mark.slow
def test_a_released_database_has_no_open_file_and_still_works(db: Path) -> None:
    idle, reader = open_db(db), open_db(db)
    assert not idle.search("cup", mode="words")
    opened = open_files(db)
    release_tables(idle)
    for _ in writes(db, ENOUGH):
        reader.search("cup", mode="words")
    assert opened
    assert not opened & open_files(db)
    assert len(idle.search("cup", mode="words", k=ENOUGH)) == ENOUGH


def test_no_file_is_open_once_the_database_is_gone(db: Path) -> None:
    reader = open_db(db)
    reader.search("cup", mode="words")
    assert open_files(db)
    del reader
    assert not open_files(db)


def test_a_relative_address_keeps_the_folder_in_which_it_was_opened(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    here = open_db(Path("db"))
    assert here.count() == ITEMS
    monkeypatch.chdir(tmp_path / "other")
    other = open_db(Path("db"))
    other.index(write_jsonl(tmp_path / "one.jsonl", [{"item_id": "only", "title": "cup"}]))
    assert (other.count(), len(here.search("cup", mode="words", k=1))) == (1, 0)


def test_a_new_database_at_an_old_address_is_read(db: Path, tmp_path: Path) -> None:
    before = open_db(db)  # keeps the session alive
    before.search("cup", mode="words")
    shutil.rmtree(db)
    open_db(db).index(write_jsonl(tmp_path / "one.jsonl", [{"item_id": "only", "title": "cup"}]))
    assert [result.item_id for result in open_db(db).search("cup", mode="hybrid")] == ["only"]


def test_a_database_without_its_folder_is_missing_until_it_is_created_again(db: Path, tmp_path: Path) -> None:
    held = open_db(db)
    held.search("cup", mode="hybrid")
    shutil.rmtree(db)
    for call in (held.count, lambda: held.search("cup", mode="hybrid"), lambda: held.remove(["item-0"])):
        with pytest.raises(MissingDatabaseError, match="there is no database at"):
            call()
    assert not db.exists()
    held.index(write_jsonl(tmp_path / "one.jsonl", [{"item_id": "only", "title": "cup"}]))
    assert [result.item_id for result in held.search("cup", mode="hybrid")] == ["only"]


def test_a_database_without_its_tables_is_refused_with_a_remedy(db: Path) -> None:
    held = open_db(db)
    held.search("cup", mode="hybrid")
    shutil.rmtree(db / "items.lance")
    with pytest.raises(StoreError, match=r"cannot be read .*restore it from a copy"):
        held.search("cup", mode="hybrid")


def test_new_rows_do_not_replace_the_session(db: Path) -> None:
    reader = open_db(db)
    reader.search("cup")
    generation = open_tables(reader).session.generation
    for _ in range(2 * MAX_REPLACED):
        open_tables(reader).items.update(where="item_id = 'item-0'", values={"title": "cup"})
        open_tables(reader).refresh()
    assert open_tables(reader).session.generation == generation
