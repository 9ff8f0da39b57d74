"""A slice with a different rate is reported; in a table of equal slices, none is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from firstsight.errors import SafetyError
from firstsight.heads.intervals import clopper_pearson
from firstsight.heads.slices import slice_rates

SEEDS = 20


def table(seed: int, planted: float) -> list[str]:
    """Return the slices reported as different among 6 languages, 3 kinds and 40 sellers; the gap is in language pt."""
    rng = np.random.default_rng(seed)
    rows = 20_000
    columns = {
        "language": np.array(["en", "de", "fr", "pt", "ja", "tr"])[rng.integers(0, 6, rows)],
        "kind": np.array(["product", "video", "live"])[rng.integers(0, 3, rows)],
        "seller": rng.integers(0, 40, rows),
    }
    labels = rng.random(rows) < 0.05
    chance = np.where(labels, 0.8, 0.03) + np.where((columns["language"] == "pt") & ~labels, planted, 0.0)
    found = slice_rates(rng.random(rows) < chance, labels, columns)
    assert len(found) == 2 * (6 + 3 + 40)
    return [f"{one.column}={one.value} {one.measure}" for one in found if one.differs]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_only_a_planted_gap_is_reported(seed: int) -> None:
    assert table(seed, planted=0.03) == ["language=pt false_positive_rate"]


@pytest.mark.slow
def test_equal_slices_are_reported_in_no_seed() -> None:
    assert [table(seed, planted=0.0) for seed in range(SEEDS)] == [[]] * SEEDS


def test_rates_and_p_are_those_of_the_counts() -> None:
    column = ["a"] * 60 + ["b"] * 40
    flagged = [True] * 30 + [False] * 30 + [True] * 5 + [False] * 35
    first = slice_rates(flagged, None, {"seller": column})[0]
    assert (first.successes, first.trials, first.measure) == (30, 60, "flagged")
    assert first.rate == 0.5
    assert first.rest == 0.125
    assert first.lower < 0.5 < first.upper
    # two tests, Holm doubles the smaller; our p doubles a tail, which is no smaller than scipy's two-sided one
    assert first.p >= 2 * fisher_exact([[30, 30], [5, 35]]).pvalue * 0.99
    assert first.p < 0.01


def test_a_missing_value_is_no_slice_and_a_small_slice_is_not_tested() -> None:
    column = [None, float("nan")] + ["big"] * 200 + ["other"] * 100 + ["tiny"] * 5
    flagged = [False] * 302 + [True] * 5
    found = {one.value: one for one in slice_rates(flagged, None, {"seller": column})}
    assert set(found) == {"big", "other", "tiny"}
    assert found["tiny"].rate == 1
    assert not found["tiny"].differs
    assert found["tiny"].p == 1


def test_a_column_of_another_length_is_named() -> None:
    with pytest.raises(SafetyError, match="column seller has 1 values for 2 rows"):
        slice_rates([True, False], None, {"seller": ["a"]})
    with pytest.raises(SafetyError, match="3 labels for 2 rows"):
        slice_rates([True, False], [0, 1, 0], {})
    assert slice_rates([True, False], None, {}) == []


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 200), st.integers(0, 200), st.floats(0.5, 0.99))
def test_an_interval_holds_its_share(successes: int, more: int, confidence: float) -> None:
    trials = successes + more
    lower, upper = clopper_pearson(successes, trials, confidence)
    share = successes / trials if trials else 0.5
    assert 0 <= lower <= share <= upper <= 1
