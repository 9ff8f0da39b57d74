"""After a kill at any write, or with an unwritable log, each decision in force is logged exactly once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from io import RawIOBase
from pathlib import Path
from typing import Any

import pytest

from firstsight.errors import AuditLogError
from firstsight.heads.labels import LabelSet
from firstsight.safety.audit import audit_log
from firstsight.safety.audit.adoption import adopt
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.log_check import check_log
from firstsight.safety.audit.log_consistency import held_items
from firstsight.safety.audit.log_link import read_link
from firstsight.safety.audit.override_table import current_reviews, read_reviews
from firstsight.safety.audit.score_table import ScoreTable
from firstsight.safety.policy.policies import Policies, parse_policies
from firstsight.safety.policy.policy_heads import HeadShelf
from firstsight.safety.review import review_actions
from firstsight.safety.scoring.scoring_run import score
from firstsight.safety.training import training_run
from firstsight.safety.training.head_training import TrainedHead
from firstsight.storage.store import Store
from tests.safety.conftest import POLICIES, Catalogue
from tests.safety.scoring.test_scoring import make_head, promote
from tests.safety.simulated_crashes import SimulatedCrash, killed_before_each_write, put_back, run_with_unwritable_log

pytestmark = pytest.mark.slow

Act = Callable[[Path], Any]
ITEM = "i00007"


def acts_of(policies: Policies) -> dict[str, Act]:
    """The commands of people, each on a database where the one before has been done."""
    how: dict[str, Any] = {"policies": policies, "reason": "looked at it", "by": "ana"}

    def on(path: Path) -> tuple[Store, AuditLog]:
        return Store.open(path), AuditLog.of(str(path))

    return {
        "decide": lambda path: review_actions.decide(*on(path), ITEM, "block", policy_ids=["weapons"], **how).entry_id,
        "appeal": lambda path: review_actions.appeal(*on(path), ITEM, reason="a spoon", by="ben"),
        "overturn": lambda path: review_actions.overturn(*on(path), ITEM, **how).entry_id,
    }


def copies(base: Path, folder: Path) -> Callable[[], Path]:
    """Makes a fresh copy of a database each time."""

    def copy() -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        return Path(shutil.copytree(base, folder))

    return copy


def outcome(path: Path) -> dict[str, Any]:
    """Return the state without times and ids: decisions in force, people's decisions, scores, entries of the log."""
    store, log = Store.open(path), AuditLog.of(str(path))
    stored = read_reviews(store)
    table = ScoreTable(store).open()
    rows = [] if table is None else table.search().select(["item_id", "decision", "scores"]).limit(None).to_list()
    return {
        "in force": held_items(store),
        "people": {item_id: (made.kind, made.action, made.by) for item_id, made in stored.decisions.items()},
        "appeals": {item_id: appeal.reason for item_id, appeal in current_reviews(store, log).appeals.items()},
        "stored appeals": {item_id: appeal.reason for item_id, appeal in stored.appeals.items()},
        "scores": sorted((row["item_id"], row["decision"], row["scores"]) for row in rows),
        "heads": [(head.policy_id, head.version) for head in HeadShelf(store).versions() if head.promoted],
        "log": [
            (entry.kind, entry.subject, entry.record.get("action")) for entry in log.entries() if entry.kind != "score"
        ],
    }


def require_logged(path: Path) -> None:
    """Check that the log has each decision in force exactly once, and verifies."""
    store, log = Store.open(path), AuditLog.of(str(path))
    found = check_log(store, log)
    assert found.ok, found.problems
    decided = [
        (entry.kind, entry.subject, json.dumps(dict(entry.record) | {"decided_at": None}, sort_keys=True))
        for entry in log.entries()
        if entry.kind != "score"
    ]
    assert len(set(decided)) == len(decided)


@pytest.fixture
def small(tmp_path: Path) -> Catalogue:
    catalogue = Catalogue(tmp_path / "base", 40)
    promote(catalogue.store, make_head(catalogue))
    return catalogue


