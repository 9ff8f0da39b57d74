"""A challenger is promoted only if it is shown to be better."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from firstsight.errors import SafetyError
from firstsight.heads.head_comparison import average_precision, compare, compare_first


def drawn(seed: int, better: float, n: int = 600) -> tuple[np.ndarray[Any, Any], ...]:
    """Return labels with 10 % positives, and scores of two heads; the challenger separates by `better` more."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.1).astype(np.int8)
    common = rng.normal(size=n)
    champion = common + 1.5 * labels + 0.3 * rng.normal(size=n)
    return labels, champion, common + (1.5 + better) * labels + 0.3 * rng.normal(size=n)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5), st.floats(0.1, 3)), min_size=1, max_size=30).filter(
        lambda rows: any(label for label, *_ in rows)
    )
)
def test_average_precision_is_that_of_scikit_learn(rows: list[tuple[int, int, float]]) -> None:
    labels, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    ours = average_precision(scores.astype(float), labels.astype(np.int8), weights)
    assert ours == pytest.approx(average_precision_score(labels, scores, sample_weight=weights))


@pytest.mark.slow
def test_a_better_challenger_is_promoted_and_an_equal_or_worse_one_is_not() -> None:
    better = [compare(*drawn(seed, 1.0), resamples=400) for seed in range(10)]
    assert all(one.promote for one in better)
    assert all(one.low > 0 and "challenger promoted" in one.reason for one in better)
    assert not any(compare(*drawn(seed, -1.0), resamples=400).promote for seed in range(10))
    labels, champion, _ = drawn(0, 0.0)
    same = compare(labels, champion, champion, resamples=200)
    assert (same.promote, same.difference, same.low, same.high) == (False, 0.0, 0.0, 0.0)


@pytest.mark.slow
def test_an_equal_challenger_is_seldom_promoted() -> None:
    promoted = sum(compare(*drawn(seed, 0.0), resamples=300).promote for seed in range(100))
    assert promoted <= 11  # 5 % of them, and three standard deviations


def test_copies_in_one_group_add_no_certainty() -> None:
    labels, champion, challenger = drawn(3, 0.35, n=200)
    alone = compare(labels, champion, challenger, resamples=400)
    copied = [np.tile(one, 20) for one in (labels, champion, challenger)]
    groups = np.tile(np.array([f"g{n}" for n in range(200)], dtype=object), 20)
    grouped = compare(*copied, groups=groups, resamples=400)
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high), abs=0.02)
    ungrouped = compare(*copied, resamples=400)
    assert ungrouped.high - ungrouped.low < 0.5 * (grouped.high - grouped.low)
    assert grouped.positives == alone.positives


def test_too_few_positives_promote_nothing() -> None:
    labels = np.array([1] * 9 + [0] * 200, dtype=np.int8)
    told = compare(labels, np.zeros(209), labels.astype(float))
    assert not told.promote
    assert "9 positives, and 10 are needed" in told.reason


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"champion": np.zeros(3)}, "champion has 3 rows"),
        ({"labels": np.full(600, 2)}, "they must be 0 or 1"),
        ({"challenger": np.full(600, np.nan)}, "finite"),
        ({"weights": np.zeros(600)}, "weights above 0"),
        ({"confidence": 0.5}, "confidence 0.5"),
    ],
)
def test_invalid_comparisons_are_refused(change: dict[str, Any], says: str) -> None:
    labels, champion, challenger = drawn(0, 0.0)
    with pytest.raises(SafetyError, match=says):
        compare(**{"labels": labels, "champion": champion, "challenger": challenger} | change)


def test_a_first_head_must_beat_chance_and_not_fall_below_the_prompts() -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(60) % 4 == 0).astype(np.int8)
    perfect, fair = labels.astype(float), labels + rng.normal(size=60)
    worse = compare_first(labels, perfect, fair)
    assert (worse.promote, worse.against, worse.champion_ap) == (False, "prompts", 1.0)
    assert worse.high <= 0
    assert worse.reason.startswith("not promoted: average precision of the prompts 1.0000, of the head 0.")
    assert compare_first(labels, fair, perfect).promote
    equal = compare_first(labels, perfect, perfect)
    assert (equal.promote, equal.low, equal.high) == (True, 0.0, 0.0)
    chance = compare_first(labels, None, rng.normal(size=60))
    assert (chance.promote, chance.against, chance.champion_ap) == (False, "chance", 0.25)
    assert compare_first(labels, None, fair).promote


def test_a_group_counts_once_in_the_comparison_of_a_first_head() -> None:
    labels = np.repeat(np.array([1, 0, 0, 0], dtype=np.int8), 25)
    scores = labels + np.linspace(0, 0.1, 100)
    groups = np.repeat(np.array(list("abcd"), dtype=object), 25)
    assert compare_first(labels, None, scores, groups=groups).positives == 1
