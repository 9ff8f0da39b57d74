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


def test_the_run_starts_with_the_columns_it_uses(run_on_terminal: Run, own_db: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("customer_id,visitor_id,sku,note,date\nann,v1,x,,2026-05-01\n,v2,y,,2026-05-02\n")
    code, out, err = run_on_terminal("events", "add", str(log), "--db", str(own_db))
    assert code == 0
    assert err.splitlines()[:6] == [
        f"{log}: CSV",
        "  for        column      filled  not used",
        "  user_id    visitor_id  100%    customer_id",
        "  item_id    sku         100%",
        "  timestamp  date        100%",
        "not read: note",
    ]
    assert out.splitlines()[1].split() == ["2", "2", "0", "0", "2"]
    assert run_on_terminal("events", "add", str(log), "--db", str(own_db), "--quiet") == (0, "", "")


def test_a_dry_run_shows_three_events_and_writes_none(run: Run, own_db: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text('who,"what, long",position\n' + "".join(f"ann,item-{n},{n}\n" for n in range(5)))
    mapping = 'user_id=who,item_id="what, long"'
    arguments = ["events", "add", str(log), "--db", str(own_db), "--map", mapping, "--order", "position"]
    code, out, err = run(*arguments, "--dry-run", "--json")
    said = json.loads(out)
    assert code == 0
    assert said["columns"] == {"user_id": ["who"], "item_id": ["what, long"]}
    assert [event["item_id"] for event in said["events"]] == ["item-0", "item-1", "item-2"]
    assert "  ann      item-2   2000-01-01 00:00:02         1" in err.splitlines()
    assert "item-3" not in err
    assert "recency has no meaning" in err
    assert json.loads(run("events", "status", "--db", str(own_db), "--json")[1])["events"] == 0
    said = json.loads(run(*arguments, "--json")[1])
    assert (said["added"], said["time_unit"], said["order"]) == (5, "order", "position")


def test_a_mapping_that_cannot_be_read_is_wrong_usage(run: Run, own_db: Path, tmp_path: Path) -> None:
    code, _, err = run("events", "add", str(tmp_path / "log.csv"), "--db", str(own_db), "--map", "item=sku")
    assert code == 2
    assert "'item' is not one of" in err


def test_weights_of_types_are_shown_set_and_reset(run: Run, own_db: Path) -> None:
    shown = json.loads(run("events", "weights", "--db", str(own_db), "--json")[1])
    assert (shown["other"], shown["purchase"]) == (1, 2)
    assert json.loads(run("events", "weights", "purchase=3", "--db", str(own_db), "--json")[1])["purchase"] == 3
    changed = json.loads(run("events", "weights", "search click=2", "--db", str(own_db), "--json")[1])
    assert (changed["purchase"], changed["search click"]) == (3, 2)
    assert json.loads(run("events", "weights", "--reset", "--db", str(own_db), "--json")[1]) == shown
    assert run("events", "weights", "purchase", "--db", str(own_db))[0] == 2
    code, _, err = run("events", "weights", "adore=2", "--db", str(own_db))
    assert (code, "the types are other, view" in err) == (2, True)


def test_a_dry_run_shows_queries(run: Run, own_db: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user_id,keyword,item_id,timestamp\nann,red shoes,,2026-05-01\nann,,x,2026-05-01\n")
    err = run("events", "add", str(log), "--db", str(own_db), "--dry-run")[2]
    assert "  query      keyword    50%" in err.splitlines()
    assert "  ann               2026-05-01 00:00:00         1       red shoes" in err.splitlines()
