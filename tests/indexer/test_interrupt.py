"""Ctrl-C on the command: it finishes the running batch, and the same command continues later."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import firstsight
from firstsight.errors import MissingDatabaseError
from firstsight.indexer.index_settings import IndexSettings
from firstsight.storage.store import Store
from tests.indexer.shop import make_shop, write_csv

pytestmark = pytest.mark.slow


def items_in(db: Path) -> int:
    try:
        return firstsight.open(db).status().items
    except MissingDatabaseError:
        return 0


FIRST_WRITE = IndexSettings().write_items


def catalogue_of(folder: Path, items: int) -> Path:
    """A catalogue whose first write comes soon, since its items are titles alone; what is left takes some seconds."""
    titles = [{"item_id": f"title-{n}", "title": f"thing number {n}"} for n in range(FIRST_WRITE)]
    return write_csv(folder / "c.csv", [*titles, *make_shop(folder, items - FIRST_WRITE)])


def test_ctrl_c_ends_with_130_and_running_again_completes(tmp_path: Path) -> None:
    """Run in one process group, as in a terminal, so that the interrupt reaches all children."""
    items = FIRST_WRITE + 300
    catalogue = catalogue_of(tmp_path / "shop", items)
    db = tmp_path / "db"
    command = [sys.executable, "-m", "firstsight", "index", str(catalogue), "--db", str(db), "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not items_in(db):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            raise AssertionError(process.communicate())
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "stopping: the current batch is finished first" in err
    assert "stopped before the end; run the same command again to go on from here" in err
    assert "Traceback" not in err
    report = json.loads(out)
    assert report["outcome"] == "stopped"
    done = report["counts"]["encoded"]
    assert done < items
    assert firstsight.open(db).status().items == done
    more = max(done, FIRST_WRITE) + 20  # a slow machine writes before FIRST_WRITE items are ready
    again = catalogue_of(tmp_path / "shop", more)
    finished = subprocess.run([*command[:4], str(again), *command[5:]], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    counts = json.loads(finished.stdout)["counts"]
    assert counts["items"] == more


def test_ctrl_c_while_waiting_for_another_writer_ends_at_once(tmp_path: Path) -> None:
    catalogue = write_csv(tmp_path / "shop" / "c.csv", make_shop(tmp_path / "shop", 3))
    store = Store.create(tmp_path / "db", firstsight.load_encoder("starter").spec)
    command = [sys.executable, "-m", "firstsight", "index", str(catalogue), "--db", str(tmp_path / "db")]
    with store.writing():
        process = subprocess.Popen([*command, "--wait", "600"], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        waits = process.stderr.readline()
        assert f"is being written by process {os.getpid()}" in waits
        assert waits.endswith("waiting for it up to 600 s\n")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert store.items.count_rows() == 0
