"""`firstsight safety` as its users meet it: from a catalogue to items that searches leave out."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from firstsight.storage.store import Store
from tests.cli.calling import Run, parse_json_lines
from tests.conftest import SAMPLE_CATALOGUE

MUSIC = "policies:\n  - {id: music, name: Music, severity: 3, prompts: [a guitar, a musical instrument, drums], "
MUSIC += "neutral_prompts: [a photo of a product, furniture, food, a hat]}\n"


@pytest.fixture
def db(sample_db: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample_db, tmp_path / "db"))


@pytest.fixture
def policies(tmp_path: Path) -> str:
    path = tmp_path / "music.yaml"
    path.write_text(MUSIC)
    return str(path)


def test_policies_are_listed_checked_and_copied(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("safety", "policies")
    assert code == 0
    assert {"weapons", "gore"} <= {row["id"] for row in parse_json_lines(out)}
    copied = tmp_path / "mine.yaml"
    copied.write_text(run("safety", "policies", "--yaml")[1])
    assert run("safety", "policies", "--policies", str(copied))[1] == out
    copied.write_text("policies: [{id: Bad Id}]")
    code, _, err = run("safety", "policies", "--policies", str(copied))
    assert (code, err.count("\n")) == (1, 1)
    assert "id 'Bad Id' must be lower-case" in err


@pytest.mark.slow
def test_a_policy_is_of_use_before_there_are_labels(run: Run, db: Path, policies: str) -> None:
    asked = ["--policies", policies, "--db", str(db)]
    code, out, err = run("safety", "score", *asked, "--review-budget", "0.1")
    assert code == 0, err
    (report,) = parse_json_lines(out)
    assert report["zero_shot"] == ["music"]
    assert (report["scored"], report["block"]) == (75, 0)
    assert 1 <= report["review"] <= 8
    reviewed = {
        r["item_id"]
        for r in parse_json_lines(
            run("search", "music", "-k", "75", "--where", "safety_decision = 'review'", "--db", str(db))[1]
        )
    }
    musical = {
        "guitar-acoustic",
        "guitar-electric",
        "bass-guitar",
        "drum-kit",
        "xylophone",
        "violin",
        "trumpet",
        "gramophone",
    }
    musical |= {"video-guitar-lesson", "live-band-night"}
    assert len(reviewed & musical) >= len(reviewed) * 0.7
    told = parse_json_lines(run("safety", "explain", sorted(reviewed)[0], *asked)[1])[0]
    assert (told["decision"], told["scores"][0]["calibrated"]) == ("review", False)
    assert told["evidence"][0]["source"] == "zero_shot"
    assert parse_json_lines(run("safety", "score", *asked)[1])[0]["scored"] == 0


@pytest.mark.slow
def test_labels_become_a_head_and_what_it_blocks_is_not_found(
    run: Run, db: Path, policies: str, tmp_path: Path
) -> None:
    asked = ["--policies", policies, "--db", str(db)]
    labels = tmp_path / "labels.csv"
    with SAMPLE_CATALOGUE.open() as file:
        rows = [(row["item_id"], int(row["category"] == "music")) for row in csv.DictReader(file)]
    labels.write_text("item_id,policy,label\n" + "".join(f"{item_id},music,{label}\n" for item_id, label in rows))
    code, out, err = run("safety", "train", str(labels), *asked, "--precision", "0.5", "--recall", "0.5")
    assert code == 0, err
    (head,) = parse_json_lines(out)
    assert (head["policy"], head["promoted"], head["held_out"]) == ("music", True, "cross-fitted")
    assert head["average_precision"] > 0.8
    assert parse_json_lines(run("safety", "heads", "--db", str(db))[1])[0]["version"] == 1
    (report,) = parse_json_lines(run("safety", "score", *asked)[1])
    blocked = set(
        Store.open(db).items.search().where("safety_decision = 'block'").limit(None).to_arrow()["item_id"].to_pylist()
    )
    assert report["block"] == len(blocked) > 0
    search = ["search", "acoustic guitar", "-k", "75", "--db", str(db)]
    assert not {r["item_id"] for r in parse_json_lines(run(*search)[1])} & blocked
    assert {r["item_id"] for r in parse_json_lines(run(*search, "--include-blocked")[1])} >= blocked


def test_a_catalogue_that_changes_lifts_no_block(run: Run, db: Path) -> None:
    store = Store.open(db)
    with store.writing():
        store.write_safety({i: {"safety_decision": "block"} for i in ("tulips", "geranium")})
    text = SAMPLE_CATALOGUE.read_text().replace("Bunch of pink tulips", "Bunch of very pink tulips")
    again = db.parent / "catalogue.jsonl"
    rows = [row for row in csv.DictReader(text.splitlines()) if row["item_id"] in {"tulips", "geranium"}]
    again.write_text(
        "".join(json.dumps({"item_id": r["item_id"], "title": r["title"], "price": 1}) + "\n" for r in rows)
    )
    assert run("index", str(again), "--db", str(db), "--quiet")[0] == 0
    assert set(Store.open(db).safety_rows(["tulips", "geranium"])) == {"tulips", "geranium"}


def test_what_was_not_scored_and_what_is_not_there_are_said(run: Run, db: Path) -> None:
    code, _, err = run("safety", "explain", "tulips", "--db", str(db))
    assert (code, "was not scored yet; run: firstsight safety score" in err) == (1, True)
    assert "there is no item 'nothing'" in run("safety", "explain", "nothing", "--db", str(db))[2]
