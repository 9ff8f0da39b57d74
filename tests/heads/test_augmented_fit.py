"""Changed copies in the training of a head: splits, weights, and the rule that decides about their use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from firstsight.encoders.base import unit
from firstsight.heads.augmented_fit import Augmentation, Copies, compare_recalls, fit_with_copies, join_copies
from firstsight.heads.calibrated_fit import CalibratedFit, TrainSettings
from firstsight.heads.fitting import TrainingSet
from firstsight.storage.tables import HEAD_PARTS

DIM = 12
SETTINGS = TrainSettings(precision=0.5, recall=0.5, confidence=0.8)
MEANS = {part: np.zeros(DIM, np.float32) for part in HEAD_PARTS}


def units(vectors: NDArray[Any], labels: NDArray[Any], name: str = "item") -> TrainingSet:
    count = len(labels)
    ids = tuple(f"{name}:{n}" for n in range(count))
    return TrainingSet(
        unit(vectors),
        np.full(count, HEAD_PARTS.index("image"), np.int8),
        np.arange(count),
        ids,
        labels.astype(np.int8),
        np.ones(count),
        np.array([f"group {n}" for n in range(count)], dtype=object),
    )


def with_copies(count: int, *, shift: float, seed: int = 0) -> tuple[TrainingSet, Copies]:
    """Units whose label shows on axes 0 and 1; in their copies axis 0 is turned around by `shift`."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3 == 0
    signal = np.where(labels, 1.0, -1.0)
    vectors = rng.normal(size=(count, DIM)) * 0.35
    vectors[:, 0] += signal
    vectors[:, 1] += 0.6 * signal
    changed = vectors + rng.normal(size=vectors.shape) * 0.05
    changed[:, 0] -= shift * signal
    data = units(vectors, labels)
    twice = np.concatenate([changed, changed])
    copied = units(twice, np.concatenate([labels, labels]), "copy")
    sources = np.concatenate([np.arange(count)] * 2)
    grouped = TrainingSet(
        *(copied.vectors, copied.parts, copied.units, copied.unit_ids, copied.labels, copied.weights),
        data.groups[sources],
    )
    return data, Copies(grouped, sources, np.array(["mirror"] * count + ["crop"] * count, dtype=object))


@pytest.fixture(scope="module", params=[90, 180], ids=["cross-fitted", "held out"])
def gained(request: pytest.FixtureRequest) -> tuple[TrainingSet, CalibratedFit, Augmentation]:
    data, copies = with_copies(request.param, shift=2.0)
    return data, *fit_with_copies(data, copies, MEANS, None, SETTINGS)


def test_held_out_pictures_decide_about_copies(
    gained: tuple[TrainingSet, CalibratedFit, Augmentation],
) -> None:
    data, _, found = gained
    assert found.changed_augmented > found.changed_plain
    assert found.low <= found.changed_augmented - found.changed_plain <= found.high
    assert found.used == (found.low > 0 and found.clean_augmented >= found.clean_plain)
    if len(data.labels) == 90:
        assert found.used, found.reason
    assert set(found.by_change) == {"mirror", "crop"}


def test_figures_and_seen_units_are_those_of_intact_units(
    gained: tuple[TrainingSet, CalibratedFit, Augmentation],
) -> None:
    data, fitted, _ = gained
    assert fitted.held_out is not None
    assert set(fitted.held_out.unit_ids) <= set(data.unit_ids)
    assert set(fitted.seen) <= set(data.unit_ids)
    if fitted.figures["held_out"] != "cross-fitted":
        assert not set(fitted.seen) & set(fitted.held_out.unit_ids)


def test_copies_without_a_gain_are_not_used() -> None:
    data, copies = with_copies(90, shift=0.0)
    _, found = fit_with_copies(data, copies, MEANS, None, SETTINGS)
    assert not found.used
    assert found.reason.startswith("not used: recall on changed held-out pictures")


def test_few_labels_and_no_copies_are_not_compared() -> None:
    data, copies = with_copies(6, shift=1.0)
    _, found = fit_with_copies(data, copies, MEANS, None, SETTINGS)
    assert not found.used
    data, copies = with_copies(60, shift=1.0)
    _, found = fit_with_copies(data, copies.select(np.zeros(120, bool)), MEANS, None, SETTINGS)
    assert found.reason == "not used: no picture has a copy"


def test_a_unit_and_its_copies_share_its_weight() -> None:
    data, copies = with_copies(9, shift=1.0)
    joined = join_copies(data, copies.select(copies.source != 4))
    weights = np.zeros(9)
    np.add.at(weights, np.concatenate([np.arange(9), copies.source[copies.source != 4]]), joined.weights)
    assert weights == pytest.approx(np.ones(9))
    assert joined.weights[4] == 1.0
    assert joined.weights[0] == pytest.approx(1 / 3)
    assert joined.groups[9] == joined.groups[copies.source[0]]


def test_a_gain_that_costs_intact_recall_is_refused() -> None:
    data, copies = with_copies(90, shift=1.6)
    labels, copy_labels = data.labels.astype(float), copies.units.labels.astype(float)
    worse = labels.copy()
    worse[0] = -1.0  # one positive below the negatives
    found = compare_recalls(data, copies, copies.source, (labels, copy_labels * 0), (worse, copy_labels), 0.0, 180)
    assert found.low > 0
    assert found.clean_augmented < found.clean_plain
    assert not found.used
