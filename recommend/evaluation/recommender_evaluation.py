"""Evaluation of recommenders on one log of events, by several protocols.

Every candidate is ranked for every user (no sampled negatives), and models are compared over the same users.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.evaluation import measures
from firstsight.recommend.evaluation.exposure import Exposure, ItemGroups, ShownItems, measure_exposure_of_draws
from firstsight.recommend.evaluation.measures import Difference
from firstsight.recommend.evaluation.protocols import Split, global_time, item_cold, user_cold
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.events.order_times import has_order_only
from firstsight.recommend.items import Places
from firstsight.recommend.recommender import Recommender
from firstsight.records import Record

K = 20
SEEDS = 3
KNOWN_EVENTS = (1, 5, 10)

PROTOCOL_DESCRIPTIONS = {
    "item-cold": "New items: a share of all items loses every event, and only these items are ranked.",
    "user-cold": "New users: of held-out users, the first events are known; the others must be found among all items.",
    "time": "The future: events after one moment must be found from the events before it, among all items. Users "
    "without earlier events count as well.",
}
PROTOCOLS = tuple(PROTOCOL_DESCRIPTIONS)


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class ModelFigures(Record):
    """Figures of one model under one protocol. Per-user figures are means over the seeds; NaN for a user without one.

    Attributes:
        model: its name.
        recall, ndcg, recall_cold, recall_warm, novelty, popularity_share: (users,).
        coverage: share of the candidates that at least one user gets, mean over the seeds.
        interval: 95 % bootstrap interval of the mean recall over users.
        against_best: recall of the best model minus this one's; None for the best model.
        seconds: time to fit and to rank for all users, mean over the seeds.
        exposure: of groups of items in the rankings of all seeds.
    """

    model: str
    recall: NDArray[np.float64]
    ndcg: NDArray[np.float64]
    recall_cold: NDArray[np.float64]
    recall_warm: NDArray[np.float64]
    novelty: NDArray[np.float64]
    popularity_share: NDArray[np.float64]
    coverage: float
    interval: tuple[float, float]
    against_best: Difference | None
    seconds: float
    exposure: tuple[Exposure, ...] = ()

    def mean(self, name: str) -> float:
        """Mean of a per-user figure over the users who have it; NaN if nobody has it."""
        values = getattr(self, name)
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Means as JSON fields; null for a missing mean."""
        names = ("recall", "ndcg", "recall_cold", "recall_warm", "novelty", "popularity_share")
        means = {name: None if np.isnan(self.mean(name)) else round(self.mean(name), 4) for name in names}
        behind = self.against_best
        return {
            "model": self.model,
            **means,
            "coverage": round(self.coverage, 4),
            "recall_interval": [round(end, 4) for end in self.interval],
            "behind_best": None
            if behind is None
            else {"mean": round(behind.mean, 4), "low": round(behind.low, 4), "high": round(behind.high, 4)},
            "seconds": round(self.seconds, 2),
            "exposure": [one.to_dict() for one in self.exposure],
        }


