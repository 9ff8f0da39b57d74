"""Databases of earlier layouts: readable as they are, upgraded by the first write or the command, safe to kill."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pytest
from lancedb.background_loop import LOOP

import firstsight
from firstsight.database import open_tables
from firstsight.errors import DatabaseBusyError, MissingDatabaseError, StoreError
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.policy.policies import load_policies
from firstsight.safety.review.review_actions import decide
from firstsight.storage import tables
from firstsight.storage.layout import store_layout
from firstsight.storage.store import Store
from firstsight.storage.upgrade import STEPS, UpgradeReport, UpgradeStep, apply_upgrade, plan_upgrade
from tests.conftest import EARLIER_LAYOUTS
from tests.indexer.shop import ColourEncoder, index, write_csv
from tests.storage import upgrade_step
from tests.storage.earlier_databases import ALLOWED, APPEALED, BLOCKED, OVERTURNED, files, read_all, read_only, rows

MARKING = (UpgradeStep(tables.CURRENT_LAYOUT, "tests.storage.upgrade_step"),)


@pytest.fixture
def db(earlier_db: Path, tmp_path: Path) -> Path:
    """A copy for writes."""
    return shutil.copytree(earlier_db, tmp_path / "db")


def layout(db: Path) -> int:
    return firstsight.open(db).status().layout


# ---- reading


@pytest.mark.slow
def test_a_database_of_an_earlier_layout_is_read_and_not_a_file_of_it_changes(db: Path) -> None:
    before = files(db)
    with read_only(db):  # root can still write; the check of changed files covers root
        found = read_all(db)
    assert found["search"][0][0] == "sneakers-red"
    assert found["by words"] == [APPEALED]
    assert found["failures"] == ["teapot-blue"]
    assert (found["events"], len(found["recommend"]), len(found["semantic ids"])) == (160, 5, 40)
    assert found["blocked"] == [APPEALED, BLOCKED]
    assert found["decided"] == {BLOCKED: "block", ALLOWED: "allow", APPEALED: "block", OVERTURNED: "allow"}
    assert found["appeals"] == [APPEALED]
    assert files(db) == before
    assert layout(db) < tables.CURRENT_LAYOUT


# ---- the first write


@pytest.mark.slow
def test_the_first_write_upgrades_and_all_is_read_as_before(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    before, earlier = read_all(db), layout(db)
    firstsight.open(db).remove(["no such item"])
    assert layout(db) == tables.CURRENT_LAYOUT
    assert (
        f"{db}: upgrade from layout {earlier} to layout {tables.CURRENT_LAYOUT}, less than a second" in caplog.messages
    )
    assert read_all(db) == before


def add_events(opened: firstsight.Database, folder: Path) -> None:
    event = {"user_id": "user-99", "item_id": "bananas", "timestamp": "2026-02-01T10:00:00Z"}
    opened.events.add(write_csv(folder / "events.csv", [event]))


def add_a_title(opened: firstsight.Database, folder: Path) -> None:
    opened.index(write_csv(folder / "c.csv", [{"item_id": "new", "title": "new"}]))


def block(opened: firstsight.Database, folder: Path) -> None:
    log, policies = AuditLog.of(opened.uri), load_policies(None)
    how: dict[str, Any] = {"policies": policies, "policy_ids": ["weapons"], "reason": "a blade", "by": "reviewer"}
    decide(open_tables(opened), log, "ice-skate", "block", **how)


WRITES: list[Callable[[firstsight.Database, Path], object]] = [
    add_events,
    add_a_title,
    block,
    lambda opened, folder: opened.maintenance.optimize(),
    lambda opened, folder: opened.semantic_ids.assign(),
    lambda opened, folder: opened.cold_start.use(None),
    lambda opened, folder: opened.rerankers.drop(),
    lambda opened, folder: opened.recommend("user-1", k=2, log=True),
]


@pytest.mark.slow
def test_whatever_is_written_first_upgrades(earlier_db: Path, tmp_path: Path) -> None:
    for n, write in enumerate(WRITES):
        db = shutil.copytree(earlier_db, tmp_path / f"db-{n}")
        write(firstsight.open(db), tmp_path)
        assert layout(db) == tables.CURRENT_LAYOUT, n


def test_a_database_of_this_layout_is_not_upgraded(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    firstsight.open(db).maintenance.upgrade()
    before = rows(db)
    for _ in range(2):
        firstsight.open(db).remove(["no such item"])
    assert caplog.messages == []
    assert rows(db) == before


def test_a_database_whose_items_were_restored_to_before_is_upgraded_again(db: Path) -> None:
    before = Store.open(db)
    firstsight.open(db).maintenance.upgrade()
    Store.open(db).items.restore(before.items.version)
    assert layout(db) == before.layout
    assert firstsight.open(db).maintenance.upgrade().due
    assert layout(db) == tables.CURRENT_LAYOUT


def test_of_two_that_write_first_one_upgrades(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, other = Store.open(db), Store.open(db)
    with one.writing():
        with pytest.raises(DatabaseBusyError), other.writing():
            pass
        assert layout(db) == tables.CURRENT_LAYOUT
    with other.writing():
        assert other.layout == tables.CURRENT_LAYOUT
    assert sum("upgrade from layout" in line for line in caplog.messages) == 1


def test_without_a_lock_two_that_upgrade_at_once_end_with_one_upgrade(layout_1_db: Path, tmp_path: Path) -> None:
    db = shutil.copytree(layout_1_db, tmp_path / "db")
    Store.open(db).views.drop_columns(["version"])
    address = f"file://{db}"  # counts as an object store
    one, other = Store.open(address), Store.open(address)
    assert [apply_upgrade(store).after for store in (one, other)] == [tables.CURRENT_LAYOUT] * 2
    assert Store.open(db).views.schema.names.count("version") == 1
    assert layout(db) == tables.CURRENT_LAYOUT


@pytest.mark.slow
def test_the_columns_that_views_of_early_databases_lack_are_added(layout_1_db: Path, tmp_path: Path) -> None:
    db = shutil.copytree(layout_1_db, tmp_path / "db")
    Store.open(db).views.drop_columns(["version", "start_s"])
    found = read_all(db)
    report = firstsight.open(db).maintenance.upgrade()
    assert [change.does for change in report.changes][-1:] == [
        "Add empty columns to the table of views: start_s, version, text, line_starts, language."
    ]
    assert set(Store.open(db).views.schema.names) == set(tables.views_schema(384).names)
    assert read_all(db) == found


# ---- by hand


def test_a_dry_run_says_what_there_is_to_do_and_changes_no_file(db: Path) -> None:
    before, earlier = files(db), layout(db)
    plan = firstsight.open(db).maintenance.upgrade(dry_run=True)
    assert (plan.before, plan.after, plan.due, plan.dry_run) == (earlier, tables.CURRENT_LAYOUT, True, True)
    assert plan.describe() == f"upgrade from layout {earlier} to layout {tables.CURRENT_LAYOUT}, less than a second"
    assert files(db) == before


def test_an_upgrade_does_what_the_dry_run_said_and_a_second_one_nothing(db: Path) -> None:
    plan = firstsight.open(db).maintenance.upgrade(dry_run=True)
    said: list[str] = []
    done = firstsight.open(db).maintenance.upgrade(on_progress=said.append)
    assert replace(done, seconds=0.0, dry_run=True) == plan
    assert said == [plan.describe(), *(change.does for change in plan.changes)]
    before = rows(db)
    again = firstsight.open(db).maintenance.upgrade()
    assert (again.due, again.changes, again.before, again.after) == (
        False,
        (),
        tables.CURRENT_LAYOUT,
        tables.CURRENT_LAYOUT,
    )
    assert rows(db) == before


def test_a_page_of_a_snapshot_of_before_is_cut_from_the_same_ranking(db: Path) -> None:
    opened = firstsight.open(db)
    first = opened.search("shoes", k=3)
    both = [result.item_id for result in opened.search("shoes", k=6)]
    opened.maintenance.upgrade()
    second = opened.search("shoes", k=3, offset=3, snapshot=first.snapshot)
    assert [result.item_id for result in [*first, *second]] == both


def test_a_newer_layout_is_refused_and_by_readers_that_opened_it_before(db: Path) -> None:
    reader, writer = firstsight.open(db), Store.open(db)
    assert reader.count() == 40
    store_layout(lancedb.connect(db).open_table("items"), tables.CURRENT_LAYOUT + 1)
    newer = rf"was written by a newer firstsight \(layout {tables.CURRENT_LAYOUT + 1}\); upgrade firstsight"
    for read in (reader.count, firstsight.open(db).count, firstsight.open(db).maintenance.upgrade):
        with pytest.raises(StoreError, match=newer):
            read()
    with pytest.raises(StoreError, match=newer), writer.writing():
        pass


def test_a_database_made_by_this_code_says_its_layout_to_earlier_code(tmp_path: Path) -> None:
    """Code of layout 1 reads only the metadata of the schema."""
    firstsight.open(tmp_path / "db", encoder=ColourEncoder()).index(
        write_csv(tmp_path / "c.csv", [{"item_id": "a", "title": "a"}])
    )
    metadata = Store.open(tmp_path / "db").items.schema.metadata
    assert json.loads(metadata[tables.SPEC_KEY])["format"] == tables.CURRENT_LAYOUT


def test_what_is_no_database_is_answered(tmp_path: Path) -> None:
    with pytest.raises(MissingDatabaseError, match="there is no database at"):
        firstsight.open(tmp_path / "nothing").maintenance.upgrade()
    others: list[dict[bytes | str, bytes | str]] = [{}, {tables.SPEC_KEY: b"no json"}, {tables.SPEC_KEY: b"[]"}]
    for n, metadata in enumerate(others):
        folder = tmp_path / f"other-{n}"
        schema = pa.schema([pa.field("item_id", pa.string())], metadata=metadata)
        lancedb.connect(folder).create_table("items", schema=schema)
        with pytest.raises(StoreError, match="has an items table that firstsight did not make; choose another --db"):
            firstsight.open(folder).maintenance.upgrade(dry_run=True)


# ---- kills


READS = {
    *(f"AsyncConnection.{name}" for name in ("open_table", "list_tables")),
    *(
        f"AsyncTable.{name}"
        for name in ("version", "schema", "checkout_latest", "count_rows", "_execute_query", "list_indices")
    ),
    "AsyncRecordBatchReader.__anext__",
}
"""Calls into LanceDB after which a kill finds nothing new on the disk; any other may be a write."""


@contextmanager
def killed_before_each_write(db: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Path]]]:
    """Copy a database before each of LanceDB's writes, whoever makes them: a kill at that moment leaves these files."""
    killed: list[tuple[str, Path]] = []  # the write, and the database without it
    real = LOOP.run

    def copied(call: Any) -> Any:  # a coroutine of LanceDB's
        if call.__qualname__ not in READS:
            killed.append((call.__qualname__, shutil.copytree(db, db.with_name(f"{db.name}-{len(killed)}"))))
        return real(call)  # type: ignore[no-untyped-call]

    with monkeypatch.context() as patch:
        patch.setattr(LOOP, "run", copied)
        yield killed


