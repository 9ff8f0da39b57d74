"""Drifted scores are found; scores without drift are not reported, in samples of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstsight.errors import SafetyError
from firstsight.heads.drift import score_drift


def test_the_same_stream_does_not_drift_in_samples_large_or_small() -> None:
    verdicts = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        verdicts.append(score_drift(rng.beta(1, 20, 5_000), rng.beta(1, 20, int(rng.integers(40, 4_000)))).verdict)
    assert verdicts.count("none") >= 98


@pytest.mark.parametrize(("parameters", "verdict"), [((1, 12), "moderate"), ((1, 6), "large"), ((1, 40), "large")])
def test_moved_scores_are_found(parameters: tuple[int, int], verdict: str) -> None:
    rng = np.random.default_rng(0)
    found = score_drift(rng.beta(1, 20, 5_000), rng.beta(*parameters, 3_000))
    assert found.verdict == verdict
    assert found.psi > found.psi_by_chance
    assert found.ks_p < 1e-6


def test_a_certain_but_small_difference_is_no_drift() -> None:
    rng = np.random.default_rng(0)
    found = score_drift(rng.normal(size=300_000), rng.normal(0.03, 1, 300_000))
    assert found.ks_p < 1e-6
    assert found.verdict == "none"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=60),
    st.lists(st.integers(0, 6), min_size=1, max_size=60),
)
def test_shares_are_whole_and_the_index_is_never_negative(a: list[int], b: list[int]) -> None:
    found = score_drift(a, b)
    assert found.reference.sum() == pytest.approx(1)
    assert found.today.sum() == pytest.approx(1)
    assert found.psi >= -1e-12
    assert 0 <= found.ks <= 1
    assert score_drift(a, a).psi == pytest.approx(0)


def test_weights_represent_the_rows_outside_the_sample() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(40_000) < 0.05
    scores = np.where(labels, rng.beta(8, 2, 40_000), rng.beta(1, 20, 40_000))
    keep = labels | (rng.random(40_000) < 0.05)
    today = rng.permutation(scores)[:5_000]
    assert score_drift(scores[keep], today).verdict == "large"
    assert score_drift(scores[keep], today, weights=np.where(labels[keep], 1, 20)).verdict == "none"


def test_a_side_without_scores_is_named() -> None:
    with pytest.raises(SafetyError, match="scores of today: 0"):
        score_drift([0.1], [])
    with pytest.raises(SafetyError, match="scores of reference: 2, 1 not finite"):
        score_drift([0.1, np.nan], [0.1])
