"""People's decisions override scores, hold until an item changes, become labels, and are all in the audit log."""

from __future__ import annotations

import csv
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from firstsight.errors import SafetyError
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.human_decisions import Reviews
from firstsight.safety.review import review_actions
from firstsight.safety.review.history import history
from firstsight.safety.review.review_actions import review_labels, write_labels
from firstsight.safety.review.review_queue import review_queue, uncertainty
from firstsight.storage.store import Store
from tests.safety.scored_items import POLICIES, change_item, decision_of, make_store

decide: Any = partial(review_actions.decide, policies=POLICIES, policy_ids=["weapons"], reason="looked at it", by="ana")
overturn: Any = partial(review_actions.overturn, policies=POLICIES, reason="second look", by="ben")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(
        tmp_path / "db",
        {
            "knife": ("review", {"weapons": 0.5, "alcohol": 0.01}, 0),
            "wine": ("review", {"weapons": 0.01, "alcohol": 0.5}, 0),
            "sword": ("review", {"weapons": 0.93}, 0),
            "beer": ("review", {"alcohol": 0.6}, 1_000_000),
            "mug": (None, {"weapons": 0.02, "alcohol": 0.2}, 50),
            "gun": ("block", {"weapons": 0.99}, 10),
        },
    )


@pytest.fixture
def log(store: Store) -> AuditLog:
    return AuditLog.of(store.uri)


def ids(store: Store, log: AuditLog, **how: Any) -> list[str]:
    store.refresh()
    return [entry.item_id for entry in review_queue(store, Reviews.read(log), POLICIES, **how)]


def test_the_queue_is_ordered_by_severity_uncertainty_and_reach(store: Store, log: AuditLog) -> None:
    assert ids(store, log) == ["knife", "wine", "beer", "sword"]
    assert ids(store, log, reach="views") == ["beer", "knife", "wine", "sword"]
    assert ids(store, log, limit=2) == ["knife", "wine"]
    (first, *_) = review_queue(store, Reviews.read(log), POLICIES, reach="views")
    assert (first.policy, first.severity, first.why) == ("alcohol", 2, "score")
    assert first.priority == pytest.approx(2 * uncertainty(0.6) * math.log2(1_000_002))


@pytest.mark.parametrize(("score", "bits"), [(0.0, 0.0), (1.0, 0.0), (0.5, 1.0), (0.25, 0.8112781), (0.75, 0.8112781)])
def test_uncertainty_is_the_entropy_of_the_score(score: float, bits: float) -> None:
    assert uncertainty(score) == pytest.approx(bits)


@pytest.mark.parametrize(("how", "says"), [({"reach": "colour"}, "columns: views"), ({"limit": 0}, "1 or more")])
def test_a_queue_that_cannot_be_made_is_refused(store: Store, log: AuditLog, how: dict[str, Any], says: str) -> None:
    with pytest.raises(SafetyError, match=says):
        ids(store, log, **how)


def test_a_decision_holds_until_the_item_changes(store: Store, log: AuditLog) -> None:
    made = decide(store, log, "knife", "block")
    assert decision_of(store, "knife") == "block"
    assert "knife" not in ids(store, log)
    reviews = Reviews.read(log)
    assert reviews.in_force("knife", "digest-knife") == made
    assert reviews.in_force("mug", "digest-mug") is None
    assert [(one.policy_id, one.source) for one in made.evidence()] == [("weapons", "human")]


def test_a_blocked_item_that_changes_goes_to_review_and_an_allowed_one_to_its_scores(
    store: Store, log: AuditLog
) -> None:
    decide(store, log, "sword", "block")
    decide(store, log, "gun", "allow")
    change_item(store, "sword")
    change_item(store, "gun")
    reviews = Reviews.read(log)
    changed = reviews.in_force("sword", "another")
    assert changed is not None
    assert changed.action == "review"
    assert reviews.in_force("gun", "another") is None
    assert review_labels(store, log) == []
    (waiting,) = [entry for entry in review_queue(store, reviews, POLICIES) if entry.item_id == "sword"]
    assert (waiting.why, waiting.uncertainty, waiting.note) == ("changed", 1.0, "looked at it")


