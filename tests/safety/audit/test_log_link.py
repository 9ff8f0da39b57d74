"""A database is linked to its audit log: another, lost, cut or changed log is refused, and unblocks nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firstsight.errors import AuditLogError, FirstsightError, SafetyError
from firstsight.safety.audit.adoption import adopt
from firstsight.safety.audit.audit_log import LOG_VARIABLE, AuditLog
from firstsight.safety.audit.log_check import check_log
from firstsight.safety.audit.log_consistency import held_items
from firstsight.safety.audit.override_table import current_reviews, read_reviews
from firstsight.safety.hashes.hash_bank import HashBank
from firstsight.safety.hashes.hash_lists import KnownHash
from firstsight.safety.policy.policies import parse_policies
from firstsight.safety.review import review_actions
from firstsight.safety.review.review_queue import review_queue
from firstsight.safety.scoring.scoring_run import score
from firstsight.storage.store import Store
from tests.safety.audit.decided_database import APPEALED, BLOCKED, POLICY, decide, files, log_of
from tests.safety.audit.log_damages import cut, edit_first, empty, lose, lose_head, replace_log
from tests.safety.conftest import POLICIES, Catalogue
from tests.safety.scored_items import change_item, decision_of
from tests.safety.scoring.test_scoring import make_head, promote


def writers(path: Path) -> dict[str, Callable[[], Any]]:
    """Every command that writes decisions, or what they come from."""
    store, log = Store.open(path), log_of(path)
    how: dict[str, Any] = {"reason": "r", "by": "ben"}
    return {
        "score": lambda: score(store, POLICY),
        "score as its signature invites": lambda: score(store, POLICY, encoder=None, everything=True),
        "decide": lambda: decide(store, log, "i00003", "block"),
        "appeal": lambda: review_actions.appeal(store, log, BLOCKED, **how),
        "overturn": lambda: review_actions.overturn(store, log, BLOCKED, policies=POLICY, **how),
        "hashes": lambda: HashBank(store).add([KnownHash(bytes(32), "bad", "weapons", "list")], log, by="ben"),
    }


DAMAGES = [lose, cut, empty, replace_log, edit_first, lose_head]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_writing_command_refuses_a_log_of_another_database(db: Path, damage: Callable[[Path], None]) -> None:
    damage(db)
    before = {path.name: path.read_bytes() for path in files(db) if path.exists()}
    for name, act in writers(db).items():
        with pytest.raises(AuditLogError, match="audit --adopt") as refusal:
            act()
        assert "Restore the log" in str(refusal.value) or "restore the log" in str(refusal.value), name
        assert decision_of(Store.open(db), BLOCKED) == "block"
    assert {path.name: path.read_bytes() for path in files(db) if path.exists()} == before


def test_an_edit_in_the_middle_is_seen_by_scoring_and_by_the_whole_check(db: Path) -> None:
    log, _ = files(db)
    log.write_bytes(log.read_bytes().replace(b'"i00020"', b'"i00021"', 1))
    with pytest.raises(AuditLogError, match="does not verify: see entry 3"):
        score(Store.open(db), POLICY)
    assert not check_log(Store.open(db), log_of(db)).ok


def test_reading_goes_on_with_a_lost_log(db: Path) -> None:
    lose(db)
    store = Store.open(db)
    reviews = current_reviews(store, log_of(db))
    assert reviews.decisions[BLOCKED].action == "block"
    assert reviews.decisions[BLOCKED].reason == "seen"
    assert [entry.why for entry in review_queue(store, reviews, POLICY)] == ["appeal"]
    found = check_log(store, log_of(db))
    assert not found.ok
    assert "audit --adopt" in found.problems[0].what


def test_a_log_named_in_one_shell_only_is_not_taken(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOG_VARIABLE, str(tmp_path / "elsewhere.jsonl"))
    for act in writers(db).values():
        with pytest.raises(AuditLogError, match=r"elsewhere.*FIRSTSIGHT_SAFETY_LOG"):
            act()
    assert list(tmp_path.glob("*elsewhere*")) == []
    monkeypatch.delenv(LOG_VARIABLE)
    assert score(Store.open(db), POLICY).scored <= 1
    assert decision_of(Store.open(db), BLOCKED) == "block"


@pytest.mark.slow
def test_leaving_out_an_argument_lifts_no_block(db: Path) -> None:
    store = Store.open(db)
    code = bytes(range(32))
    with store.writing():
        views = store.view_rows(["i00001"])
        picture = views.filter(views["part"].to_numpy() == "image").slice(0, 1).to_pylist()[0]
        store.write_views([picture | {"fingerprint": code}], [])
        store.items.update(where="item_id = 'i00002'", values={"title": "a bomb"})
    HashBank(store).add([KnownHash(code, "bad", "weapons", "list")], log_of(db), by="ana")
    words = parse_policies(POLICIES.replace("severity: 4,", "severity: 4, block_words: [bomb],"), "p.yaml")
    for everything in (False, True, False):
        score(store, words, encoder=None, everything=everything)
        assert [decision_of(store, item_id) for item_id in ("i00001", "i00002", BLOCKED)] == ["block"] * 3
    score(store, words, overrides={})  # replaced on purpose
    assert [decision_of(store, item_id) for item_id in ("i00001", "i00002", BLOCKED)] == ["allow"] * 3


def test_unlogged_decisions_are_refused_and_added_by_an_adoption(db: Path) -> None:
    store = Store.open(db)
    with store.writing():
        store.items.update(where="item_id = 'i00003'", values={"safety_decision": "block"})
    with pytest.raises(AuditLogError, match=r"1 items of .* such as block of 'i00003'.*audit --adopt"):
        score(store, POLICY)
    assert not check_log(store, log_of(db)).ok
    made = adopt(store, log_of(db), by="ben")
    assert (made.logged["override"], made.new) == (1, False)
    for everything in (False, True):
        score(store, POLICY, everything=everything)
        assert [decision_of(store, item_id) for item_id in ("i00003", BLOCKED, APPEALED)] == ["block"] * 3
    assert check_log(store, log_of(db)).ok


@pytest.mark.slow
def test_an_adoption_knows_decisions_that_came_after_a_persons(db: Path) -> None:
    store = Store.open(db)
    decide(store, log_of(db), APPEALED, "allow")
    decide(store, log_of(db), "i00003", "allow")
    change_item(store, APPEALED)
    score(store, POLICY)  # what a person had allowed is blocked again, since it has changed
    with store.writing():
        store.items.update(where="item_id = 'i00003'", values={"safety_decision": "review"})
    held = held_items(store)
    assert (held[APPEALED], held["i00003"]) == ("block", "review")
    lose(db)
    made = adopt(store, log_of(db), by="ben")
    assert made.logged["decision"] >= 1
    assert check_log(store, log_of(db)).ok
    score(store, POLICY)
    score(store, POLICY, everything=True)
    assert held_items(Store.open(db)) == held
    assert check_log(store, log_of(db)).ok


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_new_log_gets_all_decisions_in_force(db: Path, damage: Callable[[Path], None], tmp_path: Path) -> None:
    held = held_items(Store.open(db))
    damage(db)
    new, store = AuditLog(tmp_path / "new.jsonl"), Store.open(db)
    made = adopt(store, new, by="ben")
    assert made.new
    assert made.logged["override"] == 1
    for file, target in zip((new.path, new.path.with_name("new.jsonl.head.json")), files(db), strict=True):
        file.replace(target)
    entries = list(log_of(db).entries())
    assert (entries[-1].kind, entries[-1].record["by"]) == ("adopt", "ben")
    assert {entry.subject for entry in entries[:-1]} >= held.keys()
    carried = next(entry for entry in entries if entry.subject == BLOCKED)
    assert (carried.record["by"], carried.record["reason"], carried.record["action"]) == ("ana", "seen", "block")
    for everything in (False, True):
        score(store, POLICY, everything=everything)
        assert held_items(Store.open(db)) == held
    assert check_log(store, log_of(db)).ok


def test_a_copy_of_a_database_has_a_log_of_its_own(db: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(db, tmp_path / "copy"))
    decide(Store.open(copy), log_of(copy), "i00003", "block")
    score(Store.open(copy), POLICY)
    assert decision_of(Store.open(copy), "i00003") == "block"
    score(Store.open(db), POLICY)
    assert decision_of(Store.open(db), "i00003") == "allow"
    assert check_log(Store.open(db), log_of(db)).ok
    assert check_log(Store.open(copy), log_of(copy)).ok


def test_an_older_copy_with_a_newer_log_gets_peoples_decisions_back(db: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(db, tmp_path / "older"))
    decide(Store.open(db), log_of(db), "i00003", "block")
    review_actions.overturn(
        Store.open(db), log_of(db), APPEALED, policies=POLICY, policy_ids=["weapons"], reason="r", by="b"
    )
    for file in files(db):
        shutil.copy(file, older)
    assert check_log(Store.open(older), log_of(older)).ok
    entries = len(list(log_of(older).entries()))
    score(Store.open(older), POLICY)
    assert decision_of(Store.open(older), "i00003") == "block"
    assert decision_of(Store.open(older), APPEALED) == "allow"
    kinds = [entry.kind for entry in log_of(older).entries()][entries:]
    assert kinds.count("override") == kinds.count("overturn") == 0


def test_a_newer_database_with_an_older_log_is_refused(db: Path, tmp_path: Path) -> None:
    kept = [shutil.copy(file, tmp_path / file.name) for file in files(db)]
    decide(Store.open(db), log_of(db), "i00003", "block")
    for file in kept:
        shutil.copy(file, db)
    with pytest.raises(AuditLogError, match="does not hold entry"):
        score(Store.open(db), POLICY)
    adopt(Store.open(db), log_of(db), by="ben")
    score(Store.open(db), POLICY, everything=True)
    assert decision_of(Store.open(db), "i00003") == "block"


def test_a_log_that_outlived_its_database_is_adopted_on_purpose(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file, name in zip(files(db), ("kept.jsonl", "kept.jsonl.head.json"), strict=True):
        file.replace(tmp_path / name)
    shutil.rmtree(db)
    monkeypatch.setenv(LOG_VARIABLE, str(tmp_path / "kept.jsonl"))
    catalogue = Catalogue(db, 40)
    promote(catalogue.store, make_head(catalogue))
    for act in writers(db).values():
        with pytest.raises(FirstsightError):
            act()
    with pytest.raises(AuditLogError, match=r"none of them is about .*audit --adopt"):
        score(catalogue.store, POLICY)
    assert held_items(Store.open(db)) == {}
    adopt(catalogue.store, log_of(db), by="ben")
    assert decision_of(catalogue.store, BLOCKED) == "block"
    score(catalogue.store, POLICY)
    assert decision_of(catalogue.store, BLOCKED) == "block"
    assert current_reviews(catalogue.store, log_of(db)).appeals.keys() == {APPEALED}


def test_an_appeal_does_not_wait_for_another_writer(db: Path) -> None:
    store, log = Store.open(db), log_of(db)
    review_actions.overturn(store, log, APPEALED, policies=POLICY, policy_ids=["weapons"], reason="r", by="b")
    with Store.open(db).writing():
        entry_id = review_actions.appeal(store, log, APPEALED, reason="it is a gun", by="a buyer")
        assert review_actions.appeal(store, log, APPEALED, reason="it is a gun", by="a buyer") == entry_id
    assert current_reviews(store, log).appeals.keys() == {APPEALED}
    assert read_reviews(store).appeals == {}
    decide(store, log, "i00003", "block")
    assert read_reviews(store).appeals.keys() == {APPEALED}


def test_a_scoring_that_fails_before_it_logs_does_not_allow_another_log(db: Path, tmp_path: Path) -> None:
    fresh = Catalogue(tmp_path / "fresh", 20)
    with pytest.raises(SafetyError, match="nothing to score with"):
        score(fresh.store, POLICY)
    for own, other in zip(files(fresh.path), files(db), strict=True):
        shutil.copy(other, own)
    with pytest.raises(AuditLogError, match="none of them is about"):
        decide(fresh.store, log_of(fresh.path), "i00003", "block")
    assert held_items(fresh.store) == {}


def test_overrides_from_the_caller_release_no_item_without_a_log_entry(db: Path) -> None:
    score(Store.open(db), POLICY, overrides={})
    assert BLOCKED not in held_items(Store.open(db))
    *_, last = log_of(db).entries(subject=BLOCKED)
    assert (last.kind, last.record["action"]) == ("decision", "allow")
    score(Store.open(db), POLICY)
    assert held_items(Store.open(db))[BLOCKED] == "block"
    assert check_log(Store.open(db), log_of(db)).ok
    assert score(Store.open(db), POLICY).scored == 0
