"""A champion of prompts is compared by the parts that it scores."""

from __future__ import annotations

import numpy as np
import pytest

from firstsight.encoders.base import unit
from firstsight.heads.calibrated_fit import HeldOutUnits
from firstsight.heads.fitting import TrainingSet
from firstsight.heads.view_sample import ViewSample
from firstsight.safety.policy.policies import parse_policies
from firstsight.safety.policy.policy_heads import HeadStack
from firstsight.safety.scoring.zero_shot import zero_shot_head
from firstsight.safety.training.head_training import compare_heads
from firstsight.storage.tables import HEAD_PARTS

POLICIES = "policies: [{id: weapons, name: Weapons, severity: 4, prompts: [a gun], neutral_prompts: [a toy]}]"
DIRECTION = unit(np.array([[1.0, 0.0]], np.float32))[0]


def views_of(titles: bool, count: int = 60) -> TrainingSet:
    """Units of a title along the prompts, against their label, and a picture that shows the label; or titles alone."""
    labels = np.arange(count) % 2
    away = -DIRECTION
    title_vectors = np.where(labels[:, None] == 1, away, DIRECTION).astype(np.float32)
    place = {part: n for n, part in enumerate(HEAD_PARTS)}
    vectors, parts, units = [title_vectors], [np.full(count, place["title"])], [np.arange(count)]
    if not titles:
        vectors.append(-title_vectors)
        parts.append(np.full(count, place["image"]))
        units.append(np.arange(count))
    ids = tuple(f"unit-{n}" for n in range(count))
    return TrainingSet(
        np.concatenate(vectors),
        np.concatenate(parts).astype(np.int8),
        np.concatenate(units),
        ids,
        labels.astype(np.int8),
        np.ones(count),
        np.array(ids, dtype=object),
    )


@pytest.mark.parametrize("titles", [False, True])
def test_titles_of_a_champion_of_prompts_do_not_count(titles: bool) -> None:
    policy = parse_policies(POLICIES, "p.yaml").all[0]
    data = views_of(titles)
    sample = ViewSample(data.vectors, data.parts, data.units)
    champion = zero_shot_head(policy, DIRECTION, sample, "l", budget=0.5)
    scores = np.random.default_rng(0).random(len(data.labels))
    held_out = HeldOutUnits(
        *(np.arange(len(data.labels)), data.unit_ids, scores, data.labels, data.weights, data.groups)
    )
    comparison = compare_heads(policy, champion, data, held_out)
    # by titles, the champion would be wrong about every unit; titles alone say nothing, so all units are equal
    assert comparison.champion_ap == pytest.approx(0.5 if titles else 1.0)
    scored = HeadStack.of([champion], {policy.id: policy}).logits(data.vectors, data.parts)[:, 0]
    assert np.array_equal(np.isnan(scored), data.parts == HEAD_PARTS.index("title"))
