"""`firstsight recommend` and `firstsight similar` as their users meet them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.calling import Run, parse_json_lines


@pytest.mark.slow
def test_a_history_is_answered_with_a_slate(run: Run, sample_db: Path) -> None:
    code, out, err = run(
        *("recommend", "--history", "guitar-acoustic, violin", "-k", "6", "--kind", "product=4", "--kind", "video=2"),
        *("--db", str(sample_db), "--seed", "1"),
    )
    assert (code, err) == (0, "")
    shown = parse_json_lines(out)
    assert [one["slot"] for one in shown] == list(range(6))
    assert sorted(one["kind"] for one in shown) == ["product"] * 4 + ["video"] * 2
    assert shown[0].keys() >= {"slate_id", "item_id", "title", "score", "source", "because", "explore", "propensity"}
    assert run("recommend", "--history", "violin", "--db", str(sample_db), "--seed", "1")[1] != out


def test_a_stranger_and_missing_items_are_told_on_stderr(run: Run, sample_db: Path) -> None:
    code, out, err = run("recommend", "--user", "u9", "--kind", "video=9", "-k", "10", "--db", str(sample_db))
    assert code == 0
    assert "user 'u9' has no events on items of this database: popular and new items" in err
    assert "6 slots of video are left out" in err
    assert len(parse_json_lines(out)) == 4


def test_a_slate_is_logged_and_an_items_users_are_named(run: Run, sample_db: Path, tmp_path: Path) -> None:
    path = tmp_path / "db"
    shutil.copytree(sample_db, path)
    db = ("--db", str(path))
    events = tmp_path / "events.csv"
    events.write_text("user_id,item_id,timestamp\nu1,violin,1790000000\nu1,drum-kit,1790000100\nu2,grapes,1790000200\n")
    assert run("events", "add", str(events), "--time-unit", "s", *db)[0] == 0
    code, out, err = run("recommend", "--user", "u1", "--log", *db)
    assert (code, "logged as slate " + parse_json_lines(out)[0]["slate_id"] in err) == (0, True)
    users = parse_json_lines(run("recommend", "--for-item", "guitar-acoustic", *db)[1])
    assert [one["user_id"] for one in users] == ["u1", "u2"]
    assert users[0]["because"] in {"violin", "drum-kit"}


def test_a_profile_is_a_file(run: Run, sample_db: Path, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({"history": ["violin"], "age": 30}))
    code, out, _ = run("recommend", "--json-profile", str(path), "-k", "3", "--db", str(sample_db))
    assert (code, len(parse_json_lines(out))) == (0, 3)


def test_similar_items_are_listed(run: Run, sample_db: Path) -> None:
    code, out, _ = run("similar", "guitar-acoustic", "-k", "3", "--db", str(sample_db))
    shown = parse_json_lines(out)
    assert code == 0
    assert len(shown) == 3
    assert "guitar-acoustic" not in [one["item_id"] for one in shown]
    assert [one["score"] for one in shown] == sorted((one["score"] for one in shown), reverse=True)


def test_similar_videos_are_listed_with_their_moment(run: Run, sample_db: Path) -> None:
    arguments = ("similar", "grapes", "-k", "2", "--columns", "item,moment", "--csv", "--db", str(sample_db))
    assert run(*arguments)[1].splitlines() == ["item,moment", "fruit-basket,", "video-kitchen-haul,0:05-0:09"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("recommend", "--history", "nope"), "no item 'nope'"),
        (("recommend", "--history", ""), "history is empty"),
        (("recommend", "--kind", "live"), "NAME=NUMBER"),
        (("recommend", "--kind", "book=2"), "no kind 'book'"),
        (("recommend", "--kind", "live=30"), "more than the 20 slots"),
        (("recommend", "--cap", "brand=2"), "no column 'brand'"),
        (("recommend", "--explore", "2"), "explore is 2.0"),
        (("recommend", "--merge", "luck"), "merge is 'luck'"),
        (("recommend", "--for-item", "violin", "--user", "u"), "cannot be combined with a user"),
        (("recommend", "--for-item", "violin"), "no events"),
        (("similar", "nope"), "no item 'nope'"),
        (("similar", "violin", "--kind", "book"), "no kind 'book'"),
        (("similar", "violin", "-k", "0"), "1 to 1,000"),
    ],
)
@pytest.mark.slow
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    run: Run, sample_db: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run(*arguments, "--db", str(sample_db))
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err
