"""`firstsight optimize`, and what `status` tells of the index."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from firstsight.cli.catalogue.inspect import search_effort
from firstsight.cli.main import main
from firstsight.storage.indexes.upkeep import TableState
from firstsight.storage.indexes.vector_index import IndexTuning


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["firstsight", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


def test_optimize_prints_what_it_did_and_status_lists_it(
    sample_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    db = str(shutil.copytree(sample_db, tmp_path / "db"))
    assert call(monkeypatch, "optimize", "--db", db, "--json") == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert [table["after"]["table"] for table in report["tables"]] == ["items", "views", "failures", "runs"]
    assert all(table["steps"] == ["compact"] for table in report["tables"])
    assert "items: merging files" in err
    assert call(monkeypatch, "status", "--db", db, "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert [run["run_id"] for run in status["upkeep"]] == [report["run_id"]]
    assert len(status["runs"]) == 1
    assert [table["table"] for table in status["tables"]] == ["items", "views"]


def test_optimize_of_no_database_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "optimize", "--db", str(tmp_path / "none")) == 2
    assert "make one with: firstsight index" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recall", "said"),
    [
        (0.97, "index, recall@10 0.970; 4 of 24 partitions, refined x10; 500 rows not indexed"),
        (0.91, "index, recall@10 0.910, below 0.95 at maximum effort; 4 of 24 partitions"),
        (None, "index, recall not measured: run firstsight optimize; 4 of 24"),
    ],
)
def test_status_says_how_a_table_is_searched(recall: float | None, said: str) -> None:
    state = TableState("items", 100_000, 3, 10, True, 500, 1, IndexTuning(100_000, 24, 4, 10, recall))
    assert search_effort(state).startswith(said)


def test_a_table_without_an_index_is_searched_exactly() -> None:
    assert search_effort(TableState("items", 10, 1, 1, False, 0, 0, None)) == "exact"
