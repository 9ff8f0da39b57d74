"""Coverage of off-policy estimates: python -m benchmarks.off_policy [--logs 100] [--slates 1000] [--explore 0.05 …]

Simulated logs: a catalogue of 600 items in 30 topics, users with histories, slates of ten from `SlateMaker`, and clicks
of a known model (probability of a look at the slot times attraction of the item to the user). For each share of
exploration and each log, the ranking of the log and another one (with diversity .5) are estimated; their true values
are those of the click model on the same users. Printed: the number of logs in which the truth is within two standard
errors, the mean and the standard deviation of the estimates, and the mean of their errors.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.off_policy.estimators import PolicyEstimate
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
from firstsight.recommend.slates.slate_policy import SlatePolicy

NOW = 1_790_000_000_000_000
ITEMS, TOPICS, DIM, K = 600, 30, 32, 10
OTHER = 0.5  # diversity of the other ranking


class World:
    """A catalogue, users with histories, and a click model."""

    def __init__(self, users: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.topic = np.repeat(np.arange(TOPICS), ITEMS // TOPICS)
        vectors = rng.normal(size=(TOPICS, DIM))[self.topic] + 0.8 * rng.normal(size=(ITEMS, DIM))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.space = ItemSpace.of([f"i{n:04}" for n in range(ITEMS)], vectors.astype(np.float32))
        self.quality = rng.normal(0, 0.7, ITEMS)  # not known to any ranking
        self.tastes = rng.dirichlet(np.full(TOPICS, 0.15), users)
        ids, items, times = [], [], []
        for user in range(users):
            size = int(rng.integers(3, 15))
            topics = rng.choice(TOPICS, size, p=self.tastes[user])
            ids += [f"u{user:05}"] * size
            items += (topics * (ITEMS // TOPICS) + rng.integers(0, ITEMS // TOPICS, size)).tolist()
            times += (NOW - rng.permutation(size) * 86_400_000_000).tolist()
        # the last item of each topic has no events, so that exploration has new items
        items = [item - 1 if item % (ITEMS // TOPICS) >= ITEMS // TOPICS - 3 and item >= 3 else item for item in items]
        self.events = Interactions.of(self.space, np.array(ids, dtype=object), np.array(items), np.array(times))
        self.maker = SlateMaker(self.space, self.events, clusters=Clusters(self.space, self.topic.astype(np.int32)))
        self.looks = 0.85 ** np.arange(K)

    def history(self, user: int) -> History:
        """Events of a user before the slates."""
        return self.events.history(user)

    def chance(self, user: int, slots: NDArray[np.int64], places: Places) -> NDArray[np.float64]:
        """Probability of a click."""
        logit = -2.5 + 3 * self.tastes[user][self.topic[places]] + self.quality[places]
        return np.asarray(self.looks[slots] / (1 + np.exp(-logit)))

    def value(self, policies: list[SlatePolicy]) -> float:
        """Expected clicks on the ranked slates of all users."""
        sums = []
        for user, policy in enumerate(policies):
            places = np.array([slot.place for slot in policy.ranked.slots])
            sums.append(self.chance(user, np.arange(len(places)), places).sum())
        return float(np.mean(sums))


class Remembered:
    """A maker that makes the same slates only once: the policies do not differ between simulated logs."""

    def __init__(self, maker: SlateMaker) -> None:
        self._maker = maker
        self._made: dict[tuple[bytes, str], SlatePolicy] = {}

    def policy(self, history: History, settings: SlateSettings, **rest: Any) -> SlatePolicy:
        """As `SlateMaker.policy`."""
        key = (history.items.tobytes() + history.times.tobytes(), json.dumps(settings.to_dict()))
        if key not in self._made:
            self._made[key] = self._maker.policy(history, settings, **rest)
        return self._made[key]


def simulate(world: World, policies: list[SlatePolicy], settings: SlateSettings, seed: int) -> LoggedSlates:
    """Draw a slate for each user and its clicks."""
    rng = np.random.default_rng(seed)
    parts: dict[str, list[NDArray[np.generic]]] = {}
    for user, policy in enumerate(policies):
        drawn = policy.draw(rng)
        places, slots = np.array([slot.place for slot in drawn]), np.arange(len(drawn))
        columns = {
            "slates": np.full(len(drawn), user),
            "slots": slots,
            "places": places,
            "ranked": np.array([slot.replaces if slot.explore else slot.place for slot in drawn]),
            "propensities": np.array([slot.propensity for slot in drawn]),
            "scores": np.array([slot.score for slot in drawn]),
            "rewards": (rng.random(len(drawn)) < world.chance(user, slots, places)).astype(np.float64),
        }
        for name, column in columns.items():
            parts.setdefault(name, []).append(column)
    users = len(policies)
    return LoggedSlates(
        slate_ids=np.array([f"s{n:05}" for n in range(users)], dtype=object),
        user_ids=world.events.user_ids[:users],
        made_at=np.full(users, NOW + 1),
        settings=np.array([json.dumps(settings.to_dict())] * users, dtype=object),
        events=np.array([len(world.history(user)) for user in range(users)]),
        left_out={},
        pending=0,
        ranking=None,
        **{name: np.concatenate(column) for name, column in parts.items()},
    )


Row = tuple[str, str, float, list[PolicyEstimate]]


def rows_of(world: World, explore: float, logs: int, seed: int, *, with_other: bool) -> Iterator[Row]:
    """Estimates over many logs: name of the policy, estimator, truth, and one estimate for each log."""
    users = len(world.events.user_ids)
    settings = SlateSettings(k=K, explore=explore)
    other = SlateSettings(k=K, explore=0.0, diversity=OTHER)
    maker = cast(SlateMaker, Remembered(world.maker))
    make = maker.policy
    histories = [world.history(user) for user in range(users)]
    policies = [make(history, settings, now_us=NOW + 1) for history in histories]
    others = [make(history, other, now_us=NOW + 1) for history in histories]
    truths = {"ranking": world.value(policies), "other ranking": world.value(others)}
    kinds = np.zeros(ITEMS, dtype=np.int64)
    found: dict[tuple[str, str], list[PolicyEstimate]] = {}
    lacking = 0.0
    for log in range(logs):
        slates = simulate(world, policies, settings, seed + log)
        rewards = CrossFittedRewards(slates, kinds)
        targets = {"ranking": ranking_of_log(slates, rewards)}
        if with_other:
            remade = SlateRemaker(maker, world.events).remake(slates, rewards, {"explore": 0.0, "diversity": OTHER})
            targets["other ranking"] = remade.target
        for name, target in targets.items():
            for one in estimates_of(slates, rewards, target):
                found.setdefault((name, one.estimator), []).append(one)
        lacking = target.unsupported.sum() / target.slots.sum()
        found.setdefault(("log", "mean"), []).append(mean_of_log(slates))
    print(f"explore {explore}: {lacking:.2%} of the slots of the last ranking hold items that the log cannot show")
    for (name, estimator), values in found.items():
        yield name, estimator, truths.get(name, float(np.mean([one.value for one in values]))), values


def main() -> None:
    """Simulate logs and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=100)
    parser.add_argument("--slates", type=int, default=1_000)
    parser.add_argument("--explore", type=float, nargs="+", default=[0.05, 0.1, 0.2, 0.3])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ranking-only", action="store_true", help="leave the other ranking out")
    arguments = parser.parse_args()
    with threadpool_limits(1):
        world = World(arguments.slates, arguments.seed)
        for explore in arguments.explore:
            start = time.perf_counter()
            rows = rows_of(world, explore, arguments.logs, arguments.seed, with_other=not arguments.ranking_only)
            for name, estimator, truth, values in rows:
                centre = np.array([one.value for one in values])
                errors = np.array([one.standard_error for one in values])
                within = int((np.abs(centre - truth) <= 2 * errors).sum())
                print(
                    f"  {name:<14} {estimator:<6} truth {truth:.3f}, mean {centre.mean():.3f}, "
                    f"within two errors {within} of {len(values)}, deviation {centre.std():.3f}, "
                    f"mean error {errors.mean():.3f}, effective {values[0].effective_sample_size:,.0f}"
                )
            print(f"  {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
