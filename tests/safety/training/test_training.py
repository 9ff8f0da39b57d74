"""Training: heads from labels, measured on unseen units, and unusable labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from firstsight.errors import EncoderMismatchError, SafetyError
from firstsight.heads.calibrated_fit import TrainSettings
from firstsight.heads.fitting import make_folds
from firstsight.heads.labelled_views import make_training_set, read_labelled_views
from firstsight.heads.labels import LabelSet
from firstsight.heads.view_sample import texts
from firstsight.safety.policy.policies import Policies
from firstsight.safety.policy.policy_heads import Head, HeadShelf
from firstsight.safety.training.head_training import TrainedHead, train
from firstsight.safety.training.policy_labels import read_labels
from firstsight.storage.store import Store
from tests.safety.conftest import Catalogue


def labels_of(catalogue: Catalogue, policies: Policies, path: Path, ids: list[str]) -> LabelSet:
    rows = [f"{item_id},weapons,{int(item_id in catalogue.bad)}" for item_id in ids]
    path.write_text("item_id,policy,label\n" + "\n".join(rows))
    return read_labels(path, policies, catalogue.store)


def trained(catalogue: Catalogue, policies: Policies, path: Path, ids: list[str], **how: Any) -> TrainedHead:
    labels = labels_of(catalogue, policies, path, ids)
    labels.require_clean()
    settings = TrainSettings(**how)
    (made,) = train(catalogue.store, labels, {p.id: p for p in policies.all}, settings=settings, groups={})
    return made


def average_precision(catalogue: Catalogue, head: Head, ids: list[str]) -> float:
    views = catalogue.store.view_rows(ids)
    logits = head.logits(np.array(views["vector"].to_pylist(), np.float32), texts(views["part"]))
    best: dict[str, float] = {}
    for item_id, logit in zip(texts(views["item_id"]), logits, strict=True):
        best[item_id] = max(best.get(item_id, -np.inf), float(logit))
    return float(average_precision_score([i in catalogue.bad for i in best], list(best.values())))


def test_sixteen_positives_are_enough_for_a_head_that_ranks_well(
    catalogue: Catalogue, policies: Policies, tmp_path: Path
) -> None:
    made = trained(catalogue, policies, tmp_path / "l.csv", catalogue.ids[:160])
    assert made.head.figures["positives"] == 16
    assert made.head.figures["held_out"] == "cross-fitted"
    assert average_precision(catalogue, made.head, catalogue.ids[160:]) > 0.9
    assert "not attainable" in made.head.figures["review_target"]["reason"]
    assert made.head.block is None  # with 16 positives nothing can promise a precision of .95
    assert made.head.calibrated


@pytest.mark.slow
def test_many_positives_are_split_and_the_cuts_keep_their_targets(tmp_path: Path, policies: Policies) -> None:
    catalogue = Catalogue(tmp_path / "db", 1_600)
    made = trained(catalogue, policies, tmp_path / "l.csv", catalogue.ids, precision=0.7, recall=0.8)
    figures = made.head.figures
    assert figures["held_out"] == "two fifths of the groups"
    assert made.held_out is not None
    assert figures["held_out_positives"] == made.held_out.labels.sum()
    assert 45 <= figures["held_out_positives"] <= 85
    assert figures["brier"] <= figures["brier_uncalibrated"]
    assert made.head.review is not None
    assert made.head.block is not None
    assert made.head.review <= made.head.block
    blocked = made.held_out.scores >= made.head.block
    assert made.held_out.labels[blocked].mean() >= 0.7
    assert made.held_out.labels[blocked].sum() > 20


def test_a_group_is_never_on_both_sides_of_a_split(catalogue: Catalogue, policies: Policies, tmp_path: Path) -> None:
    labels = labels_of(catalogue, policies, tmp_path / "l.csv", catalogue.ids)
    groups = {item_id: catalogue.ids[n // 4 * 4] for n, item_id in enumerate(catalogue.ids)}
    by_id = {p.id: p for p in policies.all}
    (made,) = train(catalogue.store, labels, by_id, settings=TrainSettings(), groups=groups)
    assert made.held_out is not None
    assert set(made.held_out.groups) <= set(groups.values())
    views = read_labelled_views(catalogue.store, labels.rows)
    parts = by_id["weapons"].parts
    data = make_training_set(labels.of("weapons"), views, groups, parts=parts, policy_id="weapons")
    sides = [set(data.groups[fold]) for fold in make_folds(data)]
    assert len(sides) == 5
    assert sum(len(side) for side in sides) == len(set.union(*sides)) == 100


def test_views_and_files_can_be_labelled_too(catalogue: Catalogue, policies: Policies, tmp_path: Path) -> None:
    rows = ["item_id,view_id,path,policy,label"]
    for n, (item_id, view_id) in enumerate(catalogue.bad.items()):
        rows.append(f",{view_id},,weapons,1" if n % 2 else f"{item_id},,,weapons,1")
    rows += [f",,/data/{item_id}.jpg,weapons,0" for item_id in catalogue.ids if item_id not in catalogue.bad]
    path = tmp_path / "l.csv"
    path.write_text("\n".join(rows))
    labels = read_labels(path, policies, catalogue.store)
    labels.require_clean()
    (made,) = train(catalogue.store, labels, {p.id: p for p in policies.all}, groups={})
    assert made.units[1].startswith("view:")
    assert made.units[-1] == "path:/data/i00399.jpg"
    assert average_precision(catalogue, made.head, catalogue.ids) > 0.9
    path.write_text("path,policy,label\n/data/none.jpg,weapons,1\n/data/i00001.jpg,weapons,0\n")
    with pytest.raises(
        SafetyError, match=r"views of frame, image, title; .* none: row 2: path '/data/none.jpg'; leave"
    ):
        train(catalogue.store, read_labels(path, policies, catalogue.store), {p.id: p for p in policies.all}, groups={})


@pytest.mark.slow
def test_prompts_join_where_they_help(catalogue: Catalogue, policies: Policies, tmp_path: Path) -> None:
    labels = labels_of(catalogue, policies, tmp_path / "l.csv", catalogue.ids[:80])
    by_id = {p.id: p for p in policies.all}
    good, bad = catalogue.weapon, np.roll(catalogue.weapon, 7)
    (helped,) = train(catalogue.store, labels, by_id, directions={"weapons": good}, groups={})
    (alone,) = train(catalogue.store, labels, by_id, groups={})
    assert helped.head.figures["prompts"]
    rest = catalogue.ids[80:]
    assert average_precision(catalogue, helped.head, rest) >= average_precision(catalogue, alone.head, rest)
    (misled,) = train(catalogue.store, labels, by_id, directions={"weapons": bad}, groups={})
    assert not misled.head.figures["prompts"]


def test_labels_that_cannot_be_used_are_named_row_by_row(
    catalogue: Catalogue, policies: Policies, tmp_path: Path
) -> None:
    path = tmp_path / "l.csv"
    rows = [
        "i00001,,weapons,1,ann",  # 2
        "i00001,,weapons,0,bob",  # 3
        "i00002,,weapons,0,ann",
        "i00002,,weapons,0,bob",  # 5
        "nothing,,weapons,1,",
        ",i00003#sound,weapons,1,",  # 7
        "i00004,,spoons,1,",
        "i00005,,weapons,yes,",  # 9
        "i00006,i00006#title,weapons,1,",
        "i00007,,weapons,0,",  # 11
        ",i00007#image-0,weapons,1,",
        "i00010,,weapons,1,",  # 13
        "i00020,,alcohol,1,",
    ]
    path.write_text("item_id,view_id,policy,label,annotator\n" + "\n".join(rows))
    labels = read_labels(path, policies, catalogue.store)
    text = "\n".join(labels.problems)
    for said in (
        "item 'i00001', policy weapons: row 2 says 1 (ann), row 3 says 0 (bob)",
        "row 5 repeats row 4: item 'i00002'",
        "row 6: there is no item 'nothing'",
        "row 7: there is no view 'i00003#sound'",
        "row 8: there is no policy 'spoons'; the policies are weapons, alcohol",
        "row 9: label 'yes' must be 0 or 1",
        "row 10: fill one of item_id, view_id, path, not 2",
        "row 11 says item 'i00007' is not weapons, row 12 says its view 'i00007#image-0' is",
        "policy alcohol: 1 labels and no negative one",
    ):
        assert said in text
    assert sorted(label.row for label in labels.rows) == [4, 13]
    with pytest.raises(SafetyError, match=r"9 problems with the labels; .* --skip-bad-labels"):
        labels.require_clean()


def test_a_file_without_the_columns_is_refused(catalogue: Catalogue, policies: Policies, tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("sku,policy,label\na,weapons,1\n")
    with pytest.raises(SafetyError, match="one of item_id, view_id, path; it has sku, policy, label"):
        read_labels(path, policies, catalogue.store)


def test_heads_are_kept_promoted_in_one_commit_and_bound_to_the_encoder(
    catalogue: Catalogue, policies: Policies, tmp_path: Path
) -> None:
    head = trained(catalogue, policies, tmp_path / "l.csv", catalogue.ids[:200]).head
    shelf = HeadShelf(catalogue.store)
    first, second = shelf.add([head, head])
    assert (first.version, second.version) == (1, 2)
    assert shelf.promoted() == {}
    shelf.promote([1])
    shelf.promote([2])
    kept = shelf.promoted()["weapons"]
    assert kept.version == 2
    assert (kept.calibration, kept.review, kept.figures) == (head.calibration, head.review, head.figures)
    np.testing.assert_array_equal(kept.coef, head.coef)
    with pytest.raises(SafetyError, match=r"there is no head 7 in .*; its versions: 1, 2"):
        shelf.promote([7])
    with pytest.raises(SafetyError, match="promote one of each policy"):
        shelf.promote([1, 2])
    shelf.drop(["weapons"])
    assert shelf.promoted() == {}
    with pytest.raises(EncoderMismatchError, match=r"made for vectors of another encoder .*Train it again here"):
        shelf.add([Head(**(vars(head) | {"fingerprint": "other"}))])


@pytest.mark.slow
def test_a_review_budget_raises_the_review_cut(catalogue: Catalogue, policies: Policies, tmp_path: Path) -> None:
    free = trained(catalogue, policies, tmp_path / "l.csv", catalogue.ids, recall=0.9).head
    tight = trained(catalogue, policies, tmp_path / "l.csv", catalogue.ids, recall=0.9, review_budget=0.02).head
    assert tight.review is not None
    assert free.review is None or free.review < tight.review


def test_stores_of_other_encoders_do_not_share_heads(tmp_path: Path, catalogue: Catalogue) -> None:
    assert HeadShelf(Store.open(catalogue.path)).versions() == []
