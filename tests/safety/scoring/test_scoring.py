"""Scoring: decisions about changed items from their views, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstsight.encoders.base import Vector
from firstsight.errors import SafetyError
from firstsight.heads.calibration import HeadCalibration
from firstsight.heads.view_sample import texts
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.score_table import ScoreTable
from firstsight.safety.policy.decisions import Evidence, Override
from firstsight.safety.policy.policies import Policies, parse_policies
from firstsight.safety.policy.policy_heads import Head, HeadShelf
from firstsight.safety.scoring import rollup
from firstsight.safety.scoring.scoring_run import score
from firstsight.storage.store import Store
from firstsight.storage.tables import HEAD_PARTS
from tests.safety.conftest import POLICIES, Catalogue
from tests.safety.simulated_crashes import killed_before_each_write, put_back


def make_head(catalogue: Catalogue, policy_id: str = "weapons", *, coef: Vector | None = None) -> Head:
    """A head that knows the direction; 20 * (cosine - .7) as its logit, blocking at .9."""
    return Head(
        policy_id=policy_id,
        kind="head",
        fingerprint=catalogue.store.spec.fingerprint,
        coef=catalogue.weapon if coef is None else coef,
        scales=dict.fromkeys(HEAD_PARTS, 20.0),
        intercepts=dict.fromkeys(HEAD_PARTS, -14.0),
        trained_at=datetime.now(UTC),
        calibration=HeadCalibration("platt"),
        review=0.5,
        block=0.9,
    )


def promote(store: Store, *heads: Head) -> None:
    shelf = HeadShelf(store)
    shelf.promote([head.version for head in shelf.add(heads)])


@pytest.fixture
def scored(catalogue: Catalogue, policies: Policies) -> Catalogue:
    promote(catalogue.store, make_head(catalogue))
    score(catalogue.store, policies)
    return catalogue


def decisions(store: Store) -> dict[str, str]:
    """The items whose decision is not to show them, as `items` says."""
    store.refresh()
    found = store.items.search().where("safety_decision IS NOT NULL").limit(None).to_arrow().to_pylist()
    return {row["item_id"]: row["safety_decision"] for row in found}


def state(store: Store) -> list[Any]:
    """Scores and decisions, but for when they were made."""
    table = ScoreTable(store).open()
    assert table is not None
    rows = table.search().limit(None).to_arrow().drop_columns(["scored_at", "record"]).sort_by("item_id").to_pylist()
    return [rows, sorted(decisions(store).items())]


def test_one_bad_frame_flags_the_video_and_names_the_second(scored: Catalogue) -> None:
    flagged = decisions(scored.store)
    assert set(flagged) == set(scored.bad)
    for item_id, view_id in scored.bad.items():
        row = ScoreTable(scored.store).row(item_id)
        assert row is not None
        (evidence,) = row["record"].evidence
        assert (evidence.view_id, evidence.policy_id, evidence.source) == (view_id, "weapons", "head")
        assert evidence.time_s == (20.0 if "frame" in view_id else None)
        assert evidence.score >= evidence.cut == (0.9 if flagged[item_id] == "block" else 0.5)
        assert row["record"].head_versions == {"weapons": 1}
    stored = scored.store.item_rows(["i00010"])["i00010"]
    assert json.loads(stored["safety_scores"])["weapons"] > 0.5


def test_the_scores_of_the_table_are_those_of_the_product(scored: Catalogue) -> None:
    views = scored.store.view_rows(scored.ids)
    vectors = np.array(views["vector"].to_pylist())
    plain = 1 / (1 + np.exp(-(20 * vectors @ scored.weapon - 14)))
    best: dict[str, float] = {}
    for item_id, one in zip(texts(views["item_id"]), plain, strict=True):
        best[item_id] = max(best.get(item_id, 0.0), one)
    found = {
        i: s for ids, scores in ScoreTable(scored.store).scores() for i, s in zip(ids, scores["weapons"], strict=True)
    }
    assert found.keys() == best.keys()
    np.testing.assert_allclose([found[i] for i in best], list(best.values()), atol=1e-4)


def test_tables_that_do_not_fit_into_memory_give_the_same_scores(
    scored: Catalogue, policies: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(scored.store)
    monkeypatch.setattr(rollup, "VIEWS_PER_SHARD", 300)
    monkeypatch.setattr(rollup, "ROWS_PER_BATCH", 100)
    report = score(scored.store, policies, everything=True)
    assert (report.scored, report.everything) == (400, True)
    after = state(scored.store)
    assert [row["item_id"] for row in after[0]] == [row["item_id"] for row in before[0]]
    np.testing.assert_allclose([r["scores"] for r in after[0]], [r["scores"] for r in before[0]], atol=1e-6)
    assert after[1] == before[1]


@pytest.mark.slow
def test_only_new_items_are_scored_until_a_head_or_a_cut_changes(scored: Catalogue, policies: Policies) -> None:
    assert score(scored.store, policies).scored == 0
    scored.add(30, "run-1")
    assert (score(scored.store, policies).scored, score(scored.store, policies).scored) == (30, 0)
    assert set(decisions(scored.store)) == set(scored.bad)
    renamed = parse_policies(POLICIES.replace("Weapons", "Arms"), "p.yaml")
    assert score(scored.store, renamed).scored == 0
    stricter = parse_policies(POLICIES.replace("severity: 4", "severity: 5"), "p.yaml")
    assert score(scored.store, stricter).scored == 430
    promote(scored.store, make_head(scored))
    assert score(scored.store, stricter).scored == 430


def test_an_item_that_is_indexed_again_stays_blocked_until_it_is_scored(scored: Catalogue, policies: Policies) -> None:
    item_id = next(iter(scored.bad))
    row = scored.store.item_rows([item_id])[item_id]
    kept = scored.store.safety_rows([item_id, "i00001"])
    assert kept.keys() == {item_id}
    view = next(v for v in scored.store.view_rows([item_id]).to_pylist() if v["part"] == "title")
    scored.store.write_views([view], [item_id])  # the bad view is gone
    scored.store.write_items([row | {"run_id": "run-2"}])
    assert item_id in decisions(scored.store)
    assert score(scored.store, policies).scored == 1
    assert item_id not in decisions(scored.store)


@pytest.mark.slow
def test_regions_ages_and_parts_of_policies_count(catalogue: Catalogue) -> None:
    text = POLICIES.replace(
        "severity: 4,", "severity: 4, parts: [title, frame], cuts: {de: {review: 0.0, block: 0.001}},"
    )
    ruled = parse_policies(text, "p.yaml")
    promote(catalogue.store, make_head(catalogue), make_head(catalogue, "alcohol"))
    score(catalogue.store, ruled)
    shown = catalogue.store.safety_rows(list(catalogue.bad))
    for item_id, view_id in catalogue.bad.items():
        assert shown[item_id]["safety_min_age"] == 18  # alcohol is kept from younger people, never blocked
        row = ScoreTable(catalogue.store).row(item_id)
        assert row is not None
        weapons = [e for e in row["record"].evidence if e.policy_id == "weapons"]
        assert bool(weapons) == ("frame" in view_id)
    strict = score(catalogue.store, ruled, region="de")
    assert strict.block > 100


def test_overrides_count_with_scores_and_a_person_above_all(scored: Catalogue, policies: Policies) -> None:
    bad, good = next(iter(scored.bad)), "i00001"

    def override(item_id: str, action: Any, source: Any) -> Mapping[str, Override]:
        return {item_id: Override(action, (Evidence("weapons", "", None, None, None, 1.0, 1.0, source),))}

    score(scored.store, policies, overrides={**override(bad, "allow", "human"), **override(good, "block", "hash")})
    flagged = decisions(scored.store)
    assert bad not in flagged
    assert flagged[good] == "block"
    score(scored.store, policies)  # taken back
    assert set(decisions(scored.store)) == set(scored.bad)


def test_decisions_are_logged_without_being_asked_for(catalogue: Catalogue, policies: Policies) -> None:
    promote(catalogue.store, make_head(catalogue))
    report = score(catalogue.store, policies)
    entries = list(AuditLog.of(catalogue.store.uri).entries())
    assert [entry.kind for entry in entries] == ["decision"] * len(catalogue.bad) + ["score"]
    assert entries[-1].record["policy_version"] == policies.version
    assert (entries[-1].subject, entries[-1].record["counts"]["block"]) == (report.run_id, report.block)
    assert report.review + report.block == len(catalogue.bad)


def test_a_policy_that_is_gone_and_nothing_to_score_with_are_refused(catalogue: Catalogue, policies: Policies) -> None:
    with pytest.raises(SafetyError, match="nothing to score with"):
        score(catalogue.store, policies)
    promote(catalogue.store, make_head(catalogue, "spoons"))
    with pytest.raises(SafetyError, match=r"head 1 is of policy 'spoons'.*retired: true"):
        score(catalogue.store, policies)


def test_removed_items_lose_their_scores(scored: Catalogue, policies: Policies) -> None:
    pruned, emptied = list(scored.bad)[:2]
    row = scored.store.item_rows([emptied])[emptied]
    scored.store.delete_items([pruned])
    scored.store.write_views([], [emptied])
    scored.store.write_items([row | {"run_id": "run-2", "vector": None}])
    assert score(scored.store, policies).scored == 0
    assert set(decisions(scored.store)) == set(scored.bad) - {pruned, emptied}
    assert ScoreTable(scored.store).row(pruned) is None
    assert ScoreTable(scored.store).row(emptied) is None
    assert score(scored.store, policies).written == 0


def test_an_empty_database_is_refused(tmp_path: Path, policies: Policies) -> None:
    with pytest.raises(SafetyError, match="has no items yet"):
        score(Catalogue(tmp_path / "empty", 0).store, policies)


@pytest.mark.slow
def test_a_kill_leaves_the_old_scores_in_force_and_the_next_run_makes_them_new(
    scored: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(scored.store)
    promote(scored.store, make_head(scored, coef=np.asarray(-scored.weapon)))
    new = parse_policies(POLICIES, "p.yaml")
    killed = killed_before_each_write(monkeypatch, lambda path: score(Store.open(path), new), scored.path)
    assert len(killed) >= 3
    for files in killed:
        put_back(files, scored.path)
        store = Store.open(scored.path)
        scores, shown = state(store)
        if [row["scores"] for row in scores] == [row["scores"] for row in before[0]]:
            assert shown == before[1]
        score(store, new)
        after = state(store)
        assert [row["scores"] for row in after[0]] != [row["scores"] for row in before[0]]
        assert after[1] == []  # the other direction shows nothing
