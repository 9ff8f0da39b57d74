"""A threshold meets its target on future rows at its confidence, though chosen and tested on the same sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from firstsight.errors import SafetyError
from firstsight.heads.thresholds import choose_threshold

SPLITS = 200
ALLOWED = 0.05


class NormalScores:
    """Positives and negatives with normal scores; the real precision and recall of every cut are known."""

    def __init__(self, prevalence: float, distance: float) -> None:
        self.prevalence = prevalence
        self.distance = distance

    def draw(self, seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        labels = (rng.random(rows) < self.prevalence).astype(np.int8)
        return rng.normal(size=rows) + self.distance * labels, labels

    def recall(self, cut: float) -> float:
        return float(norm.sf(cut - self.distance))

    def precision(self, cut: float) -> float:
        hit, wrong = self.prevalence * self.recall(cut), (1 - self.prevalence) * float(norm.sf(cut))
        return hit / (hit + wrong) if hit else 1.0


def missed(stream: NormalScores, rows: int, target: dict[str, float], *, every: int = 1) -> tuple[float, float, float]:
    """Return the shares of splits with a missed target, with a bound that is too high, and with an attainable target.

    Of the negatives one in `every` is kept, with that weight.
    """
    fails, wrong_bounds, attained = 0, 0, 0
    for seed in range(SPLITS):
        scores, labels = stream.draw(seed, rows)
        keep = (labels == 1) | (np.random.default_rng(seed + 1000).random(rows) < 1 / every)
        weights = np.where(labels == 1, 1.0, float(every))
        found = choose_threshold(scores[keep], labels[keep], weights=weights[keep], **target)
        if not found.attainable:
            continue
        attained += 1
        precision, recall = stream.precision(found.cut), stream.recall(found.cut)
        fails += precision < target.get("precision", 0) or recall < target.get("recall", 0)
        # two bounds, each at 95 % alone
        wrong_bounds += (precision < found.precision_bound) + (recall < found.recall_bound)
    return fails / SPLITS, wrong_bounds / 2 / SPLITS, attained / SPLITS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stream", "rows", "target"),
    [
        (NormalScores(0.01, 4.0), 10_000, {"precision": 0.9}),
        (NormalScores(0.01, 3.0), 10_000, {"precision": 0.5}),
        (NormalScores(0.3, 3.0), 1_000, {"precision": 0.95}),
        (NormalScores(0.5, 0.6), 2_000, {"precision": 0.6}),  # near the base rate: many wrong choices
        (NormalScores(0.01, 3.0), 10_000, {"recall": 0.9}),
        (NormalScores(0.2, 1.0), 300, {"recall": 0.8}),
        (NormalScores(0.1, 4.0), 5_000, {"precision": 0.85, "recall": 0.9}),
    ],
)
def test_a_target_is_missed_in_at_most_one_split_of_twenty(
    stream: NormalScores, rows: int, target: dict[str, float]
) -> None:
    fails, wrong_bounds, attained = missed(stream, rows, target)
    assert fails <= ALLOWED
    assert wrong_bounds <= ALLOWED
    assert attained > 0.8


@pytest.mark.slow
def test_the_guarantee_holds_with_sampled_negatives() -> None:
    fails, wrong_bounds, attained = missed(NormalScores(0.02, 4.0), 20_000, {"precision": 0.8}, every=8)
    assert fails <= ALLOWED
    assert wrong_bounds <= ALLOWED
    assert attained > 0.8


def test_a_naive_cut_would_miss_its_target_far_more_often() -> None:
    """The streams above are hard enough: the lowest cut that meets the target on its own sample often misses it."""
    stream, fails = NormalScores(0.5, 0.6), 0
    for seed in range(SPLITS):
        scores, labels = stream.draw(seed, 2_000)
        order = np.argsort(-scores)
        precision = np.cumsum(labels[order]) / np.arange(1, len(order) + 1)
        fails += stream.precision(scores[order][np.flatnonzero(precision >= 0.6).max()]) < 0.6
    assert fails / SPLITS > 0.3


@pytest.mark.parametrize(
    ("stream", "target", "share"),
    [(NormalScores(0.01, 4.0), {"precision": 0.9}, 0.75), (NormalScores(0.05, 3.5), {"precision": 0.8}, 0.85)],
)
def test_most_of_the_best_recall_is_kept(stream: NormalScores, target: dict[str, float], share: float) -> None:
    cuts = np.linspace(-3, 10, 2000)
    best = max(stream.recall(cut) for cut in cuts if stream.precision(cut) >= target["precision"])
    kept = [
        stream.recall(choose_threshold(*stream.draw(seed, 20_000), precision=target["precision"]).cut)
        for seed in range(30)
    ]
    assert np.mean(kept) > share * best


@pytest.mark.slow
def test_uneven_weights_within_a_class_keep_the_guarantee() -> None:
    """Draw rows with a probability that rises with their score, and weight each by its inverse."""
    stream, fails, attained = NormalScores(0.05, 3.5), 0, 0
    for seed in range(100):
        scores, labels = stream.draw(seed, 30_000)
        chance = np.clip(norm.cdf(scores), 0.25, 1)
        keep = np.random.default_rng(seed).random(len(scores)) < chance
        found = choose_threshold(scores[keep], labels[keep], precision=0.8, weights=1 / chance[keep])
        attained += found.attainable
        fails += found.attainable and stream.precision(found.cut) < 0.8
    assert fails <= 5
    assert attained > 80


def test_too_few_positives_give_a_reason_with_the_needed_number() -> None:
    scores, labels = np.r_[np.linspace(0.6, 1, 16), np.linspace(0, 0.5, 400)], np.r_[np.ones(16), np.zeros(400)]
    recall = choose_threshold(scores, labels, recall=0.9)
    assert not recall.attainable
    assert recall.cut == math.inf
    assert "16 positives" in recall.reason
    assert "at least 29" in recall.reason
    precision = choose_threshold(scores, labels, precision=0.95)
    assert not precision.attainable
    assert "16 positives" in precision.reason


def test_two_targets_that_exclude_each_other_are_not_attainable() -> None:
    scores, labels = NormalScores(0.3, 1.0).draw(0, 5_000)
    found = choose_threshold(scores, labels, precision=0.8, recall=0.9)
    assert not found.attainable
    assert "together" in found.reason


def test_one_class_alone_is_not_attainable() -> None:
    assert "no negative" in choose_threshold([0.1] * 50, [1] * 50, recall=0.5).reason
    assert "no positive" in choose_threshold([0.1] * 50, [0] * 50, precision=0.5).reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no target"),
        ({"precision": 1.0}, "precision 1.0"),
        ({"recall": 0.0}, "recall 0.0"),
        ({"recall": 0.5, "confidence": 0.4}, "confidence 0.4"),
        ({"recall": 0.5, "weights": [1.0, 0.0]}, "weight 0.0 in row 1"),
        ({"recall": 0.5, "weights": [1.0]}, "differ"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(SafetyError, match=message):
        choose_threshold([0.1, 0.2], [0, 1], **arguments)


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.integers(0, 12), min_size=2, max_size=300),
    seed=st.integers(0, 100),
    target=st.floats(0.05, 0.95),
)
def test_any_attained_cut_shows_more_than_its_target_on_its_own_rows(
    scores: list[int], seed: int, target: float
) -> None:
    """Few distinct scores give many ties."""
    values = np.array(scores) / 12
    labels = (np.random.default_rng(seed).random(len(values)) < values).astype(int)
    for name in ("precision", "recall"):
        found = choose_threshold(values, labels, **{name: target})
        if found.attainable:
            flagged = values >= found.cut
            shown = labels[flagged].mean() if name == "precision" else labels[flagged].sum() / labels.sum()
            assert shown >= target
            assert getattr(found, f"{name}_bound") >= target - 1e-12
            assert found.cut in values
        else:
            assert found.reason.startswith("not attainable")
