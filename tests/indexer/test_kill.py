"""Killed at any moment and run again, the tables equal those of a run that was never killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import firstsight
from firstsight.indexer import item_writer
from firstsight.indexer.index_settings import IndexSettings
from firstsight.storage.facts.view_fact_table import StoredFact, all_view_facts, write_view_facts
from firstsight.storage.store import Store
from tests.indexer.shop import (
    ColourEncoder,
    assert_same,
    contents,
    index,
    make_shop,
    picture,
    write_csv,
    write_jsonl,
)
from tests.indexer.workers import StartWorker

pytestmark = pytest.mark.slow

SMALL_WRITES = IndexSettings(batch_size=4, text_batch_size=4, write_items=8, pictures_ahead=8)


class ChangingCatalogue:
    """A shop's catalogue before and after a change: items new, gone and edited, pictures fixed and broken."""

    def __init__(self, folder: Path, items: int) -> None:
        self.catalogue = folder / "c.csv"
        self._rows = make_shop(folder, items, broken=2)

    def before(self) -> Path:
        return write_csv(self.catalogue, self._rows)

    def after(self) -> Path:
        """Change a third of the items; takes away others."""
        folder, rows = self.catalogue.parent, [dict(row) for row in self._rows]
        (folder / "0.png").write_bytes(picture(1000))  # fixed
        (folder / "2.png").write_bytes(b"broken")
        (folder / "3.png").write_bytes(picture(1003))
        rows[4] |= {"title": "another title"}
        rows[5] |= {"images": ""}
        rows[6] |= {"price": 1.0}
        for n in range(10, len(rows), 3):
            rows[n] |= {"title": f"new season {n}"}
        gone = {7, 8, 9, len(rows) - 1}
        new = make_shop(folder / "new", 4, broken=1)
        for n, row in enumerate(new):
            row |= {"item_id": f"new-{n}", "images": f"new/{row['images']}"}
        return write_csv(self.catalogue, [row for n, row in enumerate(rows) if n not in gone] + new)


# ---- SIGKILL, within a write


def test_killed_within_a_write_and_run_again(tmp_path: Path, start_worker: StartWorker) -> None:
    season = ChangingCatalogue(tmp_path / "shop", 20)
    new, changed = tmp_path / "new", tmp_path / "changed"
    kill_within_a_write(7, None, season.before(), new, start_worker)
    kill_within_a_write(9, new / "whole", season.after(), changed, start_worker)
    outcomes = {
        folder: [run.outcome for run in firstsight.open(folder / "killed").status().runs] for folder in (new, changed)
    }
    assert outcomes == {new: ["killed", "finished"], changed: ["finished", "killed", "finished"]}


def kill_within_a_write(write: int, before: Path | None, source: Path, folder: Path, start_worker: StartWorker) -> None:
    """Kill a run once files of one of its writes are on the disk, and run it again."""
    whole, killed = folder / "whole", folder / "killed"
    if before:
        for db in (whole, killed):
            shutil.copytree(before, db)
    index(whole, source, settings=SMALL_WRITES, prune=True)
    how = {"settings": asdict(SMALL_WRITES), "prune": True}
    worker = start_worker(db=killed, source=source, die_within_write=write, **how)
    worker.go()
    assert worker.process.wait() == -9
    index(killed, source, settings=SMALL_WRITES, prune=True)
    assert_same(contents(killed), contents(whole))


# ---- every moment between two writes


class SimulatedCrash(BaseException):
    """Stands for the end of the process."""


@contextmanager
def crash_after(writes: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let a number of LanceDB writes through, then die before each one more: nothing reaches the disk any more."""
    done = [0]
    real = Store._writes

    @contextmanager
    def counted(store: Store) -> Iterator[None]:
        if done[0] >= writes:
            raise SimulatedCrash
        with real(store):
            yield
        done[0] += 1

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_writes", counted)
        yield done


@contextmanager
def killed_before_each_write(db: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Copy a database before each of LanceDB's writes to it: a kill at that moment leaves these files."""
    copies: list[Path] = []
    real = Store._writes

    @contextmanager
    def copied(store: Store) -> Iterator[None]:
        copies.append(shutil.copytree(db, folder / f"dies-after-{len(copies)}"))
        with real(store):
            yield

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_writes", copied)
        yield copies


def facts_of(db: Path) -> dict[str, dict[str, StoredFact]]:
    """Facts of all views by view id."""
    return {view_id: facts for rows in all_view_facts(Store.open(db)) for view_id, _, facts in rows}


def kill_everywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: Path | None, act: Callable[[Path], Any]
) -> int:
    """Kill `act` before every single write in turn and run it again: always the tables of the whole run."""
    whole = tmp_path / "whole"
    if before:
        shutil.copytree(before, whole)
    with killed_before_each_write(whole, tmp_path, monkeypatch) as copies:
        act(whole)
    expected, facts = contents(whole), facts_of(whole)
    for db in copies:
        act(db)
        assert_same(contents(db), expected)
        assert facts_of(db) == facts
        shutil.rmtree(db)
    return len(copies)


