"""Known pictures and people override scores, and replays of the records give the same decisions."""

from __future__ import annotations

import pytest

from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.human_decisions import Reviews
from firstsight.safety.audit.score_table import ScoreTable
from firstsight.safety.hashes.hash_bank import HashBank
from firstsight.safety.hashes.hash_lists import KnownHash
from firstsight.safety.policy.policies import Policies
from firstsight.safety.review import review_actions
from firstsight.safety.review.replay import replay
from firstsight.safety.scoring.scoring_run import score
from tests.safety.conftest import Catalogue
from tests.safety.scored_items import change_item, decision_of
from tests.safety.scoring.test_scoring import make_head, promote

CODE = bytes(range(32))


@pytest.fixture
def log(catalogue: Catalogue) -> AuditLog:
    """The log of a catalogue that a head scores."""
    promote(catalogue.store, make_head(catalogue))
    return AuditLog.of(catalogue.store.uri)


def scored(catalogue: Catalogue, policies: Policies, log: AuditLog) -> None:
    score(catalogue.store, policies, log=log)


@pytest.mark.slow
def test_a_known_picture_blocks_and_a_person_counts_above_all(
    catalogue: Catalogue, policies: Policies, log: AuditLog
) -> None:
    store, fine, bad = catalogue.store, "i00001", next(iter(catalogue.bad))
    with store.writing():
        picture = store.view_rows([fine]).filter(store.view_rows([fine])["part"].to_numpy() == "image").slice(0, 1)
        store.write_views([picture.to_pylist()[0] | {"fingerprint": CODE}], [])
    HashBank(store).add([KnownHash(CODE, "bad", "weapons", "list")], log, by="ana")
    scored(catalogue, policies, log)
    assert decision_of(store, fine) == "block"
    row = ScoreTable(store).row(fine)
    assert row is not None
    assert [(one.source, one.part, one.score, one.cut) for one in row["record"].evidence] == [("hash", "image", 0, 31)]
    flagged = decision_of(store, bad)
    assert flagged != "allow"
    for item_id in (fine, bad):
        review_actions.decide(
            store, log, item_id, "allow", policies=policies, policy_ids=["weapons"], reason="a toy", by="ana"
        )
        assert decision_of(store, item_id) == "allow"
    scored(catalogue, policies, log)
    assert [decision_of(store, item_id) for item_id in (fine, bad)] == ["allow", "allow"]
    for item_id in (fine, bad):
        change_item(store, item_id)
    scored(catalogue, policies, log)
    assert [decision_of(store, item_id) for item_id in (fine, bad)] == ["block", flagged]
    made = [replay(entry) for entry in log.entries(kinds=["decision"])]
    assert len(made) >= len(catalogue.bad)
    assert all(one.same for one in made)
    assert log.verify().ok


def test_a_blocked_item_that_changes_is_reviewed_though_its_scores_are_fine(
    catalogue: Catalogue, policies: Policies, log: AuditLog
) -> None:
    store = catalogue.store
    review_actions.decide(
        store, log, "i00001", "block", policies=policies, policy_ids=["weapons"], reason="a gun", by="ana"
    )
    scored(catalogue, policies, log)
    assert decision_of(store, "i00001") == "block"
    change_item(store, "i00001")
    scored(catalogue, policies, log)
    assert decision_of(store, "i00001") == "review"
    assert Reviews.read(log).decisions["i00001"].action == "block"
