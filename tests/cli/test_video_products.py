"""`firstsight video-products` as its users meet it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cli.calling import Run, parse_json_lines


def test_products_are_proposed_listed_and_decided(
    run: Run, run_on_terminal: Run, sample_db: Path, tmp_path: Path
) -> None:
    db = ["--db", str(shutil.copytree(sample_db, tmp_path / "db"))]
    assert parse_json_lines(run("video-products", "list", *db)[1]) == []
    code, out, err = run("video-products", "propose", "--video", "video-kitchen-haul", *db)
    assert code == 0, err
    (report,) = parse_json_lines(out)
    assert (report["videos"], report["new"]) == (1, report["proposed"])

    entries = parse_json_lines(run("video-products", "list", "--state", "proposed", *db)[1])
    assert {"espresso-cup", "grapes"} <= {entry["product_id"] for entry in entries}
    ids = {entry["product_id"]: entry["entry_id"] for entry in entries}
    assert run("video-products", "accept", ids["grapes"], "--by", "ana", *db) == (0, "", "accepted 1\n")
    assert run("video-products", "reject", ids["espresso-cup"], *db) == (0, "", "rejected 1\n")

    (shown,) = parse_json_lines(run("video-products", "list", "--product", "grapes", *db)[1])
    assert (shown["state"], shown["decided_by"]) == ("accepted", "ana")
    table = run_on_terminal("video-products", "list", "--video", "video-kitchen-haul", *db)[1]
    assert "0:05" in table
    assert "accepted" in table
    assert "espresso" not in table
    similar = run_on_terminal("similar", "grapes", *db)[2]
    assert "shown at 0:05 in video-kitchen-haul" in similar


def test_wrong_calls_say_what_to_do(run: Run) -> None:
    code, _, err = run("video-products", "list", "--state", "new")
    assert (code, "the states are proposed, accepted, rejected" in err) == (2, True)
    code, _, err = run("video-products", "list", "--video", "a", "--product", "b")
    assert (code, "cannot be combined with --video" in err) == (2, True)
    code, _, err = run("video-products", "accept", "a#b#1.00")
    assert (code, "there is no entry 'a#b#1.00'" in err) == (2, True)
