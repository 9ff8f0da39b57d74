"""Decisions become labels, and a challenger is promoted only if it is shown to be better."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from firstsight.encoders.base import unit
from firstsight.errors import SafetyError
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.policy.policies import Policies
from firstsight.safety.policy.policy_heads import HeadShelf
from firstsight.safety.review import review_actions
from firstsight.safety.training.training_run import retrain, train_from_labels
from firstsight.storage.store import Store
from tests.safety.conftest import Catalogue
from tests.safety.scoring.test_scoring import make_head, promote
from tests.safety.simulated_crashes import killed_before_each_write, put_back


def labels(catalogue: Catalogue, path: Path, ids: list[str], wrong: int = 0) -> Path:
    """True labels of items, but for every `wrong`-th, which has the other one."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "policy", "label"])
        for n, item_id in enumerate(ids):
            flipped = wrong and n % wrong == 0
            writer.writerow([item_id, "weapons", int((item_id in catalogue.bad) != bool(flipped))])
    return path


@pytest.fixture
def large(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "large", 1_600)


@pytest.mark.slow
def test_a_better_challenger_takes_over_and_an_equal_one_does_not(
    large: Catalogue, policies: Policies, tmp_path: Path
) -> None:
    store, log = large.store, AuditLog.of(large.store.uri)
    noise = unit(np.random.default_rng(5).normal(size=large.weapon.shape))
    promote(store, make_head(large, coef=np.asarray(large.weapon + 3 * noise, dtype=np.float32)))
    (poor,) = HeadShelf(store).promoted().values()
    file = labels(large, tmp_path / "l.csv", large.ids)
    first = retrain(store, log, policies, file)
    assert first.heads[0].promoted, first.verdicts
    assert first.heads[0].version != poor.version
    again = retrain(store, log, policies, file)
    assert not again.heads[0].promoted
    assert "champion kept" in again.verdicts[0]
    assert HeadShelf(store).promoted()["weapons"].version == first.heads[0].version
    entries = list(log.entries(kinds=["train"]))
    assert [entry.record["verdict"] for entry in entries] == [*first.verdicts, *again.verdicts]


@pytest.mark.slow
def test_challenger_and_champion_are_compared_on_units_that_neither_has_seen(
    large: Catalogue, policies: Policies, tmp_path: Path
) -> None:
    log = AuditLog.of(large.store.uri)
    early = train_from_labels(large.store, labels(large, tmp_path / "a.csv", large.ids[:800]), policies)
    (seen,) = (set(head.seen) for head in early.heads)
    later = retrain(large.store, log, policies, labels(large, tmp_path / "b.csv", large.ids))
    (made,) = later.trained
    assert made.comparison is not None
    assert made.held_out is not None
    assert not set(made.head.seen) & set(made.held_out.unit_ids)
    assert made.comparison.rows == len(set(made.held_out.unit_ids) - seen) == len(made.held_out.unit_ids)


@pytest.mark.slow
def test_a_champion_that_has_seen_all_labels_is_not_compared(
    catalogue: Catalogue, policies: Policies, tmp_path: Path
) -> None:
    log = AuditLog.of(catalogue.store.uri)
    file = labels(catalogue, tmp_path / "l.csv", catalogue.ids[:100])
    train_from_labels(catalogue.store, file, policies, log=log)
    report = retrain(catalogue.store, log, policies, file)
    assert not report.heads[0].promoted
    assert "has seen every label" in report.verdicts[0]
    assert log.verify().ok


def test_decisions_are_labels_and_count_more_than_the_file(
    catalogue: Catalogue, policies: Policies, tmp_path: Path
) -> None:
    store, log = catalogue.store, AuditLog.of(catalogue.store.uri)
    with pytest.raises(SafetyError, match="nothing to train from"):
        retrain(store, log, policies)
    wrong, right = next(iter(catalogue.bad)), "i00001"
    review_actions.decide(
        store, log, right, "block", policies=policies, policy_ids=["weapons"], reason="seen", by="ana"
    )
    with pytest.raises(SafetyError, match="nothing to train from"):
        retrain(store, log, policies)
    review_actions.decide(
        store, log, wrong, "allow", policies=policies, policy_ids=["weapons"], reason="seen", by="ana"
    )
    file = labels(catalogue, tmp_path / "l.csv", catalogue.ids[:60])
    report = retrain(store, log, policies, file)
    assert report.problems == ()
    assert report.verdicts[0].startswith("promoted: average precision of the share of positives 0.1000, of the head 0.")
    assert report.heads[0].figures["positives"] == len(set(catalogue.ids[:60]) & set(catalogue.bad) - {wrong}) + 1


@pytest.mark.slow
def test_a_kill_while_training_leaves_the_old_head_in_force(
    catalogue: Catalogue, policies: Policies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(catalogue.store, make_head(catalogue))
    before = HeadShelf(catalogue.store).promoted()["weapons"].version
    file = labels(catalogue, tmp_path / "l.csv", catalogue.ids)

    def act(path: Path) -> None:
        train_from_labels(Store.open(path), file, policies, force=True)

    killed = killed_before_each_write(monkeypatch, act, catalogue.path)
    assert len(killed) >= 2
    for files in killed:
        put_back(files, catalogue.path)
        shelf = HeadShelf(Store.open(catalogue.path))
        in_use = [head.version for head in shelf.versions("weapons") if head.promoted]
        assert len(in_use) == 1  # never none, never two
        if in_use != [before]:
            assert in_use[0] == max(head.version for head in shelf.versions())
        made = train_from_labels(Store.open(catalogue.path), file, policies, force=True)
        assert HeadShelf(Store.open(catalogue.path)).promoted()["weapons"].version == made.heads[0].version