@pytest.mark.slow
def test_an_upgrade_may_die_after_any_write(layout_1_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shutil.copytree(layout_1_db, tmp_path / "whole")
    Store.open(whole).views.drop_columns(["version"])

    def act(store: Store) -> UpgradeReport:
        with store.locked():
            return apply_upgrade(store, steps=(*STEPS, *MARKING))

    store = Store.open(whole)
    with killed_before_each_write(whole, monkeypatch) as killed:
        assert act(store).encode_again == 20
    writes = [write for write, _ in killed]
    assert {"AsyncTable.add_columns", "AsyncTable.update", "AsyncTable.update_field_metadata"} <= set(writes)
    assert writes[-1] == "AsyncTable.update_field_metadata"  # the number of the layout
    expected = rows(whole)
    for _, db in killed:
        again = act(Store.open(db))
        assert (again.due, again.after, again.encode_again) == (True, tables.CURRENT_LAYOUT, 20)
        assert rows(db) == expected


# ---- items to encode again


def test_items_to_be_encoded_again_are_counted_and_encoded_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = write_csv(tmp_path / "c.csv", [{"item_id": f"i{n}", "title": f"thing {n}"} for n in range(10)])
    with monkeypatch.context() as before:
        before.setattr(tables, "CURRENT_LAYOUT", 1)
        index(tmp_path / "db", catalogue)
    store = Store.open(tmp_path / "db")
    plan = plan_upgrade(store, steps=MARKING)
    assert (plan.encode_again, plan.describe()) == (
        5,
        f"upgrade from layout 1 to layout {tables.CURRENT_LAYOUT}, about 90 s",
    )
    assert [change.does for change in plan.changes] == ["Say so in a sentence.", "Mark items."]
    said: list[str] = []
    with store.locked():
        done = apply_upgrade(store, steps=MARKING, on_progress=said.append)
    assert done.encode_again == 5
    assert said[-1] == "5 items must be encoded again: the next firstsight index does it"
    assert [r.item_id for r in firstsight.open(tmp_path / "db", encoder=ColourEncoder()).search("thing 0", k=1)] == [
        "i0"
    ]
    counts = index(tmp_path / "db", catalogue).counts
    assert (counts.encoded, counts.unchanged) == (5, 5)


def test_readers_go_on_during_an_upgrade(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = firstsight.open(db)
    found = [[r.item_id for r in reader.search("running shoes", k=3)]]
    monkeypatch.setattr(
        upgrade_step, "during", lambda: found.append([r.item_id for r in reader.search("running shoes", k=3)])
    )
    store = Store.open(db)
    with store.locked():
        apply_upgrade(store, steps=MARKING)
    assert len(found) == 3
    assert found == [found[0]] * 3


def test_layouts_are_gone_through_one_after_another(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill in the second leaves the database in the first."""
    newest = tables.CURRENT_LAYOUT
    monkeypatch.setattr(tables, "CURRENT_LAYOUT", newest + 1)
    monkeypatch.setattr(upgrade_step, "during", lambda: pytest.fail("killed"))
    steps = (*STEPS, UpgradeStep(newest + 1, "tests.storage.upgrade_step"))
    store = Store.open(db)
    with store.locked(), pytest.raises(pytest.fail.Exception):
        apply_upgrade(store, steps=steps)
    assert layout(db) == newest
    monkeypatch.undo()
    assert firstsight.open(db).maintenance.upgrade().due is False


# ---- the list of steps


def test_every_layout_has_its_steps_and_a_database_that_was_kept() -> None:
    assert sorted({step.layout for step in STEPS}) == list(range(2, tables.CURRENT_LAYOUT + 1))
    assert [step.layout for step in STEPS] == sorted(step.layout for step in STEPS)
    assert {path.name for path in EARLIER_LAYOUTS} >= {f"layout-{n}.tar.gz" for n in range(1, tables.CURRENT_LAYOUT)}


def test_every_step_can_be_loaded() -> None:
    for step in STEPS:
        module = importlib.import_module(step.module)
        assert callable(module.plan), step.module
        assert callable(module.apply), step.module
