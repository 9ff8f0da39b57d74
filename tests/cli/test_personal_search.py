"""`firstsight personal-search`, on a copy of the sample index."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.calling import Run


@pytest.fixture
def own_db(sample_db: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample_db, tmp_path / "db"))


def test_without_versions_searches_are_the_same_for_everybody(run: Run, own_db: Path) -> None:
    assert run("personal-search", "list", "--db", str(own_db), "--json") == (0, "", "")
    assert run("personal-search", "use", "none", "--db", str(own_db))[0] == 0
    code, _, err = run("personal-search", "use", "3", "--db", str(own_db))
    assert (code, "there is no version of personal search 3" in err) == (2, True)
    assert run("personal-search", "use", "newest", "--db", str(own_db))[0] == 2
    plain = run("search", "shoes", "-k", "3", "--db", str(own_db), "--json")
    assert run("search", "shoes", "-k", "3", "--user", "u", "--db", str(own_db), "--json")[1] == plain[1]


def test_a_fit_without_enough_clicks_says_what_is_missing(run: Run, own_db: Path, tmp_path: Path) -> None:
    code, _, err = run("personal-search", "fit", "--db", str(own_db))
    assert (code, "firstsight events add" in err) == (2, True)
    known = json.loads(run("search", "shoes", "-k", "1", "--db", str(own_db), "--json")[1].splitlines()[0])["item_id"]
    log = tmp_path / "log.csv"
    log.write_text(f"user_id,query,item_id,timestamp\nu,,{known},1700000000\nu,shoes,{known},1700000001\n")
    run("events", "add", str(log), "--db", str(own_db))
    code, _, err = run("personal-search", "fit", "--db", str(own_db))
    assert (code, "1 searches are usable, and 100 are needed" in err) == (2, True)
