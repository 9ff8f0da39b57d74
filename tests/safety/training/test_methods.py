"""Heads of each method: trained, stored, and scored alike by the head and by the stack; worse heads are not used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from firstsight.errors import SafetyError, StoreError
from firstsight.heads.calibrated_fit import TrainSettings
from firstsight.heads.view_sample import texts
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.policy import policy_heads
from firstsight.safety.policy.policies import Policies
from firstsight.safety.policy.policy_heads import HeadShelf, HeadStack
from firstsight.safety.training import training_run
from firstsight.safety.training.head_training import TrainedHead, train
from firstsight.safety.training.training_run import retrain, train_from_labels
from firstsight.storage.tables import HEAD_PARTS
from tests.safety.conftest import Catalogue
from tests.safety.training.test_training import average_precision, labels_of


@dataclass(frozen=True)
class ShiftedTower:
    """A text tower whose texts are fixed vectors, shifted by the mean of the context."""

    vectors: dict[str, Tensor]

    def start_context(self, words: str) -> Tensor:
        dim = len(next(iter(self.vectors.values())))
        return 0.1 * torch.randn((4, dim), generator=torch.Generator().manual_seed(len(words)))

    def embed(self, context: Tensor, texts: Sequence[str]) -> Tensor:
        rows = torch.stack([self.vectors[text] * (1 + context.mean(dim=-2)) for text in texts])
        return functional.normalize(rows, dim=1)


def trained(catalogue: Catalogue, policies: Policies, path: Path, method: str) -> TrainedHead:
    """A head from 80 labels, with prompts near the truth."""
    policy = policies["weapons"]
    noise = np.random.default_rng(0).normal(size=(2, len(catalogue.weapon))).astype(np.float32) / 10
    vectors = dict.fromkeys(policy.prompts, torch.from_numpy(catalogue.weapon + noise[0]))
    vectors |= dict.fromkeys(policy.neutral_prompts, torch.from_numpy(noise[1]))
    (made,) = train(
        catalogue.store,
        labels_of(catalogue, policies, path, catalogue.ids[:80]),
        {p.id: p for p in policies.all},
        directions={"weapons": np.asarray(catalogue.weapon + noise[0] - noise[1], dtype=np.float32)},
        settings=TrainSettings(method=method),
        groups={},
        tower=ShiftedTower(vectors),
    )
    return made


@pytest.mark.parametrize("method", ["linear", "prompt-offset", "tip-adapter", "coop"])
def test_a_head_of_each_method_is_stored_and_scored_alike(
    method: str, catalogue: Catalogue, policies: Policies, tmp_path: Path
) -> None:
    made = trained(catalogue, policies, tmp_path / "l.csv", method)
    figures = made.head.figures
    assert (figures["method"], figures["requested_method"]) == (method, method)
    assert made.comparison is not None
    assert made.comparison.against in ("prompts", "chance")
    with catalogue.store.writing(0):
        HeadShelf(catalogue.store).add([made.head])
    stored = HeadShelf(catalogue.store).version(1)
    views = catalogue.store.view_rows(catalogue.ids)
    vectors, parts = np.array(views["vector"].to_pylist(), np.float32), texts(views["part"])
    expected = made.head.logits(vectors, parts)
    np.testing.assert_allclose(stored.logits(vectors, parts), expected, atol=1e-5)
    places = np.array([HEAD_PARTS.index(part) if part in HEAD_PARTS else -1 for part in parts])
    stacked = HeadStack.of([stored, stored], {"weapons": policies["weapons"]}).logits(vectors, places)
    seen = ~np.isnan(stacked[:, 1])
    np.testing.assert_allclose(stacked[seen, 1], expected[seen], atol=1e-4)
    assert average_precision(catalogue, stored, catalogue.ids[80:]) > 0.5
    assert (stored.cache is not None) == (method == "tip-adapter")


def test_damaged_keys_are_named(catalogue: Catalogue, policies: Policies, tmp_path: Path) -> None:
    row = policy_heads.SHELF_SPEC.to_row(trained(catalogue, policies, tmp_path / "l.csv", "tip-adapter").head)
    with pytest.raises(StoreError, match="the keys of head 0 are damaged"):
        policy_heads.SHELF_SPEC.from_row(row | {"coef": row["coef"][:-1]})


def test_methods_that_need_prompts_name_the_policy(catalogue: Catalogue, policies: Policies, tmp_path: Path) -> None:
    labels = labels_of(catalogue, policies, tmp_path / "l.csv", catalogue.ids[:40])
    for method in ("prompt-offset", "tip-adapter", "coop"):
        with pytest.raises(SafetyError, match=f"{method} needs prompts, and policy weapons has none"):
            train(catalogue.store, labels, {p.id: p for p in policies.all}, settings=TrainSettings(method=method))
    with pytest.raises(SafetyError, match="no method is called 'magic'"):
        TrainSettings(method="magic")


def test_a_head_from_random_labels_is_stored_and_not_used_unless_forced(
    catalogue: Catalogue, policies: Policies
) -> None:
    rng = np.random.default_rng(3)
    rows = [
        {"item_id": item_id, "policy": "weapons", "label": int(rng.random() < 0.3)} for item_id in catalogue.ids[:60]
    ]
    report = train_from_labels(catalogue.store, rows, policies)
    assert not report.heads[0].promoted
    assert report.verdicts[0].startswith("not promoted: average precision of the share of positives 0.")
    entry = list(AuditLog.of(catalogue.store.uri).entries())[-1].record
    assert (entry["promoted"], entry["verdict"], entry["method"]) == (False, report.verdicts[0], "linear")
    forced = train_from_labels(catalogue.store, rows, policies, force=True)
    assert forced.heads[0].promoted
    assert forced.verdicts[0].endswith("; promoted all the same, as requested")


def test_a_head_from_few_labels_does_not_replace_perfect_prompts(
    catalogue: Catalogue, policies: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    directions = {"weapons": catalogue.weapon}
    monkeypatch.setattr(training_run, "load_prompt_directions", lambda *_: directions)
    # each of these positives shows the weapon in one of six views, and four labels are too few to find it
    ids = [*list(catalogue.bad)[:4], *[one for one in catalogue.ids if one not in catalogue.bad][:12]]
    rows = [{"item_id": one, "policy": "weapons", "label": int(one in catalogue.bad)} for one in ids]
    settings = TrainSettings(method="linear")
    first = train_from_labels(catalogue.store, rows, policies, settings=settings)
    again = retrain(catalogue.store, AuditLog.of(catalogue.store.uri), policies, rows, settings=settings)
    for report in (first, again):
        (head,), (verdict,), (made,) = report.heads, report.verdicts, report.trained
        assert not head.promoted
        assert made.comparison is not None
        assert (made.comparison.against, made.comparison.champion_ap) == ("prompts", 1.0)
        assert made.comparison.low < 0 <= made.comparison.high
        assert verdict.startswith("not promoted: average precision of the prompts 1.0000, of the head 0.")
        assert ", 90% interval -0." in verdict
        assert verdict.endswith("; 0 or more is needed")
    assert not HeadShelf(catalogue.store).promoted()