def test_decisions_become_labels_and_the_last_one_counts(store: Store, log: AuditLog, tmp_path: Path) -> None:
    decide(store, log, "knife", "block", policy_ids=["weapons", "alcohol"])
    decide(store, log, "knife", "allow", policy_ids=["alcohol"], by="ben")
    decide(store, log, "wine", "review")
    decide(store, log, "mug", "allow")
    write_labels(tmp_path / "labels.csv", review_labels(store, log))
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = [(row["item_id"], row["policy"], row["label"], row["annotator"]) for row in csv.DictReader(file)]
    assert rows == [("knife", "alcohol", "0", "ben"), ("knife", "weapons", "1", "ana"), ("mug", "weapons", "0", "ana")]


def test_an_appeal_comes_first_in_the_queue_and_an_overturn_answers_it(store: Store, log: AuditLog) -> None:
    first = decide(store, log, "wine", "block")
    review_actions.appeal(store, log, "gun", reason="a toy", by="seller-1")
    review_actions.appeal(store, log, "wine", reason="grape juice", by="seller-2")
    entries = review_queue(store, Reviews.read(log), POLICIES, limit=3)
    assert [(entry.item_id, entry.why, entry.note) for entry in entries[:2]] == [
        ("gun", "appeal", "a toy"),
        ("wine", "appeal", "grape juice"),
    ]
    assert decision_of(store, "gun") == "block"
    with pytest.raises(SafetyError, match="appealed already, by seller-1"):
        review_actions.appeal(store, log, "gun", reason="again", by="seller-1")
    made = overturn(store, log, "wine")
    assert (made.action, made.policies, decision_of(store, "wine")) == ("allow", ("weapons",), "allow")
    assert [(label.label, label.annotator) for label in review_labels(store, log)] == [(0, "ben")]
    assert log.get(made.entry_id).record["overturns"] == first.entry_id
    assert overturn(store, log, "gun", policy_ids=["weapons"]).action == "allow"
    assert Reviews.read(log).appeals == {}
    assert "gun" not in ids(store, log)


def test_the_history_of_an_item_is_in_order(store: Store, log: AuditLog) -> None:
    decide(store, log, "wine", "block")
    decide(store, log, "mug", "allow")
    review_actions.appeal(store, log, "wine", reason="grape juice", by="seller-2")
    overturn(store, log, "wine")
    assert [event.text for event in history(log, "wine")] == [
        "ana decided block under weapons: looked at it",
        "seller-2 appealed: grape juice",
        "ben overturned block to allow under weapons: second look",
    ]
    assert log.verify().ok


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s, g: decide(s, g, "nobody", "block"), "no item 'nobody'"),
        (lambda s, g: decide(s, g, "mug", "burn"), "'burn' is no decision"),
        (lambda s, g: decide(s, g, "mug", "block", policy_ids=["drugs"]), "no policy 'drugs'"),
        (lambda s, g: decide(s, g, "mug", "block", policy_ids=[]), "--policy"),
        (lambda s, g: decide(s, g, "mug", "block", reason=" "), "--reason WHY"),
        (lambda s, g: decide(s, g, "mug", "block", reason="x" * 4_001), "shorten it to 4,000"),
        (lambda s, g: review_actions.appeal(s, g, "mug", reason="why not", by="me"), "nothing to appeal"),
        (lambda s, g: overturn(s, g, "gun", action="block", policy_ids=["weapons"]), "is 'block' already"),
        (lambda s, g: overturn(s, g, "gun"), "--policy"),
    ],
)
def test_invalid_decisions_are_refused_and_not_logged(store: Store, log: AuditLog, call: Any, says: str) -> None:
    with pytest.raises(SafetyError, match=says):
        call(store, log)
    assert log.head() is None


def test_people_can_decide_in_a_database_that_was_never_scored(tmp_path: Path) -> None:
    store = make_store(tmp_path / "new", {"mug": (None, {}, 0)}, with_decisions=False)
    log = AuditLog.of(store.uri)
    assert decide(store, log, "mug", "block").action == "block"
    assert decision_of(store, "mug") == "block"
    assert review_queue(store, Reviews.read(log), POLICIES) == []
