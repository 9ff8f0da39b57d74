"""`db.safety`: from labels to decisions, by the calls that the command line and the service use."""

from __future__ import annotations

import csv
import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import firstsight
from firstsight import Database
from firstsight.api.safety import Safety
from firstsight.api.safety_audit import AuditTrail
from firstsight.api.safety_hashes import HashLists
from firstsight.api.safety_heads import SafetyHeads
from firstsight.encoders.base import Encoder
from firstsight.errors import AuditLogError, EncoderMismatchError, QueryError, SafetyError
from firstsight.heads.calibrated_fit import TrainSettings
from firstsight.safety.policy.policies import parse_policies
from tests.conftest import SAMPLE_CATALOGUE
from tests.safety.audit import log_damages

MUSIC = parse_policies(
    "policies:\n  - {id: music, severity: 3, prompts: [a guitar, a musical instrument, drums], "
    "neutral_prompts: [a photo of a product, furniture, food, a hat]}\n",
    "music.yaml",
)
EASY = TrainSettings(precision=0.5, recall=0.5)
GUITAR, TULIPS = "guitar-acoustic", "tulips"


def rows() -> list[dict[str, object]]:
    """A label of each item of the sample catalogue."""
    with SAMPLE_CATALOGUE.open(encoding="utf-8") as file:
        return [
            {"item_id": row["item_id"], "policy": "music", "label": int(row["category"] == "music")}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def scored_db(sample_db: Path, starter: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample database, scored by a head of music; read only."""
    path = Path(shutil.copytree(sample_db, tmp_path_factory.mktemp("scored") / "db"))
    safety = firstsight.open(path, encoder=starter).safety.with_policies(MUSIC)
    safety.train(rows(), settings=EASY)
    safety.score()
    return path


@pytest.fixture
def path(scored_db: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored_db, tmp_path / "db"))


@pytest.fixture
def db(path: Path, starter: Encoder) -> Database:
    return firstsight.open(path, encoder=starter)


@pytest.fixture
def safety(db: Database) -> Safety:
    return db.safety.with_policies(MUSIC)


def blocked(db: Database) -> frozenset[str]:
    return db.safety.blocked([str(row["item_id"]) for row in rows()])


@pytest.mark.slow
def test_labels_become_a_head_whose_blocked_items_no_search_finds(db: Database, safety: Safety) -> None:
    (head,) = safety.heads.versions()
    assert (head.policy_id, head.promoted, head.to_dict()["held_out"]) == ("music", True, "cross-fitted")
    hidden = blocked(db)
    assert len(hidden) > 0
    assert hidden == {item_id for item_id, action in db.safety.decisions(sorted(hidden)).items() if action == "block"}
    assert not {result.item_id for result in db.search("a guitar", k=75)} & hidden
    first = min(hidden)
    explanation = safety.explain(first)
    assert (explanation.decision, explanation.scores[0].head, explanation.evidence[0].source) == ("block", 1, "head")
    assert explanation.history[0].kind == "decision"
    plain = json.loads(json.dumps(explanation.to_dict()))
    assert list(plain) == [
        *("item_id", "decision", "min_age", "policy_version", "scored_at", "evidence", "scores", "history")
    ]
    assert plain["scores"][0]["policy"] == "music"
    replay = safety.replay(explanation.history[0].entry_id)
    assert (replay.same, replay.to_dict()["same"], replay.replayed) == (True, True, "block")
    assert safety.score().scored == 0


def test_a_head_is_taken_out_of_use_and_back(safety: Safety) -> None:
    safety.heads.drop("music")
    assert [head.promoted for head in safety.heads.versions("music")] == [False]
    safety.heads.promote(1)
    assert [head.promoted for head in safety.heads.versions()] == [True]
    with pytest.raises(SafetyError, match="9"):
        safety.heads.promote([9])


@pytest.mark.slow
def test_every_scoring_keeps_peoples_decisions(db: Database, safety: Safety) -> None:
    by_score = min(blocked(db))
    safety.decide(by_score, "allow", policy="music", reason="a poster", by="ana")
    made = safety.decide(TULIPS, "block", policy=["music"], reason="a hidden drum", by="ana")
    assert (made.action, made.policies, made.by) == ("block", ("music",), "ana")
    for arguments in ({}, {"everything": True}, {"region": "de"}, {"zero_shot": False}, {"budget": 0.5}):
        assert safety.score(**arguments).run_id
        assert (db.safety.is_blocked(by_score), db.safety.is_blocked(TULIPS)) == (False, True)
    assert safety.audit.check().ok


@pytest.mark.parametrize("part", [Safety, SafetyHeads, HashLists, AuditTrail])
def test_no_argument_replaces_overrides_or_the_audit_log(part: type) -> None:
    calls = [call for name, call in inspect.getmembers(part, inspect.isfunction) if not name.startswith("_")]
    names = {name for call in calls for name in inspect.signature(call).parameters}
    assert names
    assert not names & {"log", "record", "override", "overrides", "standing", "store"}


@pytest.mark.parametrize(
    "damage",
    [log_damages.lose, log_damages.cut, log_damages.empty, log_damages.replace_log, log_damages.edit_first],
)
def test_without_its_log_nothing_is_scored_and_blocks_stay(
    db: Database, safety: Safety, path: Path, damage: Callable[[Path], None]
) -> None:
    before = blocked(db)
    damage(path)
    with pytest.raises(AuditLogError, match="adopt"):
        safety.score(everything=True)
    assert blocked(db) == before
    assert not safety.audit.check().ok


def test_a_lost_log_stops_every_call_that_writes_until_another_is_adopted(
    safety: Safety, path: Path, tmp_path: Path
) -> None:
    log_damages.lose(path)
    with pytest.raises(AuditLogError):
        safety.decide(TULIPS, "block", policy="music", reason="r", by="ana")
    with pytest.raises(AuditLogError):
        safety.appeal(GUITAR, reason="r", by="ana")
    with pytest.raises(AuditLogError):
        safety.hashes.add(items=[TULIPS], of_set="good", by="ana")
    with pytest.raises(AuditLogError):
        safety.heads.drop("music")
    adopted = safety.audit.adopt(safety.audit.path, by="ben")
    assert (adopted.new, adopted.to_dict()["log"]) == (True, str(safety.audit.path))
    assert safety.score().scored == 0
    assert safety.audit.check(adopted.entry_id).ok
    assert not safety.audit.check("1-0123456789abcdef").ok


def test_an_appeal_is_first_in_the_queue_until_it_is_overturned(safety: Safety, tmp_path: Path) -> None:
    decision = safety.decide(TULIPS, "block", policy="music", reason="a drum", by="ana")
    appeal = safety.appeal(TULIPS, reason="these are tulips", by="the seller")
    (first, *_) = safety.queue(k=3)
    assert (first.item_id, first.why, first.note) == (TULIPS, "appeal", "these are tulips")
    overturned = safety.overturn(TULIPS, reason="so they are", by="ben")
    assert (overturned.action, overturned.policies) == ("allow", ("music",))
    assert TULIPS not in [entry.item_id for entry in safety.queue()]
    entries = list(safety.audit.entries(TULIPS))
    assert [entry.entry_id for entry in entries] == [decision.entry_id, appeal, overturned.entry_id]
    assert [label.to_dict() for label in safety.labels()] == [
        {"item_id": TULIPS, "policy": "music", "label": 0, "annotator": "ben", "weight": 1.0}
    ]
    assert safety.write_labels(tmp_path / "labels.csv") == 1
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 2


@pytest.mark.slow
def test_rows_and_decisions_train_like_a_file(safety: Safety, tmp_path: Path) -> None:
    (head,) = safety.heads.versions()
    file = tmp_path / "labels.csv"
    file.write_text("item_id,policy,label\n" + "".join(f"{r['item_id']},{r['policy']},{r['label']}\n" for r in rows()))
    stored = safety.train(file, settings=EASY, promote=False)
    assert (stored.heads[0].basis, stored.heads[0].promoted) == (head.basis, False)
    with pytest.raises(SafetyError, match="row 1: label '2' must be 0 or 1"):
        safety.train([{"item_id": TULIPS, "policy": "music", "label": 2}])
    safety.decide(TULIPS, "allow", policy="music", reason="flowers", by="ana")
    again = safety.retrain(rows(), settings=EASY)
    assert (len(again.verdicts), again.heads[0].promoted) == (1, False)
    assert [plain["version"] for plain in again.to_dict()["heads"]] == [3]


@pytest.mark.slow
def test_a_report_measures_held_out_labels_and_writes_a_page(safety: Safety, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    bad = {"item_id": "nothing", "policy": "music", "label": 1}
    report = safety.report([*rows(), bad], skip_bad_labels=True, html=page)
    (music,) = report.policies
    assert music.curve.average_precision > 0.8
    assert report.problems == ("row 76: there is no item 'nothing'",)
    assert json.loads(json.dumps(report.to_dict()))["policies"][0]["policy"] == "music"
    assert "Precision and recall" in page.read_text(encoding="utf-8")


def test_a_known_picture_blocks_its_copies_until_it_is_removed(db: Database, safety: Safety, tmp_path: Path) -> None:
    hashes = safety.hashes
    added = hashes.add(items=[TULIPS], policy="music", tags=["batch-7"], by="ana")
    assert (added.new, added.problems) == (added.hashes, ())
    assert {match.item_id for match in hashes.match()} == {TULIPS}
    assert list(hashes.match(items=[GUITAR])) == []
    safety.score()
    assert db.safety.is_blocked(TULIPS)
    file = tmp_path / "ours.csv"
    assert hashes.export_file(file) == added.hashes
    assert hashes.remove(sources=[f"item {TULIPS}"], by="ana") == added.hashes
    safety.score()
    assert not db.safety.is_blocked(TULIPS)
    file.write_text(file.read_text() + "x,pdq,abc,POSITIVE_CLASS,,music,\n")
    again = hashes.import_file(file, by="ana")
    assert (again.new, again.problems[0].startswith(f"{file}:")) == (added.hashes, True)
    (entry, *_) = hashes.entries(policy="music", of_set="bad")
    assert (entry.to_dict()["hash"], entry.tags) == (entry.hex, ("batch-7",))
    assert hashes.remove([entry.hex], by="ana") == 1
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    flat = hashes.add([tmp_path / "black.png"], of_set="good", by="ana")
    assert (flat.hashes, "is flat" in flat.problems[0]) == (0, True)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s: s.with_policies("gone.yaml"), "gone.yaml cannot be read"),
        (lambda s: s.decide(TULIPS, "burn", policy="music", reason="r", by="a"), "'burn' is no decision"),
        (lambda s: s.decide(TULIPS, "block", policy=(), reason="r", by="a"), "needs a policy"),
        (lambda s: s.decide(TULIPS, "block", policy="music", reason=" ", by="a"), "needs a reason"),
        (lambda s: s.explain("nothing"), "no item 'nothing'"),
        (lambda s: s.queue(k=0), "1 or more"),
        (lambda s: s.replay("1-00"), "no entry '1-00'"),
        (lambda s: s.hashes.add(by="a"), "nothing to add"),
        (lambda s: s.hashes.add(items=[TULIPS], by="a"), "need a policy"),
        (lambda s: s.hashes.add(items=[TULIPS], of_set="good", tags=["two words"], by="a"), "is no tag"),
        (lambda s: s.hashes.remove(["abc"], by="a"), "is no PDQ hash"),
        (lambda s: s.hashes.remove(by="a"), "nothing to remove"),
        (lambda s: list(s.hashes.match(max_distance=32)), "32 bits"),
    ],
)
def test_a_wrong_argument_is_one_sentence(scored_db: Path, call: Callable[[Safety], Any], says: str) -> None:
    with pytest.raises((SafetyError, QueryError), match=says):
        call(firstsight.open(scored_db).safety.with_policies(MUSIC))


def test_policies_are_the_shipped_ones_unless_others_are_chosen(tmp_path: Path) -> None:
    safety = firstsight.open(tmp_path / "db").safety
    assert "weapons" in safety.policies
    file = tmp_path / "music.yaml"
    file.write_text(MUSIC.text)
    assert safety.with_policies(file).policies.version == MUSIC.version
    assert "weapons" in safety.policies
    assert safety.with_policies(file).with_policies(None).policies == safety.policies


def test_only_prompts_load_the_encoder(path: Path) -> None:
    safety = firstsight.open(path, encoder="open_clip:no-such-model/none").safety
    music = safety.with_policies(MUSIC)
    assert music.score(everything=True).scored == 75
    assert music.queue(k=1) is not None
    others = MUSIC.text + "  - {id: food, prompts: [bread], neutral_prompts: [a hat]}\n"
    with pytest.raises(EncoderMismatchError, match="no-such-model"):
        safety.with_policies(parse_policies(others, "more.yaml")).score()