@dataclass(frozen=True)
class ProtocolReport(Record):
    """All models under one protocol, the best recall first."""

    protocol: str
    first: int | None  # events known of each held-out user, under "user-cold"
    k: int
    seeds: int
    users: int  # evaluated users
    candidates: int  # number of ranked items, mean over the seeds
    cold: int  # candidates without an event in the training data
    models: tuple[ModelFigures, ...]

    @property
    def name(self) -> str:
        """Name for a heading."""
        return self.protocol if self.first is None else f"{self.protocol}, {self.first} known"

    @property
    def about(self) -> str:
        """Description of the protocol."""
        return PROTOCOL_DESCRIPTIONS[self.protocol]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON fields."""
        head = {
            name: getattr(self, name) for name in ("protocol", "first", "k", "seeds", "users", "candidates", "cold")
        }
        return head | {"models": [model.to_dict() for model in self.models]}


def evaluate_recommenders(
    interactions: Interactions,
    models: Mapping[str, Callable[[], Recommender]],
    *,
    protocols: Sequence[str] = PROTOCOLS,
    k: int = K,
    seeds: int = SEEDS,
    share: float = 0.2,
    first: Sequence[int] = KNOWN_EVENTS,
    divisions: Sequence[ItemGroups] = (),
    on_progress: Callable[[str], None] = lambda line: None,
) -> list[ProtocolReport]:
    """Fit every model on the training data of each protocol, and measure its rankings.

    Args:
        interactions: the events.
        models: factories by the name in the report; called once for every fit.
        protocols: some of "item-cold", "user-cold" and "time".
        k: depth of the measures, 1 or more.
        seeds: number of draws of held-out items and users; "time" draws nothing and runs once.
        share: share of items, users or events to hold out, between 0 and 1.
        first: under "user-cold", numbers of known events of each held-out user; one report for each number.
        divisions: groups of items whose exposure is measured, besides new items.
        on_progress: called with the next step.

    Returns:
        One report for each protocol and number of known events.

    Raises:
        QueryError: a protocol is unknown, a number is out of range, there are too few events, or the events have no
            real times and the protocol is "time".
    """
    for name in protocols:
        if name not in PROTOCOL_DESCRIPTIONS:
            raise QueryError(f"there is no protocol {name!r}; the protocols are {', '.join(PROTOCOLS)}")
    if not models:
        raise QueryError("there is no model to evaluate; name one, such as popularity")
    if seeds < 1:
        raise QueryError(f"{seeds} seeds are out of range; give 1 or more seeds")
    if k < 1:
        raise QueryError(f"a ranking of {k} items cannot be measured; take k of 1 or more")
    if "time" in protocols and has_order_only(interactions.times):
        raise QueryError(
            "the events have an order but no times (they were added with --order), so no moment divides them; use the "
            "other protocols, or next with --order-only"
        )
    reports = []
    for protocol, known, splits in _make_splits(interactions, protocols, seeds=seeds, share=share, first=first):
        runs: dict[str, list[_EvaluationRun]] = {name: [] for name in models}
        for number, split in enumerate(splits, 1):
            for name, make in models.items():
                on_progress(f"{protocol}{'' if known is None else f', {known} known'}, draw {number}: {name}")
                runs[name].append(_run(split, make(), k))
        reports.append(_report(protocol, known, k, splits, runs, divisions))
    return reports


@dataclass(frozen=True)
class _EvaluationRun:
    """Figures of one model on one split, per user of the whole log."""

    figures: dict[str, NDArray[np.float64]]  # (users of the log,) NaN for users outside the split
    ranked: Places
    coverage: float
    seconds: float


def _make_splits(
    interactions: Interactions, protocols: Sequence[str], *, seeds: int, share: float, first: Sequence[int]
) -> Iterator[tuple[str, int | None, list[Split]]]:
    draws = range(seeds)
    for protocol in protocols:
        if protocol == "item-cold":
            yield protocol, None, [item_cold(interactions, share=share, seed=seed) for seed in draws]
        elif protocol == "time":
            yield protocol, None, [global_time(interactions, share=share)]
        else:
            min_events = max(first, default=0) + 1  # the same users for every number of known events
            for known in first:
                yield (
                    protocol,
                    known,
                    [
                        user_cold(interactions, first=known, share=share, min_events=min_events, seed=seed)
                        for seed in draws
                    ],
                )


def _run(split: Split, model: Recommender, k: int) -> _EvaluationRun:
    start = time.perf_counter()
    model.fit(split.train)
    ranked = split.rank(model, k)
    seconds = time.perf_counter() - start
    popularity = split.train.popularity()
    learned = len(np.unique(split.train.users))
    values = {
        "recall": measures.recall(ranked, split.targets),
        "ndcg": measures.ndcg(ranked, split.targets),
        "recall_cold": measures.recall(ranked, split.targets, split.cold),
        "recall_warm": measures.recall(ranked, split.targets, ~split.cold),
        "novelty": measures.novelty(ranked, popularity, learned),
        "popularity_share": measures.popularity_share(ranked, popularity),
    }
    per_user = {name: np.full(len(split.train.user_ids), np.nan) for name in values}
    for name, column in values.items():
        per_user[name][split.users] = column
    return _EvaluationRun(per_user, ranked, measures.coverage(ranked, split.candidates), seconds)


def _report(
    protocol: str,
    first: int | None,
    k: int,
    splits: Sequence[Split],
    runs: Mapping[str, list[_EvaluationRun]],
    divisions: Sequence[ItemGroups],
) -> ProtocolReport:
    users: Places = np.unique(np.concatenate([split.users for split in splits]))
    means = {
        name: {
            figure: _mean_of_draws(np.stack([run.figures[figure][users] for run in model_runs]))
            for figure in model_runs[0].figures
        }
        for name, model_runs in runs.items()
    }
    best = max(means, key=lambda name: float(np.nanmean(means[name]["recall"])))
    figures = [
        ModelFigures(
            model=name,
            **means[name],
            coverage=float(np.mean([run.coverage for run in model_runs])),
            interval=_interval(means[name]["recall"]),
            against_best=None if name == best else measures.difference(means[best]["recall"], means[name]["recall"]),
            seconds=float(np.mean([run.seconds for run in model_runs])),
            exposure=_exposure(splits, model_runs, divisions),
        )
        for name, model_runs in runs.items()
    ]
    return ProtocolReport(
        protocol=protocol,
        first=first,
        k=k,
        seeds=len(splits),
        users=len(users),
        candidates=round(float(np.mean([len(split.candidates) for split in splits]))),
        cold=round(float(np.mean([split.cold[split.candidates].sum() for split in splits]))),
        models=tuple(sorted(figures, key=lambda model: -model.mean("recall"))),
    )


def _exposure(
    splits: Sequence[Split], runs: Sequence[_EvaluationRun], divisions: Sequence[ItemGroups]
) -> tuple[Exposure, ...]:
    draws = []
    for split, run in zip(splits, runs, strict=True):
        counts = np.bincount(split.train.items, minlength=len(split.cold))
        groups = [ItemGroups.by_newness(counts), *divisions]
        draws.append(ShownItems(run.ranked, groups, split.users, counts, split.candidates))
    return measure_exposure_of_draws(draws)


def _mean_of_draws(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws, users) to (users,): mean over the draws in which a user has a figure."""
    known = np.isfinite(values)
    sums, counts = np.where(known, values, 0).sum(axis=0), known.sum(axis=0)
    return np.asarray(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0))


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    against_zero = measures.difference(values, np.zeros(len(values)))
    return against_zero.low, against_zero.high
