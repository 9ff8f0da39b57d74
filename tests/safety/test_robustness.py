"""Safety heads under corruptions and evasions, and training on changed copies, on real pictures."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import firstsight
from firstsight.errors import QueryError, SafetyError
from firstsight.media.corruptions.hidden_frames import frames_that_show
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.safety.policy.policies import Policies, parse_policies
from tests.cli.calling import call_in_process, parse_json_lines
from tests.conftest import SAMPLE_CATALOGUE

MUSIC = "policies:\n  - {id: music, name: Music, severity: 3, parts: [image], prompts: [a guitar, a drum], "
MUSIC += "neutral_prompts: [a photo of a product, food, a hat]}\n"
WITHOUT_PICTURES = {"teapot-blue"}


@pytest.fixture(scope="module")
def policies() -> Policies:
    return parse_policies(MUSIC, "music.yaml")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    """Labels of eight musical items and twelve others, all with a picture."""
    return labels_of({"music"})


def labels_of(categories: set[str]) -> list[dict[str, object]]:
    """Label 1 for the items of some categories, label 0 for twelve others."""
    with SAMPLE_CATALOGUE.open(encoding="utf-8", newline="") as file:
        items = [row for row in csv.DictReader(file) if row["images"] and row["item_id"] not in WITHOUT_PICTURES]
    right = [row["item_id"] for row in items if row["category"] in categories]
    others = [row["item_id"] for row in items if row["category"] not in categories][::4][:12]
    return [
        {"item_id": item, "policy": "music", "label": label} for label, ids in ((1, right), (0, others)) for item in ids
    ]


@pytest.fixture(scope="module")
def db(
    sample_db: Path, tmp_path_factory: pytest.TempPathFactory, policies: Policies, rows: list[dict[str, object]]
) -> firstsight.Database:
    """A database with a head that was trained without copies."""
    database = firstsight.open(shutil.copytree(sample_db, tmp_path_factory.mktemp("safety") / "db"))
    database.safety.with_policies(policies).train(rows, settings=firstsight.TrainSettings(0.5, 0.5, 0.8))
    return database


def test_rates_of_each_change_at_the_kept_threshold(
    db: firstsight.Database, policies: Policies, rows: list[dict[str, object]]
) -> None:
    heads = db.safety.with_policies(policies).heads
    report = heads.robustness(rows, corruptions=["gaussian-blur", "mirror", "video-frame"], strengths=[5], sample=4)
    assert [(one.change, one.strength) for one in report] == [
        ("none", 0),
        ("gaussian-blur", 5),
        ("mirror", 1),
        ("video-frame", 1),
    ]
    for one in report:
        assert (one.positives, one.negatives, one.unseen) == (4, 4, False)
        assert 0 <= one.low <= one.recall <= one.high <= 1
        assert 0 <= one.false_positive_rate <= 1
    intact, blurred, mirrored, hidden = report
    assert (intact.recall, intact.kept, intact.hash_recall) == (1.0, 1.0, 1.0)
    assert blurred.recall <= intact.recall
    assert mirrored.hash_recall < 0.5  # PDQ of a mirrored picture is another one
    assert hidden.recall > 0.5  # the selection of frames finds the second
    assert any("fewer than 10 positives are unseen" in note for note in report.notes)


def test_what_cannot_be_measured_is_one_sentence(
    db: firstsight.Database, policies: Policies, rows: list[dict[str, object]], tmp_path: Path
) -> None:
    heads = db.safety.with_policies(policies).heads
    with pytest.raises(QueryError, match="there is no corruption 'fog'"):
        heads.robustness(rows, corruptions=["fog"])
    with pytest.raises(SafetyError, match="sample must be 1 or more, not 0"):
        heads.robustness(rows, sample=0)
    other = parse_policies(MUSIC.replace("music", "noise"), "noise.yaml")
    renamed = [row | {"policy": "noise"} for row in rows]
    with pytest.raises(SafetyError, match=r"no policy with labels has a head in use \(noise\)"):
        db.safety.with_policies(other).heads.robustness(renamed)


def test_pictures_that_are_gone_are_one_sentence(tmp_path: Path, policies: Policies) -> None:
    shutil.copytree(SAMPLE_CATALOGUE.parent / "pictures", tmp_path / "pictures")
    names = ["guitar-acoustic.jpg", "violin.jpg", "lemon.jpg", "tee-red.jpg"]
    (tmp_path / "c.csv").write_text(
        "item_id,images\n" + "".join(f"i{n},pictures/{name}\n" for n, name in enumerate(names))
    )
    database = firstsight.open(tmp_path / "db")
    database.index(tmp_path / "c.csv")
    labels = [{"item_id": f"i{n}", "policy": "music", "label": int(n < 2)} for n in range(4)]
    safety = database.safety.with_policies(policies)
    safety.train(labels, force=True)
    shutil.rmtree(tmp_path / "pictures")
    with pytest.raises(SafetyError, match="no picture of a labelled unit can be opened"):
        safety.heads.robustness(labels, corruptions=["mirror"])


@pytest.mark.slow
def test_training_on_copies_reports_both_recalls_and_keeps_what_held_out_pictures_say(
    db: firstsight.Database, policies: Policies
) -> None:
    rows = labels_of({"clothing", "shoes"})  # 16 positives: below ten with copies, no copies are used
    safety = db.safety.with_policies(policies)
    settings = firstsight.TrainSettings(0.5, 0.5, 0.8, augment=True)
    lines: list[str] = []
    report = safety.train(rows, settings=settings, promote=False, on_progress=lines.append)
    (found,) = (head.figures["augmentation"] for head in report.heads)
    assert found["copies"] == 6 * len(rows)
    assert set(found["by_change"]) == {"mirror", "border", "text", "crop", "jpeg", "collage"}
    assert found["used"] == (found["low"] > 0 and found["clean_augmented"] >= found["clean_plain"])
    assert f"music, changed copies: {found['reason']}" in lines
    assert any("changed copies of " in line and line.startswith("encoding ") for line in lines)


def test_the_command_prints_a_row_for_each_change(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    db: firstsight.Database,
    rows: list[dict[str, object]],
    tmp_path: Path,
) -> None:
    labels, policies = tmp_path / "labels.csv", tmp_path / "music.yaml"
    policies.write_text(MUSIC)
    labels.write_text("item_id,policy,label\n" + "".join(f"{r['item_id']},music,{r['label']}\n" for r in rows))
    asked = ["safety", "robustness", str(labels), "--policies", str(policies), "--db", db.uri, "--sample", "2"]
    code, out, err = call_in_process(monkeypatch, capsys, *asked, "--corruption", "border", "--strengths", "4")
    assert code == 0, err
    assert [row["change"] for row in parse_json_lines(out)] == ["none", "border"]
    assert "4 pictures of labelled units, 4 changed pictures are encoded" in err


def test_the_frames_of_a_hidden_picture_show_it() -> None:
    rng = np.random.default_rng(0)
    scenes = [Image.fromarray(rng.integers(0, 255, (6, 6, 3), np.uint8)).resize((200, 160)) for _ in range(5)]
    red = Image.new("RGB", (90, 120), "#d02020")
    red.paste(Image.new("RGB", (40, 40), "#ffffff"), (20, 30))
    with VideoSampler() as sampler:
        found = frames_that_show(red, scenes, sampler)
        alone = frames_that_show(red, [], sampler)
    for frames in (found, alone):
        assert frames
        middle = np.asarray(frames[0])[280, 200].astype(int)
        assert middle[0] > middle[1] + 80