@pytest.fixture
def two_scorings(small: Catalogue, policies: Policies, tmp_path: Path) -> Act:
    """A scoring of all items, then more items, so that the next one is of what is new."""
    score(small.store, policies)
    small.add(20, "run-1")
    return lambda path: score(Store.open(path), policies)


def die_everywhere(monkeypatch: pytest.MonkeyPatch, copy: Callable[[], Path], act: Act) -> int:
    """Die before every single write of `act`, then run it again: all is as if it had not been killed."""
    path = copy()
    run_until_crash = killed_before_each_write(monkeypatch, act, path)
    expected = outcome(path)
    for write, files in enumerate(run_until_crash):
        put_back(files, path)
        require_logged(path)
        act(path)
        require_logged(path)
        assert outcome(path) == expected, write
        assert read_link(Store.open(path))[1] is None
    return len(run_until_crash)


def test_a_first_scoring_may_die_after_any_write(
    small: Catalogue, policies: Policies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act: Act = lambda path: score(Store.open(path), policies)  # noqa: E731
    assert die_everywhere(monkeypatch, copies(small.path, tmp_path / "run_until_crash"), act) >= 12


def test_a_scoring_of_new_items_may_die_after_any_write(
    small: Catalogue, two_scorings: Act, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert die_everywhere(monkeypatch, copies(small.path, tmp_path / "run_until_crash"), two_scorings) >= 8


def test_a_scoring_that_died_is_finished_by_the_next_writer(
    small: Catalogue, two_scorings: Act, policies: Policies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, decide = copies(small.path, tmp_path / "run_until_crash"), acts_of(policies)["decide"]
    path = copy()
    run_until_crash = killed_before_each_write(monkeypatch, two_scorings, path)
    decide(path)
    expected = outcome(path)
    states = []
    for files in run_until_crash:
        put_back(files, path)
        decide(path)
        require_logged(path)
        states.append(outcome(path) == expected)
        two_scorings(path)
        require_logged(path)
    assert states == sorted(states)  # from the plan on, it is finished; before, nothing has happened
    assert set(states) == {False, True}


@pytest.mark.parametrize("name", ["decide", "appeal", "overturn"])
def test_a_persons_decision_may_die_after_any_write(
    name: str, small: Catalogue, policies: Policies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = acts_of(policies)
    for before in list(acts)[: list(acts).index(name)]:
        acts[before](small.path)
    assert die_everywhere(monkeypatch, copies(small.path, tmp_path / "run_until_crash"), acts[name]) >= 2


def test_a_request_that_is_repeated_is_answered_with_its_entry(small: Catalogue, policies: Policies) -> None:
    for act in acts_of(policies).values():
        assert act(small.path) == act(small.path)
    assert [entry.kind for entry in AuditLog.of(str(small.path)).entries()] == ["override", "appeal", "overturn"]


def test_a_training_may_die_after_any_write(
    small: Catalogue, policies: Policies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, copy = make_head(small), copies(small.path, tmp_path / "run_until_crash")

    def keep(path: Path) -> None:
        labels = LabelSet((), ())
        training_run._store_heads(Store.open(path), [TrainedHead(head, None)], [True], labels, None, None, 0.0)

    def in_use(path: Path) -> set[int]:
        return {head.version for head in HeadShelf(Store.open(path)).versions() if head.promoted}

    path = copy()
    for files in killed_before_each_write(monkeypatch, keep, path):
        put_back(files, path)
        told = {entry.record["version"] for entry in AuditLog.of(str(path)).entries() if entry.record["promoted"]}
        assert in_use(path) in ({1}, told)  # 1 is the head before
        acts_of(policies)["decide"](path)
        assert in_use(path) == (told or {1})


def test_an_adoption_may_die_after_any_write(
    small: Catalogue, two_scorings: Act, policies: Policies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts_of(policies)["decide"](small.path)
    for name in ("safety-log.jsonl", "safety-log.head.json"):
        (small.path / name).unlink()
    copy = copies(small.path, tmp_path / "run_until_crash")
    act: Act = lambda path: adopt(Store.open(path), AuditLog.of(str(path)), by="ana")  # noqa: E731
    path = copy()
    run_until_crash = killed_before_each_write(monkeypatch, act, path)
    expected = outcome(path)
    for files in run_until_crash:
        put_back(files, path)
        act(path)
        require_logged(path)
        found = outcome(path)
        assert [entry for entry in found["log"] if entry[0] != "adopt"] == expected["log"][:-1]
        assert {**found, "log": []} == {**expected, "log": []}


@pytest.mark.parametrize("name", ["score", "decide", "appeal", "overturn"])
def test_with_a_log_that_cannot_be_written_nothing_is_in_force(
    name: str, small: Catalogue, policies: Policies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = {"score": lambda path: score(Store.open(path), policies), **acts_of(policies)}
    for before in list(acts)[: list(acts).index(name)]:
        acts[before](small.path)
    copy = copies(small.path, tmp_path / "full")
    path = copy()
    acts[name](path)
    expected = outcome(path)
    for appends in range(2 if name != "score" else 3):  # the empty head of a new log, the entries, their head
        path = copy()
        before_it = outcome(path)
        run_with_unwritable_log(monkeypatch, appends, acts[name], path)
        assert {**outcome(path), "log": []} == {**before_it, "log": []}
        require_logged(path)
        acts[name](path)
        assert outcome(path) == expected
        require_logged(path)


def test_a_log_that_cannot_be_written_is_refused_before_anything_is_done(
    small: Catalogue, policies: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small.path / "a file").write_text("")
    monkeypatch.setenv("FIRSTSIGHT_SAFETY_LOG", str(small.path / "a file" / "log.jsonl"))
    before = sorted(path.relative_to(small.path) for path in small.path.rglob("*") if ".writer" not in path.name)
    for act in (lambda path: score(Store.open(path), policies), acts_of(policies)["decide"]):
        with pytest.raises(AuditLogError, match="cannot be"):
            act(small.path)
        after = sorted(path.relative_to(small.path) for path in small.path.rglob("*") if ".writer" not in path.name)
        assert after == before


@pytest.mark.parametrize("part", [0.02, 0.5, 0.98])
def test_an_append_that_was_cut_short_is_completed(
    part: float, small: Catalogue, policies: Policies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = copies(small.path, tmp_path / "whole")()
    score(Store.open(whole), policies)

    def write_a_part(file: RawIOBase, data: bytearray) -> None:
        if len(data) < 1_000:  # a head
            real(file, data)
            return
        file.write(data[: int(part * len(data))])
        raise SimulatedCrash

    real = audit_log._write
    with monkeypatch.context() as patch:
        patch.setattr(audit_log, "_write", write_a_part)
        with pytest.raises(SimulatedCrash):
            score(Store.open(small.path), policies)
    require_logged(small.path)
    assert held_items(Store.open(small.path)) == {}
    score(Store.open(small.path), policies)
    require_logged(small.path)
    assert outcome(small.path) == outcome(whole)


CHILD = """
import os, signal, sys
from firstsight.storage.store import Store
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.policy.policies import parse_policies
from firstsight.safety.scoring.scoring_run import score
from firstsight.safety.training.head_training import TrainedHead
AuditLog.append_many = lambda self, entries: os.kill(os.getpid(), signal.SIGKILL)
score(Store.open(sys.argv[1]), parse_policies(sys.argv[2], "p.yaml"))
"""


def test_a_process_killed_between_its_plan_and_the_log_is_finished(small: Catalogue) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, str(small.path), POLICIES], env=dict(os.environ), check=False)
    assert done.returncode == -9
    assert held_items(Store.open(small.path)) == {}
    report = score(Store.open(small.path), parse_policies(POLICIES, "p.yaml"))
    assert report.scored == 0  # the scoring that was killed is whole
    require_logged(small.path)
    assert set(held_items(Store.open(small.path))) == set(small.bad)
    kinds = [entry.kind for entry in AuditLog.of(str(small.path)).entries()]
    assert kinds == ["decision"] * len(small.bad) + ["score"] * 2
