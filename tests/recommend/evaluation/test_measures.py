"""Measures of rankings, against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.errors import QueryError
from firstsight.recommend.evaluation import measures

RANKED = np.array([[3, 1, 0], [2, -1, -1]])
TARGETS = [np.array([0, 3, 4]), np.array([1])]


def test_recall_is_the_share_of_targets_found() -> None:
    assert measures.recall(RANKED, TARGETS).tolist() == [pytest.approx(2 / 3), 0]


def test_ndcg_counts_early_hits_more() -> None:
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    assert measures.ndcg(RANKED, TARGETS).tolist() == [pytest.approx((1 + 1 / 2) / ideal), 0]


def test_targets_can_be_cold_ones_alone() -> None:
    cold = np.array([True, False, False, False, True])
    values = measures.recall(RANKED, TARGETS, cold)
    assert values[0] == pytest.approx(1 / 2)
    assert np.isnan(values[1])
    assert np.isnan(measures.ndcg(RANKED, TARGETS, cold)[1])


def test_a_ranking_has_no_excluded_item_and_ties_do_not_follow_the_ids() -> None:
    candidates = np.arange(100, 200)
    scores = np.zeros((1, 100), dtype=np.float32)
    scores[0, :98] = -np.inf
    assert sorted(measures.rank(scores, candidates, 3)[0]) == [-1, 198, 199]
    level = measures.rank(np.zeros((2, 100), dtype=np.float32), candidates, 5)
    assert level[0].tolist() == level[1].tolist() != [100, 101, 102, 103, 104]


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 1000))
def test_a_ranking_is_in_the_order_of_the_scores(k: int, candidates: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(3, candidates)).astype(np.float32)
    ranked = measures.rank(scores, np.arange(candidates), k)
    assert ranked.shape == (3, k)
    for row, values in zip(ranked, scores, strict=True):
        assert values[row[row >= 0]].tolist() == sorted(values.tolist(), reverse=True)[:k]


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(QueryError, match="not a number"):
        measures.rank(np.array([[np.nan]], dtype=np.float32), np.array([0]), 1)
    with pytest.raises(QueryError, match="1 or more"):
        measures.rank(np.zeros((1, 1), dtype=np.float32), np.array([0]), 0)


def test_coverage_novelty_and_popularity_share() -> None:
    popularity = np.array([7, 1, 0, 3, 0])
    assert measures.coverage(RANKED, np.arange(5)) == pytest.approx(4 / 5)
    bits = measures.novelty(RANKED, popularity, 7)
    assert bits.tolist() == [pytest.approx((1 + 2 + 0) / 3), pytest.approx(3)]
    assert measures.popularity_share(RANKED, popularity).tolist() == [pytest.approx(1 / 3), 0]
    assert np.isnan(measures.novelty(np.array([[-1]]), popularity, 7)[0])


def test_the_bootstrap_sees_a_difference_and_sees_none() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(400)
    better = measures.difference(base + 0.05 + 0.1 * rng.normal(size=400), base)
    assert better.low > 0
    assert better.mean == pytest.approx(0.05, abs=0.02)
    same = measures.difference(base + 0.1 * rng.normal(size=400), base)
    assert same.low < 0 < same.high
    holes = base.copy()
    holes[:100] = np.nan
    assert measures.difference(base, holes).users == 300
    with pytest.raises(QueryError, match="no user"):
        measures.difference(base, np.full(400, np.nan))


def test_means_of_drawn_clusters_vary_more_than_means_of_drawn_samples() -> None:
    rng = np.random.default_rng(0)
    of_cluster = rng.integers(0, 2, 80).astype(float)
    sizes = np.full(80, 5.0)
    means = measures.cluster_bootstrap((of_cluster * sizes)[:, None], sizes[:, None])[:, 0]
    assert means.mean() == pytest.approx(of_cluster.mean(), abs=0.02)
    assert means.std() == pytest.approx(of_cluster.std() / np.sqrt(80), rel=0.1)
    none = measures.cluster_bootstrap(np.zeros((3, 1)), np.zeros((3, 1)))
    assert np.isnan(none).all()
