"""Exploration: the ranked slate stays, explored slots are overwritten, and propensities are exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.ab_buckets import bucket_of
from firstsight.recommend.slates.exploration import OpenGroup, inclusion
from firstsight.recommend.slates.rules.group_limits import GroupRules
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.recommend.slates.slate_maker import SlateMaker
from firstsight.recommend.slates.slate_policy import SlatePolicy

NOW = 1_790_000_000_000_000
TOPICS, EACH = 12, 20
KINDS = np.array(["product", "video"], dtype=object)[np.arange(TOPICS * EACH) % 2]


def topic_space() -> ItemSpace:
    rng = np.random.default_rng(1)
    vectors = np.repeat(rng.normal(size=(TOPICS, 24)), EACH, axis=0) + 0.6 * rng.normal(size=(TOPICS * EACH, 24))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ItemSpace.of([f"i{n:03}" for n in range(TOPICS * EACH)], vectors.astype(np.float32), kinds=KINDS)


@pytest.fixture(scope="module")
def maker() -> SlateMaker:
    space = topic_space()
    return SlateMaker(space, clusters=Clusters(space, (np.arange(len(space)) // EACH).astype(np.int32)))


def policy_of(maker: SlateMaker, slate_settings: SlateSettings, groups: GroupRules | None = None) -> SlatePolicy:
    history = History.of(np.array([61, 64, 101, 66]), NOW - np.arange(4, 0, -1) * 60_000_000)
    return maker.policy(history, slate_settings, now_us=NOW, groups=groups)


@pytest.mark.parametrize(
    "slate_settings", [SlateSettings(k=10), SlateSettings(k=10, quotas={"video": 3}, explore=0.35)]
)
def test_propensities_are_the_shares_of_slates_in_which_a_slot_holds_an_item(
    maker: SlateMaker, slate_settings: SlateSettings
) -> None:
    policy, rng, slates = policy_of(maker, slate_settings), np.random.default_rng(7), 2_000
    held = np.zeros((10, len(maker.space)))
    for _ in range(slates):
        for n, slot in enumerate(policy.draw(rng)):
            held[n, slot.place] += 1
            assert slot.propensity == pytest.approx(policy.probability(n, slot.place))
    for n in range(10):
        places, chances = policy.chances(n)
        assert chances.sum() == pytest.approx(1)
        assert chances[0] == pytest.approx(1 - slate_settings.explore)
        exact = np.zeros(len(maker.space))
        exact[places] = chances
        error = np.sqrt(exact * (1 - exact) / slates)
        assert np.all(np.abs(held[n] / slates - exact) <= 5 * error)  # 0 where the policy says 0


def test_a_slot_that_does_not_explore_keeps_the_item_of_the_ranking(maker: SlateMaker) -> None:
    policy = policy_of(maker, SlateSettings(k=10, explore=0.5))
    ranked = [slot.place for slot in policy.ranked.slots]
    for seed in range(50):
        slots = policy.draw(np.random.default_rng(seed))
        assert sum(slot.explore for slot in slots) == 5
        assert [slot.replaces if slot.explore else slot.place for slot in slots] == ranked
        assert not {slot.place for slot in slots if slot.explore} & set(ranked)
        assert len({slot.place for slot in slots}) == 10


def test_with_nothing_open_the_ranked_items_stay_with_probability_one(maker: SlateMaker) -> None:
    one_cluster = SlateMaker(maker.space, clusters=Clusters(maker.space, np.zeros(len(maker.space), dtype=np.int32)))
    policy = policy_of(one_cluster, SlateSettings(k=200, explore=0.5))  # all items that may be new are ranked
    explored = replace(policy, opened=[])
    slots = explored.draw(np.random.default_rng(0))
    assert [slot.place for slot in slots] == [slot.place for slot in policy.ranked.slots]
    assert {slot.propensity for slot in slots} == {1.0}


def test_slots_that_hold_a_floor_do_not_explore(maker: SlateMaker) -> None:
    mask = np.arange(len(maker.space)) // EACH == 9
    policy = policy_of(maker, SlateSettings(k=8, explore=0.9), GroupRules(floors=(("topic=9", mask, 3),)))
    for seed in range(50):
        slots = policy.draw(np.random.default_rng(seed))
        assert mask[[slot.place for slot in slots]].sum() >= 3
        assert sum(slot.propensity == 1 for slot in slots) == 3


@given(
    weights=st.lists(st.floats(0.001, 1), min_size=1, max_size=30),
    slots=st.integers(1, 20),
    explore=st.floats(0, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_draws_are_distinct_and_as_many_as_their_probabilities_say(
    weights: list[float], slots: int, explore: float, seed: int
) -> None:
    shares = np.array(weights) / np.sum(weights)
    places = np.arange(len(shares))
    group = OpenGroup(np.arange(slots), places, np.zeros(len(shares), dtype=bool), shares, explore)
    expected = sum(inclusion(shares, m).sum() * p for m, p in _counts(slots * explore))
    assert group.probabilities.sum() * slots == pytest.approx(expected)
    assert (group.probabilities <= 1 + 1e-9).all()
    drawn = group.draw(np.random.default_rng(seed))
    assert len({slot for slot, _ in drawn}) == len({item for _, item in drawn}) == len(drawn)
    assert abs(len(drawn) - min(slots * explore, len(shares))) <= 1


def _counts(expected: float) -> list[tuple[int, float]]:
    fewer = int(expected)
    return [(fewer, 1 - expected + fewer), (fewer + 1, expected - fewer)]


def test_buckets_are_stable_even_and_independent_between_experiments() -> None:
    users = [f"u{n}" for n in range(2_000)]
    assert bucket_of("u42") == 88
    first, second = (np.array([bucket_of(user, name) for user in users]) for name in ("a", "b"))
    assert np.bincount(first, minlength=100).min() >= 5
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06


@pytest.mark.parametrize("dim", [24, 200])  # fewer and more than the coordinates that are compared first
def test_near_duplicates_are_those_of_whole_vectors(dim: int) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(120, dim))
    vectors[60:] = vectors[rng.integers(0, 60, 60)] + rng.uniform(0, 0.6, (60, 1)) * rng.normal(size=(60, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[:3] = 0  # items without vectors are near nothing
    space = ItemSpace.of([f"i{n:03}" for n in range(120)], vectors.astype(np.float32))
    shown, places = np.arange(0, 120, 7), np.setdiff1d(np.arange(120), np.arange(0, 120, 7))
    exploration = SlateMaker(space, clusters=Clusters(space, np.zeros(120, dtype=np.int32)))._exploration
    assert exploration is not None
    cosines = space.vectors[places] @ space.vectors.T
    to_shown: NDArray[np.bool_] = np.asarray((cosines[:, shown] >= 0.95).any(axis=1))
    expected = to_shown | (np.triu(cosines[:, places] >= 0.95, 1) & ~to_shown[:, None]).any(axis=0)
    assert 5 < expected.sum() < 60
    np.testing.assert_array_equal(exploration._is_near(shown, places, 0.95), expected)
