"""`firstsight tags`: training, tables, JSON and corrections."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import firstsight
from tests.cli.calling import Run, parse_json_lines


@pytest.fixture
def own(sample_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Run:
    """The command on a copy of the sample index."""
    shutil.copytree(sample_db, tmp_path / "db")
    monkeypatch.setenv("FIRSTSIGHT_DB", str(tmp_path / "db"))
    return run


def test_a_tag_is_trained_explained_corrected_and_reported(own: Run, run_on_terminal: Run, tmp_path: Path) -> None:
    code, out, err = own("tags", "train", "--column", "category", "--method", "linear", "--use", "--json")
    assert code == 0, err
    (trained,) = parse_json_lines(out)
    assert trained["trained"][0]["tag"] == "category"
    assert trained["trained"][0]["comparison"]["compared_with"] in ("the prompts", "the most frequent value")
    assert trained["scored"]["by"]["category"]["catalogue"] == 75
    code, out, _ = own("tags", "explain", "lemon", "--json")
    assert (code, parse_json_lines(out)[0]["values"]) == (0, ["fruit"])
    code, out, err = run_on_terminal("tags", "explain", "lemon")
    assert "category: fruit, the catalogue's own value" in err
    assert "category: near " in err
    code, out, err = run_on_terminal("tags", "correct", "lemon", "category=toys", "--by", "ana")
    assert (code, err) == (0, "lemon: category is toys\n")
    assert "category: toys, given by ana" in run_on_terminal("tags", "explain", "lemon")[2]
    code, out, err = run_on_terminal("tags", "report", "category", "--html", str(tmp_path / "r.html"))
    assert code == 0
    assert "fruit" in out
    assert "catalogue: 1 person, 74 catalogue, 0 predicted, 0 unknown" in err
    assert (tmp_path / "r.html").exists()
    code, out, err = run_on_terminal("tags", "list")
    assert (code, out.splitlines()[1].split()[:3]) == (0, ["1", "category", "yes"])
    assert "looked at 0 items" in run_on_terminal("tags", "score")[2]
    assert own("tags", "correct", "lemon", "--withdraw", "category")[0] == 0
    assert own("tags", "remove", "category", "--yes")[0] == 0
    assert run_on_terminal("tags", "list")[1].count("yes") == 0


def test_wrong_usage_is_one_sentence(own: Run) -> None:
    assert "is not of the form TAG=VALUE" in own("tags", "correct", "lemon", "toys")[2]
    assert "--withdraw TAG" in own("tags", "correct", "lemon")[2]
    code, _, err = own("tags", "train")
    assert (code, err.count("\n")) == (1, 1)
    assert "there are no labels of the tag 'category'" in err
    assert "has no tags yet" in own("tags", "score")[2]
    assert firstsight.open().count() == 75
