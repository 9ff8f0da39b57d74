"""`firstsight remove`."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

import firstsight
from tests.cli.calling import call_in_process, parse_json_lines


def test_items_are_removed_and_an_id_that_is_not_there_costs_the_others_nothing(
    sample_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    db = str(shutil.copytree(sample_db, tmp_path / "db"))
    run = partial(call_in_process, monkeypatch, capsys, "remove", "--db", db)
    code, out, err = run("violin", "no such item", "sneakers-red")
    assert (code, parse_json_lines(out)) == (1, [{"removed": ["violin", "sneakers-red"]}])
    assert err == f"there is no item 'no such item' in {db}\n"
    assert "violin" not in firstsight.open(db)
    assert firstsight.open(db).count() == 73
    code, out, err = run("guitar-acoustic")
    assert (code, parse_json_lines(out), err) == (0, [{"removed": ["guitar-acoustic"]}], "")
