"""Killed at any moment and run again, the tables equal those of a run that was never killed."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import firstsight
from firstsight.indexer.index_settings import IndexSettings
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


# ---- SIGKILL, at random moments


def test_killed_at_ten_random_moments_and_run_again(tmp_path: Path, start_worker: StartWorker) -> None:
    season = ChangingCatalogue(tmp_path / "shop", 80)
    dice = random.Random(20260501)
    five_kills(None, season.before(), tmp_path / "new", start_worker, dice)
    five_kills(tmp_path / "new" / "whole", season.after(), tmp_path / "changed", start_worker, dice)


def five_kills(before: Path | None, source: Path, folder: Path, start_worker: StartWorker, dice: random.Random) -> None:
    """Kill a run five times over, each time from the same start and at another moment, and run it again."""
    folder.mkdir()

    def start(name: str) -> tuple[Path, subprocess.Popen[str]]:
        db = folder / name
        if before:
            shutil.copytree(before, db)
        worker = start_worker(db=db, source=source, settings=asdict(SMALL_WRITES), prune=True)
        worker.go()
        return db, worker.process

    whole, process = start("whole")
    started = time.monotonic()
    assert process.wait() == 0
    seconds = time.monotonic() - started
    kills = trials = 0
    while kills < 5:
        trials += 1
        db, process = start(f"killed-{trials}")
        try:
            process.wait(timeout=dice.uniform(0.02, 0.9) * seconds)
            seconds *= 0.7  # it was done by then, so the machine is faster than it was
        except subprocess.TimeoutExpired:
            process.kill()
            kills += process.wait() == -9
        index(db, source, settings=SMALL_WRITES, prune=True)
        assert_same(contents(db), contents(whole))


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


def kill_everywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: Path | None, act: Callable[[Path], Any]
) -> int:
    """Die after every single write of `act` in turn and run it again: always the tables of the whole run."""
    whole = tmp_path / "whole"
    if before:
        shutil.copytree(before, whole)
    with crash_after(10_000, monkeypatch) as counted:
        act(whole)
    writes = counted[0]
    expected = contents(whole)
    for allowed in range(writes):
        db = tmp_path / f"dies-after-{allowed}"
        if before:
            shutil.copytree(before, db)
        with crash_after(allowed, monkeypatch), pytest.raises(SimulatedCrash):
            act(db)
        act(db)
        assert_same(contents(db), expected)
        shutil.rmtree(db)
    return writes


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
    retry = lambda db: firstsight.open(db, encoder=ColourEncoder()).retry()  # noqa: E731
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


def test_a_run_that_died_is_called_killed_by_the_next(tmp_path: Path, start_worker: StartWorker) -> None:
    source = ChangingCatalogue(tmp_path / "shop", 150).before()
    worker = start_worker(db=tmp_path / "db", source=source, settings=asdict(SMALL_WRITES))
    worker.go()
    items = tmp_path / "db" / "items.lance" / "_versions"
    # the table, its two word indexes, its columns, rows: by then the run is at work
    while not items.is_dir() or len(list(items.iterdir())) < 6:
        assert worker.process.poll() is None
    worker.process.kill()
    worker.process.wait()
    index(tmp_path / "db", source)
    assert [run["outcome"] for run in firstsight.open(tmp_path / "db").status().runs] == ["killed", "finished"]
