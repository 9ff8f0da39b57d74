"""Estimates of policies from logged slates: the policy of the log, its ranking alone, and other rankings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.items import Places
from firstsight.recommend.off_policy.estimators import PolicyEstimate, effective_sample_size, estimate
from firstsight.recommend.off_policy.reward_model import FOLDS, RewardModel
from firstsight.recommend.off_policy.slate_records import LoggedSlates
from firstsight.recommend.slates.slate_policy import SlatePolicy


@dataclass
class TargetPolicy:
    """Weights and expectations of a target policy in the slates of a log.

    Attributes:
        weights: (n,) probability of each logged slot's item under the target, over its propensity.
        expected: (s,) sum over the target's slots of the expected reward by the model.
        slots: (s,) number of slots of the target's slates.
        unsupported: (s,) probability, summed over slots, of items that the log could not show in the slot.
        second: (s,) sum over slots and items of P_target² * expected reward / P_logged; 0 where it is not known.
    """

    weights: NDArray[np.float64]
    expected: NDArray[np.float64]
    slots: NDArray[np.float64]
    unsupported: NDArray[np.float64]
    second: NDArray[np.float64]


class CrossFittedRewards:
    """Reward models, each fitted to the users of the other folds."""

    def __init__(self, slates: LoggedSlates, kinds: NDArray[np.int64]) -> None:
        """
        Args:
            slates: with rewards.
            kinds: (items,) kind of every item, as a number.
        """
        users = slates.users
        self.fold_of_slate = np.random.default_rng(0).permutation(int(users.max()) + 1)[users] % FOLDS
        folds = self.fold_of_slate[slates.slates]
        k = int(slates.slots.max()) + 1
        columns = (slates.slots, slates.places, slates.scores, slates.rewards)
        self.models: list[RewardModel] = []
        for fold in range(FOLDS):
            slots, places, scores, rewards = (column[folds != fold] for column in columns)
            self.models.append(RewardModel.fit(slots, places, scores, rewards, kinds=kinds, k=k))
        self._slates, self._folds = slates, folds

    def predict(self, places: Places, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) expected rewards if the logged slots held these items."""
        predicted = np.zeros(len(places))
        for fold, model in enumerate(self.models):
            own = self._folds == fold
            predicted[own] = model.predict(self._slates.slots[own], places[own], scores[own])
        return predicted

    def model_of(self, slate: int) -> RewardModel:
        """The model that was fitted without the user of a slate."""
        return self.models[int(self.fold_of_slate[slate])]

    def expected(self, slate: int, policy: SlatePolicy, slots: int) -> float:
        """Expected reward of the first slots of a policy's slate, by the model of the slate's fold."""
        model, relevance = self.model_of(slate), policy.ranking.relevance
        numbers = np.arange(min(slots, len(policy)))
        places = np.array([slot.place for slot in policy.ranked.slots[:slots]], dtype=np.int64)
        own = np.array([policy.ranked_propensity(n) for n in range(len(numbers))])
        total = float(own @ model.predict(numbers, places, relevance[places].astype(np.float64)))
        for group in policy.opened:
            scores = relevance[group.places].astype(np.float64)
            inside = group.slots[group.slots < slots]
            total += float((model.predict(inside[:, None], group.places, scores) @ group.probabilities).sum())
        return total


def ranking_of_log(slates: LoggedSlates, rewards: CrossFittedRewards) -> TargetPolicy:
    """The ranking that made the log, without exploration: each slot shows the item that the log says was ranked."""
    shows = slates.places == slates.ranked
    weights = np.where(shows, 1 / slates.propensities, 0.0)
    scores = slates.scores.copy()
    if shows.any() and not shows.all():  # the score of an overwritten item lies between those of its neighbours
        rows = np.arange(len(scores))
        scores[~shows] = np.interp(rows[~shows], rows[shows], scores[shows])
    slots = slates.sums(np.ones(len(weights)))
    # no slot of a log at explore 1 shows a ranked item, and none can
    never = np.zeros(len(slates)) if shows.any() else slots
    predicted = rewards.predict(slates.ranked, scores)
    # the propensity of an overwritten item is that of the other ranked items
    usual = float(slates.propensities[shows].mean()) if shows.any() else 1.0
    second = slates.sums(predicted / np.where(shows, slates.propensities, usual))
    return TargetPolicy(weights, slates.sums(predicted), slots, never, second)


def estimates_of(
    slates: LoggedSlates, rewards: CrossFittedRewards, target: TargetPolicy
) -> tuple[PolicyEstimate, PolicyEstimate, PolicyEstimate]:
    """IPS, SNIPS and doubly robust estimates of a target policy; see `firstsight.recommend.off_policy.estimators`."""
    users, weights = slates.users, target.weights
    effective = effective_sample_size(weights)
    weighted, total = slates.sums(weights * slates.rewards), slates.sums(weights)
    ips = float(weighted.mean())
    mean_weight = float(total.mean())
    ratio = ips / mean_weight if mean_weight > 0 else float("nan")
    slots = float(target.slots.mean())
    normalised = slots * (weighted - ratio * total) / mean_weight if mean_weight > 0 else weighted * np.nan
    predicted = rewards.predict(slates.places, slates.scores)
    robust = target.expected + slates.sums(weights * (slates.rewards - predicted))
    value = float(robust.mean())
    spread = float(((target.expected - target.expected.mean()) ** 2).sum())
    least = (float(target.second.sum()) + spread) / len(slates) ** 2
    return (
        estimate("ips", weighted - ips, ips, users, effective, least),
        estimate("snips", normalised, slots * ratio, users, effective, least),
        estimate("dr", robust - value, value, users, effective, least),
    )


def mean_of_log(slates: LoggedSlates) -> PolicyEstimate:
    """Mean number of responses to the slates of the log."""
    sums = slates.sums(slates.rewards)
    value = float(sums.mean())
    return estimate("mean", sums - value, value, slates.users, float(len(slates.slates)))
