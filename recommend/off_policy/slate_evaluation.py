"""Evaluation of logged slates: the value of the log, of its ranking and of another one, and whom they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from firstsight.errors import QueryError
from firstsight.heads.model_shelf import ModelShelf
from firstsight.recommend.evaluation.exposure import Exposure, ItemGroups, measure_exposure, read_item_groups
from firstsight.recommend.events.event_log import Events
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.models.score_scaling import KindScale
from firstsight.recommend.off_policy.estimators import PolicyEstimate
from firstsight.recommend.off_policy.policy_estimates import (
    CrossFittedRewards,
    TargetPolicy,
    estimates_of,
    mean_of_log,
    ranking_of_log,
)
from firstsight.recommend.off_policy.remade_slates import SlateRemaker
from firstsight.recommend.off_policy.slate_records import LoggedSlates, SlateFilter, read_logged_slates
from firstsight.recommend.ranking.ranking_store import SHELF_SPEC as RANKINGS
from firstsight.recommend.slates.slate_data import SlateData
from firstsight.records import Record
from firstsight.storage.store import Store

FEW_EFFECTIVE = 100.0
"""Effective sample size of slots below which an estimate is called uncertain."""


@dataclass(frozen=True)
class SlatePolicyReport(Record):
    """Estimates of one policy.

    Attributes:
        policy: "log", the slates as they were shown; "ranking", the ranking of the log without exploration; or "other".
        settings: settings that the other ranking has instead of the logged ones.
        estimates: one for each estimator; only "mean" for the log.
        unsupported: share of the policy's slots with items that the log could not have shown in the slot, 0 to 1: IPS
            and SNIPS know nothing of them, and the doubly robust estimate takes them from its model.
        exposure: share of the slots of each group of items.
    """

    policy: str
    settings: Mapping[str, Any]
    estimates: tuple[PolicyEstimate, ...]
    unsupported: float
    exposure: tuple[Exposure, ...]

    def lines(self) -> list[dict[str, Any]]:
        """The report as JSON objects: one for each estimator, and one for each division of the items."""
        head: dict[str, Any] = {"policy": self.policy}
        if self.settings:
            head["settings"] = dict(self.settings)
        found = []
        for one in self.estimates:
            found.append(head | one.to_dict() | {"unsupported": round(self.unsupported, 4)})
        return found + [head | {"exposure": exposure.to_dict()} for exposure in self.exposure]


@dataclass(frozen=True)
class SlateEvaluation(Record):
    """Evaluation of the slates of a log.

    Attributes:
        policies: the log, its ranking, and the other ranking if there is one.
        slates, slots, users: numbers of what was evaluated.
        left_out: number of slates that were left out, by reason.
        pending: number of slates whose response time is not over; they count only if there are no others.
        notes: what to know before trusting the figures.
    """

    policies: tuple[SlatePolicyReport, ...]
    slates: int
    slots: int
    users: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    pending: int = 0
    notes: tuple[str, ...] = ()


def evaluate_slates(
    store: Store,
    *,
    which: SlateFilter | None = None,
    other: Mapping[str, Any] | None = None,
    ranking_version: int | None = None,
    columns: Sequence[str] | None = None,
    event: str | None = None,
    now: datetime | None = None,
    on_progress: Callable[[str], None] = lambda line: None,
) -> SlateEvaluation:
    """PolicyEstimate what rankings earn from the slates in the log.

    A reward is an event of the slate's user on the item within a day. The other ranking makes the slate of each user
    again, with the user's events before the slate, popularity and neighbours from the events before the first slate.

    Args:
        store: the database.
        which: of the slates; all by default.
        other: settings of `SlateSettings` that another ranking has instead of the logged ones, explore 0 by default.
            None for no other ranking.
        ranking_version: a version of the fitted rankings that the other ranking has instead of that of the log.
        columns: columns for the exposure of groups; `seller` by default, if the catalogue has it.
        event: count only events of this type as responses.
        now: with a zone; the present time by default.
        on_progress: called with one line before each step.

    Raises:
        QueryError: there are no slates to evaluate, a setting is out of range, or there is no such column.
    """
    space = ItemSpace.load(store)
    events = Events(store)
    divisions = read_item_groups(store, space, columns)
    slates = read_logged_slates(store, space, which or SlateFilter(), now)
    try:
        interactions: Interactions | None = events.interactions(space)
    except QueryError:  # nobody responded to anything
        interactions = None
    slates = slates.responded(interactions, event)
    earlier = None if interactions is None else interactions.where(interactions.times < slates.made_at.min())
    popularity = np.zeros(len(space), dtype=np.int64) if earlier is None else earlier.popularity()
    divisions = [*divisions, ItemGroups.by_newness(popularity)]
    rewards = CrossFittedRewards(slates, KindScale(space.kinds).codes)
    ranking = ranking_of_log(slates, rewards)
    shown = measure_exposure(slates.rankings(slates.places), divisions, users=slates.users, events=popularity)
    policies = [
        SlatePolicyReport("log", {}, (mean_of_log(slates),), 0.0, shown),
        _report("ranking", {}, slates, rewards, ranking, slates.rankings(slates.ranked), divisions, popularity),
    ]
    notes = _notes(slates)
    if other is not None or ranking_version is not None:
        overrides = {"explore": 0.0, **(other or {})}
        on_progress("slates of the other ranking")
        before = datetime.fromtimestamp(int(slates.made_at.min()) / 1e6, UTC)
        logging = SlateData.load_before(store, before, ranking=slates.ranking)
        data = logging
        if ranking_version is not None:
            data = SlateData.load_before(store, before, ranking=ranking_version)
            notes += _fitted_later(store, ranking_version, before)
        remaker = SlateRemaker(
            data.maker,
            interactions,
            logging=logging.maker,
            groups=lambda settings: data.group_rules(store, settings),
            products=lambda settings: data.products(store) if settings.collapse is None else None,
            copies=lambda settings: None if settings.allow_copies else data.copies(store),
        )
        shown_settings = overrides if ranking_version is None else {"ranking": ranking_version, **overrides}
        remade = remaker.remake(slates, rewards, overrides, on_progress)
        policies.append(
            _report("other", shown_settings, slates, rewards, remade.target, remade.ranked, divisions, popularity)
        )
        if remade.changed_histories:
            notes.append(f"{remade.changed_histories:,} slates were made from another history than the events give now")
        if remade.same < 1:
            notes.append(
                f"{1 - remade.same:.1%} of the logged slates cannot be made again exactly, since items, events or "
                "models have changed; which items the log could show is approximate for them"
            )
    for report in policies[1:]:
        notes += _warnings(report)
    return SlateEvaluation(
        tuple(policies),
        len(slates),
        len(slates.slates),
        len(np.unique(slates.user_ids)),
        slates.left_out,
        slates.pending,
        tuple(notes),
    )


def _report(
    name: str,
    settings: Mapping[str, Any],
    slates: LoggedSlates,
    rewards: CrossFittedRewards,
    target: TargetPolicy,
    rankings: Places,
    divisions: Sequence[ItemGroups],
    popularity: Places,
) -> SlatePolicyReport:
    unsupported = float(target.unsupported.sum() / max(target.slots.sum(), 1))
    exposure = measure_exposure(rankings, divisions, users=slates.users, events=popularity)
    return SlatePolicyReport(name, settings, estimates_of(slates, rewards, target), unsupported, exposure)


def _notes(slates: LoggedSlates) -> list[str]:
    notes = [f"{count:,} slates are left out: {reason}" for reason, count in slates.left_out.items()]
    if slates.pending == len(slates):
        notes.append("no slate is older than a day, so later responses are missing")
    elif slates.pending:
        notes.append(f"{slates.pending:,} slates of the last day are left out: their users may still respond")
    if not slates.rewards.any():
        notes.append("no user responded to any of these slates")
    return notes


def _fitted_later(store: Store, version: int, before: datetime) -> list[str]:
    fitted_at = ModelShelf(store, RANKINGS).get(version)["fitted_at"]
    if fitted_at <= before:
        return []
    return [f"ranking {version} was fitted after the first slate, so it may have learned from these responses"]


def _warnings(report: SlatePolicyReport) -> list[str]:
    name = "the ranking of the log" if report.policy == "ranking" else "the other ranking"
    found = []
    if report.unsupported > 0:
        found.append(
            f"{report.unsupported:.1%} of the slots of {name} hold items that the log could not show there: IPS and "
            "SNIPS know nothing of them, and the doubly robust estimate takes them from its model"
        )
    effective = report.estimates[0].effective_sample_size
    if effective < FEW_EFFECTIVE:
        found.append(f"only {effective:,.0f} slots tell of {name}; log more slates, or explore more")
    return found
