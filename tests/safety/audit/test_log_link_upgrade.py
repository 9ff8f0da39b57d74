"""Databases of layout 1, which kept people's decisions only in the log, are linked to their audit log."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from firstsight.errors import AuditLogError
from firstsight.safety.audit import upgrade_human_decisions
from firstsight.safety.audit.adoption import adopt
from firstsight.safety.audit.log_check import check_log
from firstsight.safety.audit.log_consistency import held_items
from firstsight.safety.audit.log_link import TABLE, read_link
from firstsight.safety.audit.override_table import TABLE as OVERRIDES
from firstsight.safety.audit.override_table import current_reviews, read_reviews
from firstsight.safety.policy.policies import Policies
from firstsight.safety.scoring.scoring_run import score
from firstsight.storage.sql.conditions import quote
from firstsight.storage.store import Store
from tests.safety.audit.decided_database import APPEALED, BLOCKED, POLICY, decide, files, log_of
from tests.safety.audit.log_damages import edit_first, empty, lose, lose_head
from tests.safety.conftest import Catalogue
from tests.safety.scored_items import change_item, decision_of
from tests.safety.scoring.test_scoring import make_head, promote


@pytest.fixture
def old(db: Path) -> Path:
    """The same database without the tables that layout 1 did not have."""
    for table in (TABLE, OVERRIDES):
        shutil.rmtree(db / f"{table}.lance", ignore_errors=True)
    return db


@pytest.mark.slow
def test_an_upgrade_copies_peoples_decisions(old: Path) -> None:
    store = Store.open(old)
    assert current_reviews(store, log_of(old)).decisions[BLOCKED].action == "block"
    first, second = upgrade_human_decisions.plan(store)
    assert "1 decisions by people and 1 open appeals" in first.does
    assert "first and last" in second.does
    assert (first.rows, second.rows) == (2, 1)
    entries = [(entry.kind, entry.subject, entry.record) for entry in log_of(old).entries()]
    log_of(old).append_many(entries * 1_000)
    assert upgrade_human_decisions.plan(store)[0].seconds > 1  # a long log takes long to check
    with store.writing():
        upgrade_human_decisions.apply(store)
        upgrade_human_decisions.apply(store)
    assert upgrade_human_decisions.plan(store) == []
    stored = read_reviews(store)
    assert (stored.decisions[BLOCKED].by, stored.appeals[APPEALED].by) == ("ana", "seller")
    head, (link, _) = log_of(old).head(), read_link(store)
    assert link is not None
    assert (link.first, link.last) == (next(log_of(old).entries()).entry_id, head)


def test_an_old_database_is_linked_by_the_first_command_too(old: Path) -> None:
    score(Store.open(old), POLICY)
    assert decision_of(Store.open(old), BLOCKED) == "block"
    assert read_reviews(Store.open(old)).decisions.keys() == {BLOCKED}


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lose, empty, edit_first, lose_head])
def test_an_old_database_without_its_log_is_left_alone_and_refused(old: Path, damage: Callable[[Path], None]) -> None:
    score(Store.open(old), POLICY)  # the person's decision is in the scores now
    for table in (TABLE, OVERRIDES):
        shutil.rmtree(old / f"{table}.lance")
    held = held_items(Store.open(old))
    damage(old)
    store = Store.open(old)
    (said,) = upgrade_human_decisions.plan(store)
    assert re.match(r"Copy no decisions by people: .* log .*audit --adopt", said.does)
    assert said.rows == 0
    with store.writing():
        upgrade_human_decisions.apply(store)
    assert read_link(store)[0] is None
    current_reviews(store, log_of(old))
    check_log(store, log_of(old))
    with pytest.raises(AuditLogError, match="audit --adopt"):
        score(store, POLICY)
    for file in files(old):
        file.unlink(missing_ok=True)
    adopt(store, log_of(old), by="ben")
    score(store, POLICY, everything=True)
    assert held_items(Store.open(old)) == held
    change_item(store, BLOCKED)
    score(store, POLICY, everything=True)
    assert decision_of(store, BLOCKED) == "review"


def test_an_old_database_with_decisions_that_were_never_logged_is_refused(old: Path, policies: Policies) -> None:
    log = log_of(old)
    records = [(entry.kind, entry.subject, entry.record) for entry in log.entries() if entry.kind != "decision"]
    lose(old)
    log.append_many(records)
    store = Store.open(old)
    assert "Copy no decisions by people" in upgrade_human_decisions.plan(store)[0].does
    with pytest.raises(AuditLogError, match=r"items of .* such as .*audit --adopt"):
        score(store, policies)
    held = held_items(store)
    assert adopt(store, log, by="ben").logged["decision"] == len(held) - 1
    score(store, policies, everything=True)
    assert held_items(Store.open(old)) == held
    assert check_log(store, log).ok


def test_a_database_that_never_decided_links_to_a_log_that_is_new(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path / "new", 20)
    assert upgrade_human_decisions.plan(catalogue.store) == []
    upgrade_human_decisions.apply(catalogue.store)
    assert check_log(catalogue.store, log_of(catalogue.path)).ok
    promote(catalogue.store, make_head(catalogue))
    score(catalogue.store, POLICY)
    link, _ = read_link(catalogue.store)
    assert link is not None
    assert link.first == next(log_of(catalogue.path).entries()).entry_id
    assert catalogue.store.items.count_rows(f"run_id = {quote('run-0')}") == 20


def test_an_old_database_that_people_decided_about_needs_its_log(tmp_path: Path) -> None:
    old = Catalogue(tmp_path / "db", 20).path  # never scored
    decide(Store.open(old), log_of(old), BLOCKED, "block")
    for table in (TABLE, OVERRIDES):
        shutil.rmtree(old / f"{table}.lance")
    lose(old)
    with pytest.raises(AuditLogError, match=r"has decisions, but its audit log .* is empty; .*audit --adopt"):
        decide(Store.open(old), log_of(old), "i00003", "block")
    assert held_items(Store.open(old)) == {BLOCKED: "block"}
