"""`firstsight semantic-ids` as its users meet it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

import firstsight
from tests.cli.calling import Run, parse_json_lines


@pytest.mark.slow
def test_ids_are_fitted_listed_exported_and_searched_by(run: Run, sample_db: Path, tmp_path: Path) -> None:
    path = tmp_path / "db"
    shutil.copytree(sample_db, path)
    db = ["--db", str(path)]
    assert run("semantic-ids", "status", *db) == (
        0,
        "",
        "no semantic IDs yet; run first: firstsight semantic-ids fit\n",
    )
    code, out, err = run("semantic-ids", "fit", *db)
    assert code == 0, err
    (made,) = parse_json_lines(out)
    assert (made["version"], made["levels"], made["waiting"]) == (1, 3, 0)
    assert parse_json_lines(run("semantic-ids", "status", *db)[1]) == [made]
    assert parse_json_lines(run("semantic-ids", "assign", *db)[1]) == [{"new": 0} | made]

    shown = parse_json_lines(run("semantic-ids", "export", *db)[1])
    assert len(shown) == made["assigned"]
    for name in ("ids.jsonl", "ids.csv"):
        assert run("semantic-ids", "export", "--out", str(tmp_path / name), *db)[0] == 0
    assert [json.loads(line) for line in (tmp_path / "ids.jsonl").read_text().splitlines()] == shown
    with (tmp_path / "ids.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["semantic_id"] for row in rows] == [row["semantic_id"] for row in shown]
    assert rows[0]["tokens"].split() == [str(token) for token in shown[0]["tokens"]]

    prefix = shown[0]["semantic_id"].split("-")[0]
    wanted = {row["item_id"] for row in shown if row["semantic_id"].startswith(f"{prefix}-")}
    where = ["--where", f"semantic_id LIKE '{prefix}-%'", "--collapse", "none"]
    found = run("search", "a thing", "--mode", "vector", "-k", "100", *where, *db)
    assert {row["item_id"] for row in parse_json_lines(found[1])} == wanted


def test_an_export_says_what_is_wrong(run: Run, sample_db: Path, tmp_path: Path) -> None:
    db = ["--db", str(sample_db)]
    code, _, err = run("semantic-ids", "export", "--out", str(tmp_path / "ids.csv"), *db)
    assert (code, (tmp_path / "ids.csv").exists()) == (2, False)
    assert "firstsight semantic-ids fit" in err
    assert run("semantic-ids", "export", "--out", "ids.xlsx", *db)[0] == 2


@pytest.mark.slow
def test_an_index_run_names_what_is_new_and_changes_no_id(run: Run, sample_db: Path, tmp_path: Path) -> None:
    db = tmp_path / "db"
    shutil.copytree(sample_db, db)
    assert run("semantic-ids", "fit", "--db", str(db))[0] == 0

    def ids() -> dict[str, str]:
        return {row.item_id: row.semantic_id for row in firstsight.open(db).semantic_ids.export()}

    before = ids()
    more = tmp_path / "more.jsonl"
    more.write_text('{"item_id": "brand-new", "title": "a red electric guitar"}\n')
    code, _, err = run("index", str(more), "--db", str(db), "--quiet")
    assert code == 0, err
    after = ids()
    assert after.pop("brand-new")
    assert after == before