def test_a_first_run_may_die_after_any_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ChangingCatalogue(tmp_path / "shop", 20).before()
    writes = kill_everywhere(
        monkeypatch, tmp_path, None, lambda db: index(db, source, settings=SMALL_WRITES, prune=True)
    )
    assert writes >= 10


def test_a_run_over_a_changed_catalogue_may_die_after_any_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    season = ChangingCatalogue(tmp_path / "shop", 20)
    index(tmp_path / "before", season.before(), settings=SMALL_WRITES)
    source = season.after()
    writes = kill_everywhere(
        monkeypatch, tmp_path, tmp_path / "before", lambda db: index(db, source, settings=SMALL_WRITES, prune=True)
    )
    assert writes >= 15


def test_a_retry_may_die_after_any_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_shop(tmp_path / "shop", 12, broken=12)
    index(tmp_path / "before", write_csv(tmp_path / "shop" / "c.csv", rows), settings=SMALL_WRITES)
    for n in range(10):
        (tmp_path / "shop" / f"{n}.png").write_bytes(picture(n))
    retry = lambda db: firstsight.open(db, encoder=ColourEncoder()).indexing.retry()  # noqa: E731
    writes = kill_everywhere(monkeypatch, tmp_path, tmp_path / "before", retry)
    assert writes >= 10


def test_what_a_dead_run_wrote_of_a_version_that_was_taken_back_is_encoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = tmp_path / "c.jsonl"
    index(tmp_path / "db", write_jsonl(catalogue, [{"item_id": "a", "title": "first"}]))
    expected = contents(tmp_path / "db")
    for allowed in range(6):
        db = shutil.copytree(tmp_path / "db", tmp_path / f"db-{allowed}")
        write_jsonl(catalogue, [{"item_id": "a", "title": "second"}])
        with crash_after(allowed, monkeypatch), pytest.raises(SimulatedCrash):
            index(db, catalogue)
        index(db, write_jsonl(catalogue, [{"item_id": "a", "title": "first"}]))
        assert_same(contents(db), expected)


def test_what_a_dead_run_wrote_of_items_that_are_gone_since_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [{"item_id": "kept", "title": "kept"}]
    gone = [{"item_id": "gone", "title": "gone", "images": "gone.png"}]
    catalogue = tmp_path / "c.jsonl"
    index(tmp_path / "whole", write_jsonl(catalogue, kept))
    for allowed in range(6):
        db = tmp_path / f"db-{allowed}"
        with crash_after(allowed, monkeypatch), pytest.raises(SimulatedCrash):
            index(db, write_jsonl(catalogue, gone + kept))
        index(db, write_jsonl(catalogue, kept), prune=True)
        assert_same(contents(db), contents(tmp_path / "whole"))


def test_committed_items_are_not_encoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ChangingCatalogue(tmp_path / "shop", 40).before()
    with crash_after(12, monkeypatch), pytest.raises(SimulatedCrash):
        index(tmp_path / "db", source, settings=SMALL_WRITES)
    committed = len(contents(tmp_path / "db")["items"])
    assert committed >= 8
    encoder = ColourEncoder()
    report = index(tmp_path / "db", source, encoder, settings=SMALL_WRITES)
    assert (report.counts.unchanged, encoder.texts) == (committed, 40 - committed)


def test_a_kill_between_views_and_facts_never_leaves_facts_of_another_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_shop(tmp_path / "shop", 3)
    rows[1]["images"] = "1.png|2.png"
    source = write_csv(tmp_path / "shop" / "c.csv", rows)
    whole = tmp_path / "whole"
    index(whole, source)
    before = facts_of(whole)
    rows[1]["images"] = "2.png|1.png"
    (tmp_path / "shop" / "0.png").write_bytes(picture(100))
    write_csv(source, rows)

    def killed(store: Store, facts: Any) -> None:
        shutil.copytree(whole, tmp_path / "killed")
        write_view_facts(store, facts)

    with monkeypatch.context() as patch:
        patch.setattr(item_writer, "write_view_facts", killed)
        index(whole, source)
    assert facts_of(whole)["item-1#image-0"] == before["item-1#image-1"]
    assert facts_of(tmp_path / "killed") == {"item-2#image-0": before["item-2#image-0"]}
    index(tmp_path / "killed", source)
    assert facts_of(tmp_path / "killed") == facts_of(whole)
    assert_same(contents(tmp_path / "killed"), contents(whole))
