"""A past decision follows from its record; one that does not is reported."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from firstsight.errors import SafetyError
from firstsight.safety.audit.audit_log import LOG_FILE, AuditLog
from firstsight.safety.policy.decisions import Action, Decision, Evidence
from firstsight.safety.review.history import history
from firstsight.safety.review.replay import Replay, replay

CUTS = {"weapons": [0.3, 0.9], "alcohol": [0.5, None]}


def evidence(policy: str, score: float, **rest: Any) -> Evidence:
    plain: dict[str, Any] = {"view_id": "i#frame-3", "part": "frame", "uri": "a.mp4", "time_s": 2.5, "cut": 0.3}
    return Evidence(**{"policy_id": policy, "score": score, "source": "head", **plain, **rest})


def recorded(tmp_path: Path, action: Action, scores: dict[str, float], **rest: Any) -> tuple[AuditLog, Replay]:
    log = AuditLog(tmp_path / LOG_FILE)
    found = (evidence("weapons", 0.95), evidence("weapons", 4, source="hash", cut=31))
    decision = Decision("i", action, found, "p1", {"weapons": 3}, datetime.now(UTC))
    grounds = {"scores": scores, "cuts": CUTS, "standing": None} | rest
    return log, replay(log.get(log.append("decision", "i", decision.to_dict() | grounds)))


@pytest.mark.parametrize(
    ("action", "scores", "standing"),
    [
        ("allow", {}, None),
        ("allow", {"weapons": 0.29}, None),
        ("review", {"weapons": 0.3}, None),
        ("block", {"alcohol": 0.6, "weapons": 0.9}, None),
        ("review", {"alcohol": 0.99}, None),
        ("block", {"weapons": 0.1}, {"action": "block", "human": False}),
        ("block", {"weapons": 0.9}, {"action": "review", "human": False}),
        ("allow", {"weapons": 0.9}, {"action": "allow", "human": True}),
    ],
)
def test_a_decision_is_made_again_from_its_record(
    tmp_path: Path, action: Action, scores: dict[str, float], standing: dict[str, Any] | None
) -> None:
    _, again = recorded(tmp_path, action, scores, standing=standing)
    assert (again.recorded, again.replayed, again.same) == (action, action, True)
    assert len(again.steps) == len(scores) + (standing is not None)


def test_a_record_that_gives_another_decision_is_reported(tmp_path: Path) -> None:
    _, again = recorded(tmp_path, "allow", {"weapons": 0.95})
    assert (again.replayed, again.same) == ("block", False)
    assert again.steps == ("weapons: score 0.9500 reaches the block cut 0.9000, so block",)


def test_entries_without_a_decision_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SafetyError, match="does not record the scores and cuts"):
        recorded(tmp_path, "block", {"weapons": 0.95}, cuts={})
    log = AuditLog(tmp_path / LOG_FILE)
    with pytest.raises(SafetyError, match="'training', which decides nothing"):
        replay(log.get(log.append("training", "weapons", {})))
    with pytest.raises(SafetyError, match="whole decision"):
        replay(log.get(log.append("decision", "i", {"action": "block"})))


def test_the_evidence_is_described_in_words(tmp_path: Path) -> None:
    log, _ = recorded(tmp_path, "block", {"weapons": 0.95})
    (event,) = history(log, "i")
    assert event.text == (
        "scoring decided block under policies p1: weapons: i#frame-3 at 2.5 s has 0.950, cut 0.300 (head); "
        "weapons: i#frame-3 at 2.5 s is 4 bits from a known hash"
    )
    log.append("decision", "i", {"made": "by another version"})
    assert history(log, "i")[1].text == "decision: made by another version"
