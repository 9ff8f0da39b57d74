"""Slates of the log made again by another ranking, for the same users at the same times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places
from firstsight.recommend.off_policy.policy_estimates import CrossFittedRewards, TargetPolicy
from firstsight.recommend.off_policy.reward_model import RewardModel
from firstsight.recommend.off_policy.slate_records import LoggedSlates, parse_settings
from firstsight.recommend.slates.rules.group_limits import GroupRules
from firstsight.recommend.slates.rules.slate_copies import CopyCodes
from firstsight.recommend.slates.rules.slate_products import SlateProducts
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.recommend.slates.slate_maker import SlateMaker
from firstsight.recommend.slates.slate_policy import SlatePolicy


@dataclass(frozen=True)
class RemadeSlates:
    """A target policy in the slates of a log.

    Attributes:
        target: its probabilities.
        ranked: (s, k) the target's ranked slates; -1 for no item.
        same: share of the slates whose ranked slate the logged settings give again: only then are the items that the
            log could show known exactly.
        changed_histories: number of slates whose user had another number of events than the log says, for instance
            because a history was given with the request.
    """

    target: TargetPolicy
    ranked: Places
    same: float
    changed_histories: int


class SlateRemaker:
    """Makes slates of a log again.

    The state of the ranking is that before the first slate of the log. If responses to the slates could change the
    ranking, it would be evaluated on events that it had learned from.
    """

    def __init__(
        self,
        maker: SlateMaker,
        interactions: Interactions | None,
        *,
        logging: SlateMaker | None = None,
        groups: Callable[[SlateSettings], GroupRules | None] = lambda settings: None,
        products: Callable[[SlateSettings], SlateProducts | None] = lambda settings: None,
        copies: Callable[[SlateSettings], CopyCodes | None] = lambda settings: None,
    ) -> None:
        """
        Args:
            maker: of the target's slates.
            interactions: all events, for the histories.
            logging: maker with the ranking of the log; the target's by default.
            groups, products, copies: what slates of given settings need; see `SlateMaker.policy`.
        """
        self._maker, self._logging = maker, logging or maker
        self._interactions = interactions
        self._groups, self._products, self._copies = groups, products, copies

    def remake(
        self,
        slates: LoggedSlates,
        rewards: CrossFittedRewards,
        overrides: dict[str, Any],
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> RemadeSlates:
        """Make every slate again.

        Args:
            slates: of the log.
            rewards: reward models for the doubly robust estimate.
            overrides: settings of the target; the others are those of each logged slate.
            on_progress: called with one line before each thousand slates.

        Raises:
            QueryError: a setting is out of range, or the catalogue lacks a column.
        """
        known = {
            text: (self._inputs(settings), self._inputs({**settings, **overrides}))
            for text, settings in parse_settings(slates.settings.tolist()).items()
        }
        starts = np.searchsorted(slates.slates, np.arange(len(slates) + 1))
        weights, ranked = np.zeros(len(slates.slates)), slates.rankings(slates.places * 0 - 1)
        expected, slots, unsupported, second = (np.zeros(len(slates)) for _ in range(4))
        same = changed = 0
        for n, text in enumerate(slates.settings.tolist()):
            if n % 1000 == 0:
                on_progress(f"slate {n:,} of {len(slates):,}")
            history, now_us = self._history(slates, n), int(slates.made_at[n])
            changed += len(history) != slates.events[n]
            log_inputs, inputs = known[text]
            logged = self._logging.policy(history, now_us=now_us, **log_inputs)
            policy = self._maker.policy(history, now_us=now_us, **inputs)
            rows = slice(starts[n], starts[n + 1])
            shown, count = slates.places[rows], int(starts[n + 1] - starts[n])
            chances = np.array([policy.probability(slot, int(place)) for slot, place in enumerate(shown)])
            weights[rows] = chances / slates.propensities[rows]
            expected[n] = rewards.expected(n, policy, count)
            slots[n] = min(count, len(policy))
            was_ranked = slates.ranked[rows]
            is_same = [slot.place for slot in logged.ranked.slots] == was_ranked.tolist()
            same += is_same
            ranked[n, : int(slots[n])] = [slot.place for slot in policy.ranked.slots[:count]]
            unsupported[n], second[n] = _support(logged, policy, was_ranked, rewards.model_of(n))
        target = TargetPolicy(weights, expected, slots, unsupported, second)
        return RemadeSlates(target, ranked, same / len(slates), changed)

    def _history(self, slates: LoggedSlates, n: int) -> History:
        events = self._interactions
        if events is not None:
            row = int(np.searchsorted(events.user_ids, slates.user_ids[n]))
            if row < len(events.user_ids) and events.user_ids[row] == slates.user_ids[n]:
                return events.history(row).before(int(slates.made_at[n]))
        return History.of(np.zeros(0, dtype=np.int64))

    def _inputs(self, settings: dict[str, Any]) -> dict[str, Any]:
        try:
            read = SlateSettings(**settings)
        except TypeError:
            known = SlateSettings().__dict__
            unknown = ", ".join(sorted(settings.keys() - known.keys()))
            raise QueryError(f"there is no slate setting {unknown}; the settings are {', '.join(known)}") from None
        groups, products, copies = self._groups(read), self._products(read), self._copies(read)
        return {"settings": read, "groups": groups, "products": products, "copies": copies}


def _support(logged: SlatePolicy, policy: SlatePolicy, was_ranked: Places, model: RewardModel) -> tuple[float, float]:
    """What the log could show of a target's slate: see `unsupported` and `second` of `TargetPolicy`."""
    known: list[dict[int, float]] = [{} for _ in was_ranked]
    for group in logged.opened:
        shown = dict(zip(group.places.tolist(), group.probabilities.tolist(), strict=True))
        for slot in group.slots.tolist():
            if slot < len(known):
                known[slot] = shown
    lacking = second = 0.0
    relevance = policy.ranking.relevance
    ranked = [slot.place for slot in policy.ranked.slots[: len(was_ranked)]]
    parts = [
        (
            np.arange(len(ranked)),
            np.array(ranked, dtype=np.int64),
            [policy.ranked_propensity(n) for n in range(len(ranked))],
        )
    ]
    for group in policy.opened:
        for slot in group.slots.tolist():
            if slot < len(was_ranked):
                parts.append((np.full(len(group.places), slot), group.places, group.probabilities.tolist()))
    for slots, places, chances in parts:
        propensities = np.array(
            [
                (logged.ranked_propensity(slot) if slot < len(logged) else 1.0)
                if place == was_ranked[slot]
                else known[slot].get(place, 0.0)
                for slot, place in zip(slots.tolist(), places.tolist(), strict=True)
            ]
        )
        own = np.array(chances)
        can = propensities > 0
        lacking += float(own[~can].sum())
        predicted = model.predict(slots[can], places[can], relevance[places[can]].astype(np.float64))
        second += float((own[can] ** 2 * predicted / propensities[can]).sum())
    return lacking, second
