"""Shares of slots by group of items."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from firstsight.errors import QueryError
from firstsight.recommend.evaluation.exposure import NO_VALUE, OTHER, ItemGroups, measure_exposure

TWO = ItemGroups("seller", ("a", "b"), np.array([0, 0, 1, 1]))


def test_shares_are_those_of_the_slots_and_of_their_positions() -> None:
    rankings = np.array([[0, 2], [1, 3], [0, -1]])
    (by,) = measure_exposure(rankings, [TWO], events=np.array([3, 0, 1, 0]))
    a, b = by.groups
    second = 1 / np.log2(3)
    assert (by.by, by.k) == ("seller", 2)
    assert a.group == "a"
    assert a.share == pytest.approx(3 / 5)
    assert b.share == pytest.approx(2 / 5)
    assert b.discounted_share == pytest.approx(2 * second / (3 + 2 * second))
    assert (a.catalogue_share, a.event_share) == (0.5, 0.75)


def test_the_interval_has_the_share_and_is_wider_if_users_have_several_rankings() -> None:
    rng = np.random.default_rng(0)
    of_user = rng.integers(0, 2, 60)
    rankings = np.repeat(np.where(of_user == 0, 0, 2), 10)[:, None]
    single = measure_exposure(rankings, [TWO])[0].groups[0]
    clustered = measure_exposure(rankings, [TWO], users=np.repeat(np.arange(60), 10))[0].groups[0]
    assert clustered.low < clustered.share < clustered.high
    assert clustered.high - clustered.low > 2 * (single.high - single.low)


@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.integers(-1, 3)))
def test_shares_of_a_division_sum_to_one(rankings: np.ndarray) -> None:
    if not (rankings >= 0).any():
        with pytest.raises(QueryError, match="show no item"):
            measure_exposure(rankings, [TWO])
        return
    (by,) = measure_exposure(rankings, [TWO])
    assert sum(group.share for group in by.groups) == pytest.approx(1)
    assert sum(group.discounted_share for group in by.groups) == pytest.approx(1)


def test_many_values_become_the_largest_groups_and_the_rest() -> None:
    values = ["a"] * 3 + ["b"] * 2 + ["c", "d", None, float("nan"), ""]
    groups = ItemGroups.by_value("seller", values, max_groups=2)
    assert groups.groups == ("a", "b", OTHER, NO_VALUE)
    assert groups.codes.tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 3]
    few = ItemGroups.by_value("seller", ["b", "a", "a"])
    assert (few.groups, few.codes.tolist()) == (("a", "b"), [1, 0, 0])


def test_new_items_have_no_training_event() -> None:
    groups = ItemGroups.by_newness(np.array([0, 5]))
    assert [groups.groups[code] for code in groups.codes] == ["new", "known"]


def test_users_must_match_the_rankings() -> None:
    with pytest.raises(QueryError, match="1 users do not match 2 rankings"):
        measure_exposure(np.array([[0], [1]]), [TWO], users=np.array([0]))
