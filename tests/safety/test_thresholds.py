"""Thresholds keep their targets on what comes, and say so where they cannot."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from firstsight.errors import SafetyError
from firstsight.safety.calibration import Floats, Labels
from firstsight.safety.thresholds import (
    independent,
    lower_bound,
    precision_threshold,
    rates_at,
    recall_threshold,
    upper_bound,
)


def drawn(rng: np.random.Generator, units: int, share: float = 0.2) -> tuple[Floats, Labels]:
    labels = (rng.random(units) < share).astype(np.int8)
    return expit(rng.normal(size=units) + 3.0 * labels - 2.0), labels


REAL = drawn(np.random.default_rng(99), 100_000)


def missed(targets: list[tuple[float, float | None]], target: float) -> float:
    """Share of the runs in which the measure on what comes is below the target."""
    return float(np.mean([value is not None and value < target for _, value in targets]))


@pytest.mark.parametrize("target", [0.8, 0.95])
def test_a_precision_target_is_missed_in_at_most_one_run_of_twenty(target: float) -> None:
    rng = np.random.default_rng(1)
    runs = [precision_threshold(*drawn(rng, 1_500), target) for _ in range(200)]
    cuts = [run.cut for run in runs if run.cut is not None]
    assert len(cuts) >= 150
    assert np.mean([rates_at(*REAL, cut)[0] < target for cut in cuts]) <= 0.05
    assert np.mean([rates_at(*REAL, cut)[1] for cut in cuts]) > 0.5  # and is not bought with a cut that finds nothing


def test_a_recall_target_is_missed_in_at_most_one_run_of_twenty() -> None:
    rng = np.random.default_rng(2)
    cuts = [recall_threshold(*drawn(rng, 1_000), 0.9).cut for _ in range(300)]
    assert None not in cuts
    recalls = np.array([rates_at(*REAL, cut)[1] for cut in cuts if cut is not None])
    assert np.mean(recalls < 0.9) <= 0.07  # 0.05, within what 300 runs can tell
    assert recalls.mean() < 0.95


def test_sampled_negatives_are_put_right_by_the_prevalence() -> None:
    rng, prevalence, target = np.random.default_rng(3), 0.02, 0.45
    cuts = []
    for _ in range(60):
        scores, labels = drawn(rng, 4_000, share=0.5)
        blind = precision_threshold(scores, labels, target).cut
        found = precision_threshold(scores, labels, target, prevalence=prevalence).cut
        assert blind is not None
        assert found is not None
        assert found > blind
        cuts.append(found)
    real = [rates_at(*REAL, cut, prevalence)[0] for cut in cuts]
    assert np.mean(np.array(real) < target) <= 0.05


def test_what_is_not_attainable_is_an_answer() -> None:
    scores, labels = np.linspace(0, 1, 40), np.array([0] * 24 + [1] * 16, dtype=np.int8)
    precision, recall = precision_threshold(scores, labels, 0.95), recall_threshold(scores, labels, 0.9)
    assert precision.cut is None
    assert "precision 0.95 is not attainable with 16 positives; it takes 90 or more" in precision.reason
    assert recall.cut is None
    assert recall.reason == "recall 0.9 is not attainable with 16 positives; it takes 29"
    assert recall_threshold(np.linspace(0, 1, 29), np.ones(29, dtype=np.int8), 0.9).cut == 0.0


def test_equal_scores_pass_together() -> None:
    scores = np.array([0.9] * 200 + [0.1] * 200)
    labels = np.array([1] * 200 + [0] * 200, dtype=np.int8)
    found = precision_threshold(scores, labels, 0.95)
    assert found.cut is not None
    assert 0.1 < found.cut <= 0.9
    assert (found.precision, found.recall) == (1.0, 1.0)


def test_bounds_are_those_of_clopper_and_pearson() -> None:
    assert lower_bound(59, 59) == pytest.approx(0.05 ** (1 / 59))
    assert upper_bound(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert (lower_bound(0, 10), upper_bound(10, 10)) == (0.0, 1.0)


def test_one_unit_of_each_group_counts() -> None:
    assert independent(np.array(["a", "b", "a", "c", "b"], dtype=object)).tolist() == [True, True, False, True, False]


def test_a_target_out_of_range_is_refused() -> None:
    with pytest.raises(SafetyError, match="target must be between 0 and 1, not 95"):
        precision_threshold(np.array([0.5]), np.array([1], dtype=np.int8), 95)
