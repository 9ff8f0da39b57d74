"""`firstsight events`, on a copy of the sample index."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.calling import Run


@pytest.fixture
def own_db(sample_db: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample_db, tmp_path / "db"))


def test_events_are_added_and_counted(run: Run, own_db: Path, tmp_path: Path) -> None:
    known = json.loads(run("search", "shoes", "-k", "1", "--db", str(own_db), "--json")[1].splitlines()[0])["item_id"]
    log = tmp_path / "log.csv"
    log.write_text(
        f"user_id,item_id,timestamp,weight\nu,{known},1700000000,2\nu,gone,1700000001,\nv,{known},1700000002,nan\n"
    )
    code, out, err = run("events", "add", str(log), "--db", str(own_db), "--json")
    assert code == 0
    said = json.loads(out)
    assert [said[name] for name in ("rows", "added", "refused", "unknown", "time_unit")] == [3, 2, 1, 1, "s"]
    assert "timestamps are seconds since 1970" in err
    assert "log.csv, line 4: weight 'nan'" in err
    assert "1 events are on items that are not indexed" in err
    status = json.loads(run("events", "status", "--db", str(own_db), "--json")[1])
    assert (status["events"], status["users"], status["unknown_items"]) == (2, 1, 1)


def test_without_events_status_says_how_to_add_some(run: Run, own_db: Path, tmp_path: Path) -> None:
    code, out, _ = run("events", "status", "--db", str(own_db))
    assert code == 0
    assert json.loads(out)["events"] == 0
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id,timestamp\nu,x,7\n")
    code, _, err = run("events", "add", str(log), "--db", str(own_db))
    assert code == 1
    assert "--time-unit" in err
