"""Estimates from simulated logs, and the responses to logged slates."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import DAY_US, History, Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.off_policy.estimators import PolicyEstimate, effective_sample_size, estimate
from firstsight.recommend.off_policy.policy_estimates import (
    CrossFittedRewards,
    estimates_of,
    mean_of_log,
    ranking_of_log,
)
from firstsight.recommend.off_policy.remade_slates import SlateRemaker
from firstsight.recommend.off_policy.slate_records import LoggedSlates
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.recommend.slates.slate_maker import SlateMaker

NOW = 1_790_000_000_000_000
TOPICS, EACH, USERS = 10, 12, 150
SETTINGS = SlateSettings(k=6, explore=0.3)


class World:
    """Users with histories, their policies, and probabilities of clicks."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        vectors = np.repeat(rng.normal(size=(TOPICS, 16)), EACH, axis=0) + 0.7 * rng.normal(size=(TOPICS * EACH, 16))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.space = ItemSpace.of([f"i{n:03}" for n in range(len(vectors))], vectors.astype(np.float32))
        self.events = Interactions.of(
            self.space,
            np.repeat([f"u{n:03}" for n in range(USERS)], 5).astype(object),
            rng.integers(0, TOPICS * (EACH - 2), USERS * 5) % (TOPICS * EACH),
            NOW - rng.integers(1, 10**9, USERS * 5),
        )
        labels = (np.arange(len(vectors)) // EACH).astype(np.int32)
        self.maker = SlateMaker(self.space, self.events, clusters=Clusters(self.space, labels))
        self.quality = rng.random(len(vectors)) * 0.6
        self.policies = [self.maker.policy(self.events.history(user), SETTINGS, now_us=NOW) for user in range(USERS)]

    def chance(self, slots: np.ndarray, places: np.ndarray) -> np.ndarray:
        return np.asarray(0.8**slots * self.quality[places])

    def log(self, seed: int) -> LoggedSlates:
        rng = np.random.default_rng(seed)
        drawn = [policy.draw(rng) for policy in self.policies]
        flat = [slot for slots in drawn for slot in slots]
        numbers = np.concatenate([np.arange(len(slots)) for slots in drawn])
        places = np.array([slot.place for slot in flat])
        return LoggedSlates(
            slate_ids=np.array([f"s{n}" for n in range(USERS)], dtype=object),
            user_ids=self.events.user_ids,
            made_at=np.full(USERS, NOW),
            settings=np.array([json.dumps(SETTINGS.to_dict())] * USERS, dtype=object),
            events=np.full(USERS, 5),
            slates=np.repeat(np.arange(USERS), [len(slots) for slots in drawn]),
            slots=numbers,
            places=places,
            ranked=np.array([slot.replaces if slot.explore else slot.place for slot in flat]),
            propensities=np.array([slot.propensity for slot in flat]),
            scores=np.array([slot.score for slot in flat]),
            rewards=(rng.random(len(flat)) < self.chance(numbers, places)).astype(float),
            left_out={},
            pending=0,
        )

    def value(self, *, explore: bool) -> float:
        """Expected clicks per slate, of the ranking or of the policy with exploration."""
        total = 0.0
        for policy in self.policies:
            for n in range(len(policy)):
                places, chances = policy.chances(n)
                expected = self.chance(np.full(len(places), n), places)
                total += float(chances @ expected) if explore else float(expected[0])
        return total / USERS


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def logs(world: World) -> list[LoggedSlates]:
    return [world.log(seed) for seed in range(40)]


def kinds(world: World) -> np.ndarray:
    return np.zeros(len(world.space), dtype=np.int64)


def within_two_errors(estimates: list[PolicyEstimate], truth: float) -> int:
    return sum(abs(one.value - truth) <= 2 * one.standard_error for one in estimates)


def test_the_truth_lies_within_two_errors_of_the_ranking_s_estimates(world: World, logs: list[LoggedSlates]) -> None:
    truth, found = world.value(explore=False), []
    for slates in logs:
        rewards = CrossFittedRewards(slates, kinds(world))
        found.append(estimates_of(slates, rewards, ranking_of_log(slates, rewards)))
    for estimates in zip(*found, strict=True):
        values = np.array([one.value for one in estimates])
        assert values.mean() == pytest.approx(truth, abs=3 * values.std() / np.sqrt(len(values)))
        assert within_two_errors(list(estimates), truth) >= 36
        assert np.mean([one.standard_error for one in estimates]) < 2 * values.std()


def test_the_policy_of_the_log_made_again_has_its_value(world: World, logs: list[LoggedSlates]) -> None:
    truth = world.value(explore=True)
    assert within_two_errors([mean_of_log(slates) for slates in logs], truth) >= 36
    slates = logs[0]
    rewards = CrossFittedRewards(slates, kinds(world))
    remade = SlateRemaker(world.maker, world.events).remake(slates, rewards, {})
    assert remade.target.weights == pytest.approx(1.0)  # the same policy
    assert (remade.same, remade.changed_histories, remade.target.unsupported.sum()) == (1.0, 0, 0)
    for one in estimates_of(slates, rewards, remade.target)[:2]:
        assert one.value == pytest.approx(mean_of_log(slates).value)
        assert one.effective_sample_size == pytest.approx(len(slates.slates))


def test_another_ranking_is_estimated_and_missing_support_is_known(world: World, logs: list[LoggedSlates]) -> None:
    slates = logs[0]
    rewards = CrossFittedRewards(slates, kinds(world))
    remade = SlateRemaker(world.maker, world.events).remake(slates, rewards, {"explore": 0.0, "diversity": 0.6})
    assert 0 < remade.target.unsupported.sum() < remade.target.slots.sum()
    assert (remade.ranked != slates.rankings(slates.ranked)).any()
    # items that the log could not show have no weight anywhere
    shown = remade.ranked[slates.slates, slates.slots] == slates.places
    assert (remade.target.weights[~shown] == 0).all()
    assert remade.target.weights[shown] == pytest.approx(1 / slates.propensities[shown])


def test_a_user_s_slates_count_as_one_observation(world: World, logs: list[LoggedSlates]) -> None:
    slates = logs[0]
    once = mean_of_log(slates)
    twice = replace(
        slates,
        slate_ids=np.tile(slates.slate_ids, 2),
        user_ids=np.tile(slates.user_ids, 2),
        slates=np.concatenate([slates.slates, slates.slates + USERS]),
        rewards=np.tile(slates.rewards, 2),
    )
    assert mean_of_log(twice).standard_error == pytest.approx(once.standard_error)
    assert mean_of_log(twice).n == 2 * USERS


def test_an_interval_needs_more_than_one_user() -> None:
    alone = estimate("mean", np.array([0.0, 0.0]), 1.0, np.array([0, 0]), 2.0)
    assert np.isnan(alone.standard_error)
    assert effective_sample_size(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    assert effective_sample_size(np.zeros(3)) == 0


def test_an_event_counts_for_the_last_slate_that_showed_the_item(world: World, logs: list[LoggedSlates]) -> None:
    base = logs[0]
    two = replace(
        base,
        slate_ids=np.array(["a", "b"], dtype=object),
        user_ids=np.array(["u", "u"], dtype=object),
        made_at=np.array([NOW, NOW + DAY_US // 2]),
        settings=base.settings[:2],
        events=base.events[:2],
        slates=np.array([0, 0, 1]),
        slots=np.array([0, 1, 0]),
        places=np.array([5, 6, 5]),
        ranked=np.array([5, 6, 5]),
        propensities=np.ones(3),
        scores=np.zeros(3),
        rewards=np.zeros(3),
    )

    def rewards(item: int, at: int, event: str | None = None, user: str = "u") -> list[float]:
        known = Interactions.of(world.space, np.array([user], dtype=object), np.array([item]), np.array([at]))
        return [float(reward) for reward in two.responded(known, event).rewards]

    assert rewards(5, NOW + 1) == [1, 0, 0]
    assert rewards(5, NOW + DAY_US // 2) == [0, 0, 1]
    assert rewards(5, NOW + DAY_US) == [0, 0, 1]
    assert rewards(6, NOW + DAY_US) == [0, 1, 0]
    assert rewards(6, NOW + DAY_US + 1) == [0, 0, 0]
    assert rewards(5, NOW - 1) == rewards(7, NOW + 1) == rewards(5, NOW + 1, user="v") == [0, 0, 0]
    assert rewards(5, NOW + 1, "purchase") == [0, 0, 0]
    assert two.responded(None).rewards.tolist() == [0, 0, 0]
    with pytest.raises(QueryError, match="no type of events 'sale'"):
        rewards(5, NOW + 1, "sale")


def test_the_history_of_a_remade_slate_ends_before_the_slate(world: World, logs: list[LoggedSlates]) -> None:
    later = History.of(np.array([1]), np.array([NOW]))
    assert len(later.before(NOW)) == 0
    assert SETTINGS.to_dict() == {"k": 6, "explore": 0.3}
    assert SlateSettings(**SlateSettings(quotas={"live": 0.2}, age=12).to_dict()) == SlateSettings(
        quotas={"live": 0.2}, age=12
    )
