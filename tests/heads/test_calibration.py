"""HeadCalibration: logits become reliable probabilities."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, logit

from firstsight.heads.array_types import Floats, Labels
from firstsight.heads.calibration import HeadCalibration, calibrate


def drawn(units: int, *, slope: float = 0.4, shift: float = -1.0, seed: int = 0) -> tuple[Floats, Labels]:
    """Return logits with a true probability of expit(slope * logit + shift)."""
    rng = np.random.default_rng(seed)
    logits = 4 * rng.normal(size=units)
    return logits, (rng.random(units) < expit(slope * logits + shift)).astype(np.int8)


def equal_mass_error(scores: Floats, labels: Labels, bins: int = 15) -> float:
    parts = np.array_split(np.argsort(scores), bins)
    return float(sum(len(part) * abs(scores[part].mean() - labels[part].mean()) for part in parts) / len(scores))


@pytest.mark.parametrize("units", [800, 6_000])
def test_calibrated_scores_are_nearer_to_the_truth(units: int) -> None:
    fitted = calibrate(*drawn(units))
    logits, labels = drawn(20_000, seed=1)
    scores = fitted(logits)
    assert np.mean((scores - labels) ** 2) < np.mean((expit(logits) - labels) ** 2)
    assert equal_mass_error(scores, labels) < (0.02 if units > 5_000 else 0.04)


def test_isotonic_regression_is_only_used_for_many_units_and_if_it_helps() -> None:
    rng = np.random.default_rng(3)
    logits = rng.uniform(-3, 3, size=8_000)
    stairs = np.where(logits > 1, 0.9, np.where(logits > -1, 0.5, 0.02))  # no sigmoid
    labels = (rng.random(8_000) < stairs).astype(np.int8)
    assert calibrate(logits, labels).method == "isotonic"
    assert calibrate(logits[:1_000], labels[:1_000]).method == "platt"
    assert equal_mass_error(calibrate(logits, labels)(logits), labels) < 0.02


def test_the_odds_of_sampled_negatives_are_corrected_to_the_real_prevalence() -> None:
    logits, labels = drawn(20_000, slope=1.0, shift=0.0)
    kept = (labels == 1) | (np.random.default_rng(5).random(len(labels)) < 0.1)
    corrected = calibrate(logits[kept], labels[kept], prevalence=float(labels.mean()))
    assert corrected(logits).mean() == pytest.approx(labels.mean(), abs=0.01)
    assert equal_mass_error(corrected(logits), labels) < 0.02


def test_the_order_of_scores_is_never_reversed_and_few_units_give_no_certainty() -> None:
    logits, labels = np.array([3.0, 2.0, -2.0, -3.0]), np.array([0, 0, 1, 1], dtype=np.int8)
    assert calibrate(logits, labels).slope > 0
    apart = calibrate(logits, labels[::-1].copy())
    assert 0.05 < apart(logits).min() < apart(logits).max() < 0.95


def test_a_calibration_survives_json_and_increases() -> None:
    for units in (300, 3_000):
        fitted = calibrate(*drawn(units, seed=2), prevalence=0.01)
        again = HeadCalibration.from_dict(json.loads(json.dumps(fitted.to_dict())))
        grid = np.linspace(-20, 20, 401)
        np.testing.assert_allclose(again(grid), fitted(grid))
        assert (np.diff(again(grid)) >= 0).all()
    np.testing.assert_allclose(logit(HeadCalibration()(np.array([1.5]))), [1.5])
