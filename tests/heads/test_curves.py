"""Curves equal those of scikit-learn, and weights correct a sample drawn class by class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve

from firstsight.errors import SafetyError
from firstsight.heads.curves import precision_recall, prior_weights, reliability, score_histogram


def drawn(seed: int, rows: int, prevalence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities, and labels drawn from them, so that calibration is perfect."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(prevalence * 2, (1 - prevalence) * 2, rows)
    return scores, (rng.random(rows) < scores).astype(np.int8)


rows = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 1), st.integers(1, 5)), min_size=2, max_size=80)


@settings(max_examples=100, deadline=None)
@given(rows)
def test_precision_and_recall_are_those_of_scikit_learn_with_ties_and_weights(
    some: list[tuple[int, int, int]],
) -> None:
    scores, labels, weights = (np.array(column) for column in zip(*some, strict=True))
    if labels.min() == labels.max():
        return
    ours = precision_recall(scores, labels, weights=weights)
    precision, recall, cuts = precision_recall_curve(labels, scores, sample_weight=weights)
    assert ours.cuts == pytest.approx(cuts[::-1])
    assert ours.precision == pytest.approx(precision[-2::-1])
    assert ours.recall == pytest.approx(recall[-2::-1])
    assert ours.average_precision == pytest.approx(average_precision_score(labels, scores, sample_weight=weights))


def test_sampled_negatives_give_the_curve_of_the_whole_stream_with_the_prevalence() -> None:
    scores, labels = drawn(0, 200_000, 0.02)
    whole = precision_recall(scores, labels)
    figures = []
    for seed in range(10):
        keep = (labels == 1) | (np.random.default_rng(seed).random(len(labels)) < 0.2)
        sampled = precision_recall(scores[keep], labels[keep], prevalence=whole.prevalence)
        assert sampled.prevalence == pytest.approx(whole.prevalence)
        uncorrected = precision_recall(scores[keep], labels[keep])
        figures.append((sampled.average_precision, uncorrected.average_precision))
    corrected, plain = np.mean(figures, axis=0)
    assert corrected == pytest.approx(whole.average_precision, abs=0.02)
    assert plain > whole.average_precision + 0.1


def test_a_prior_is_the_same_as_its_weights() -> None:
    scores, labels = drawn(0, 2_000, 0.3)
    given_prior = precision_recall(scores, labels, prevalence=0.01)
    weights = prior_weights(labels, 0.01)
    assert weights.mean() == pytest.approx(1)
    assert precision_recall(scores, labels, weights=weights).precision == pytest.approx(given_prior.precision)


def test_calibrated_scores_have_hardly_any_calibration_error_and_shifted_ones_do() -> None:
    scores, labels = drawn(3, 20_000, 0.1)
    good = reliability(scores, labels)
    assert good.calibration_error < 0.01
    assert np.mean((good.lower <= good.score) & (good.score <= good.upper)) > 0.8
    assert reliability(np.sqrt(scores), labels).calibration_error > 0.1
    assert good.rows.sum() == 20_000
    assert good.rows.max() < 1.5 * 20_000 / 15


def test_brier_score_is_that_of_scikit_learn() -> None:
    scores, labels = drawn(4, 500, 0.3)
    weights = np.random.default_rng(0).uniform(0.5, 2, 500)
    ours = reliability(scores, labels, weights=weights).brier
    assert ours == pytest.approx(brier_score_loss(labels, scores, sample_weight=weights))


@settings(max_examples=60, deadline=None)
@given(rows)
def test_bins_hold_every_row_once_and_their_intervals_hold_the_observed_share(some: list[tuple[int, int, int]]) -> None:
    scores, labels, weights = (np.array(column) for column in zip(*some, strict=True))
    found = reliability(scores / 10, labels, weights=weights, bins=5)
    assert found.rows.sum() == len(scores)
    assert len(found.rows) <= 5
    assert np.all(np.diff(found.score) > 0)
    assert np.all((found.lower <= found.observed + 1e-9) & (found.observed - 1e-9 <= found.upper))
    assert 0 <= found.calibration_error <= 1


def test_a_histogram_holds_the_whole_of_each_class() -> None:
    scores, labels = drawn(5, 1_000, 0.2)
    found = score_histogram(scores, labels, bins=20)
    assert found.positives.sum() == pytest.approx(1)
    assert found.negatives.sum() == pytest.approx(1)
    assert score_histogram(scores, np.zeros(1_000), bins=20).positives.sum() == 0


def test_invalid_samples_are_refused() -> None:
    with pytest.raises(SafetyError, match="both classes"):
        precision_recall([0.1, 0.2], [0, 0])
    with pytest.raises(SafetyError, match=r"prevalence 1\.5"):
        precision_recall([0.1, 0.2], [0, 1], prevalence=1.5)
    with pytest.raises(SafetyError, match="calibrate them first"):
        reliability([0.1, 2.0], [0, 1])
    with pytest.raises(SafetyError, match="label 2 in row 1"):
        reliability([0.1, 0.2], [0, 2])
    with pytest.raises(SafetyError, match="score nan in row 0"):
        reliability([np.nan, 0.2], [0, 1])
    with pytest.raises(SafetyError, match="no rows"):
        reliability([], [])
