"""Evaluation of recommenders by the protocol `next`: which item comes next, of all items, with one target a sample."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.evaluation.exposure import Exposure, ItemGroups, measure_exposure
from firstsight.recommend.evaluation.measures import Difference, cluster_bootstrap
from firstsight.recommend.evaluation.next_item_split import NextItemSplit
from firstsight.recommend.evaluation.protocols import rank_for_histories
from firstsight.recommend.items import Places
from firstsight.recommend.recommender import NextItem, Recommender
from firstsight.records import Record

KS = (5, 10, 20)
"""Depths of the measures."""

BEST_BY = "hr@10"
"""The figure that orders the models."""

NEXT_ITEM = "next"
ABOUT = (
    "The next item: each held-out event is a sample, its history is known, and the item must be found among all items."
)

Repeats = Literal["keep", "leave-out"]
REPEATS: tuple[Repeats, ...] = get_args(Repeats)

_PREFIXES = ("", "warm_", "cold_")
FIGURES = tuple(f"{prefix}{name}@{k}" for prefix in _PREFIXES for name in ("hr", "ndcg") for k in KS)
"""Names of the figures: "hr@5" to "cold_ndcg@20"."""


@dataclass(frozen=True, eq=False)
class NextItemFigures(Record):
    """Figures of one model under the protocol `next`.

    Attributes:
        model: its name.
        figures: means over the samples by the names of `FIGURES`, 0 to 1; NaN without such samples. HR@k, the hit
            rate: share of the samples whose target is among the first k. NDCG@k: 1 / log2(1 + rank) of a target at
            rank 1 to k, else 0 (Järvelin and Kekäläinen 2002, with one target). "warm_" and "cold_": of samples whose
            target has an event in the training, and of the others.
        intervals: 95 % bootstrap intervals of the same figures; users are drawn, with all their samples.
        behind_best: difference of the best model and this one for HR@10 and NDCG@10; empty for the best model.
        seconds: time to fit, to select and to rank.
        exposure: of groups of items in the rankings.
    """

    model: str
    figures: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    behind_best: Mapping[str, Difference]
    seconds: float
    exposure: tuple[Exposure, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON fields, rounded to five digits; null for a missing figure."""
        return {
            "model": self.model,
            **{name: _rounded(value) for name, value in self.figures.items()},
            "intervals": {name: [_rounded(end) for end in ends] for name, ends in self.intervals.items()},
            "behind_best": {
                name: {"mean": _rounded(one.mean), "low": _rounded(one.low), "high": _rounded(one.high)}
                for name, one in self.behind_best.items()
            }
            or None,
            "seconds": round(self.seconds, 2),
            "exposure": [one.to_dict() for one in self.exposure],
        }


@dataclass(frozen=True)
class NextItemReport(Record):
    """All models under the protocol `next`, the best HR@10 first.

    Attributes:
        about: how the samples were made.
        repeats: "keep": items of the history are ranked; "leave-out": they are not, and samples whose target is in the
            history are left out.
        n: number of test samples; `n_warm` and `n_cold` of them have a warm and a cold target.
        users: number of their users.
        validation: number of samples that models select on.
        train_events: number of training events.
        candidates: number of ranked items.
        cold: number of items without a training event.
        k: length of the rankings whose exposure is measured.
        left_out: what was left out, by reason.
        models: figures.
    """

    about: str
    repeats: Repeats
    n: int
    n_warm: int
    n_cold: int
    users: int
    validation: int
    train_events: int
    candidates: int
    cold: int
    k: int
    left_out: Mapping[str, int]
    models: tuple[NextItemFigures, ...] = field(default=())

    @property
    def name(self) -> str:
        """Name for a heading."""
        return NEXT_ITEM if self.repeats == "keep" else f"{NEXT_ITEM}, repeats left out"

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON object for each model, each with the facts of the whole."""
        facts = {
            name: getattr(self, name)
            for name in ("n", "n_warm", "n_cold", "users", "validation", "train_events", "candidates", "cold", "k")
        }
        return [
            {"protocol": NEXT_ITEM, "repeats": self.repeats, **model.to_dict(), **facts, "samples": self.about}
            | {"left_out": dict(self.left_out)}
            for model in self.models
        ]


def evaluate_next_items(
    split: NextItemSplit,
    models: Mapping[str, Callable[[], Recommender]],
    *,
    repeats: Repeats = "keep",
    k: int = max(KS),
    divisions: Sequence[ItemGroups] = (),
    on_progress: Callable[[str], None] = lambda line: None,
) -> NextItemReport:
    """Fit every model to the training events, select on the validation samples, and rank all items for the test ones.

    Args:
        split: the samples.
        models: factories by the name in the report. A model with a method `select` (`SelectsOnNextItems`) gets the
            validation samples after `fit`; others do not use them.
        repeats: "keep" or "leave-out"; see `NextItemReport`.
        k: length of the rankings whose exposure is measured, 1 to 100.
        divisions: groups of items whose exposure is measured, besides new items.
        on_progress: called with one line before each step.

    Raises:
        QueryError: a value is out of range, or no sample is left.
    """
    if repeats not in REPEATS:
        raise QueryError(f"{repeats!r} is no way to treat repeats; give one of {', '.join(REPEATS)}")
    if not models:
        raise QueryError("there is no model to evaluate; name one, such as popularity")
    if not 1 <= k <= 100:
        raise QueryError(f"the exposure in rankings of {k} items cannot be measured; give k of 1 to 100")
    left_out = dict(split.left_out)
    if split.drawn_from > len(split.test):
        left_out["test samples that were not drawn"] = split.drawn_from - len(split.test)
    used = np.arange(len(split.test))
    validation = split.validation
    if repeats == "leave-out":
        is_repeat = np.array([sample.item in sample.history.items for sample in split.test], dtype=bool)
        used = np.flatnonzero(~is_repeat)
        left_out["test samples whose target is in the history"] = int(is_repeat.sum())
        validation = tuple(sample for sample in validation if sample.item not in sample.history.items)
    if not len(used):
        raise QueryError("no test sample is left; give more events, or keep repeats")
    test = [split.test[n] for n in used.tolist()]
    popularity = split.train.popularity()
    targets = np.array([sample.item for sample in test], dtype=np.int64)
    is_cold = popularity[targets] == 0
    rankings: dict[str, tuple[Places, float]] = {}
    for name, make in models.items():
        rankings[name] = _run(
            name, make(), split, validation, test, k=max(k, *KS), keep=repeats == "keep", on_progress=on_progress
        )
    on_progress("next: bootstrap over users")
    users = np.unique(split.users[used], return_inverse=True)[1]
    figures, draws = _figures({name: ranked for name, (ranked, _) in rankings.items()}, targets, is_cold, users)
    best = max(figures, key=lambda name: figures[name][BEST_BY])
    every = [ItemGroups.by_newness(popularity), *divisions]
    events = np.bincount(split.train.items, minlength=len(split.train.space))
    found = [
        NextItemFigures(
            model=name,
            figures=figures[name],
            intervals={figure: _interval(drawn) for figure, drawn in draws[name].items()},
            behind_best={} if name == best else _behind(best, name, figures, draws, users=int(users.max()) + 1),
            seconds=seconds,
            exposure=measure_exposure(ranked[:, :k], every, users=users, events=events),
        )
        for name, (ranked, seconds) in rankings.items()
    ]
    return NextItemReport(
        about=split.about,
        repeats=repeats,
        n=len(test),
        n_warm=int((~is_cold).sum()),
        n_cold=int(is_cold.sum()),
        users=int(users.max()) + 1,
        validation=len(validation),
        train_events=len(split.train),
        candidates=len(popularity),
        cold=int((popularity == 0).sum()),
        k=k,
        left_out={reason: count for reason, count in left_out.items() if count},
        models=tuple(sorted(found, key=lambda model: -model.figures[BEST_BY])),
    )


def _run(
    name: str,
    model: Recommender,
    split: NextItemSplit,
    validation: Sequence[NextItem],
    test: Sequence[NextItem],
    *,
    k: int,
    keep: bool,
    on_progress: Callable[[str], None],
) -> tuple[Places, float]:
    """(test, k) rankings, and the seconds that they took."""
    start = time.perf_counter()
    on_progress(f"next: {name}, fit to {len(split.train):,} events")
    model.fit(split.train)
    select = getattr(model, "select", None)
    if select is not None and validation:
        on_progress(f"next: {name}, selection on {len(validation):,} validation samples")
        select(validation)
    on_progress(f"next: {name}, rankings for {len(test):,} test samples")
    every = np.arange(len(split.train.space))
    ranked = rank_for_histories(model, [sample.history for sample in test], every, k, leave_out_history=not keep)
    return ranked, time.perf_counter() - start


def _figures(
    rankings: Mapping[str, Places], targets: Places, is_cold: NDArray[np.bool_], users: NDArray[np.int64]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, NDArray[np.float64]]]]:
    """Figures of each model, and their values in each bootstrap sample, (resamples,), the same draws for all models."""
    groups = [np.ones(len(targets), dtype=bool), ~is_cold, is_cold]
    count = int(users.max()) + 1
    sums, counts = [], []
    for ranked in rankings.values():
        hits = ranked == targets[:, None]
        ranks = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.iinfo(np.int32).max)
        for group in groups:
            in_group = np.bincount(users[group], minlength=count).astype(np.float64)
            for values in [*(ranks <= k for k in KS), *((ranks <= k) / np.log2(1 + ranks) for k in KS)]:
                sums.append(np.bincount(users[group], weights=values[group], minlength=count).astype(np.float64))
                counts.append(in_group)
    columns, numbers = np.stack(sums, axis=1), np.stack(counts, axis=1)
    totals = numbers.sum(axis=0)
    means = np.divide(columns.sum(axis=0), totals, out=np.full(len(totals), np.nan), where=totals > 0)
    drawn = cluster_bootstrap(columns, numbers)
    figures, draws = {}, {}
    for place, name in enumerate(rankings):
        start = place * len(FIGURES)
        figures[name] = {figure: float(means[start + n]) for n, figure in enumerate(FIGURES)}
        draws[name] = {figure: drawn[:, start + n] for n, figure in enumerate(FIGURES)}
    return figures, draws


def _behind(
    best: str,
    name: str,
    figures: Mapping[str, Mapping[str, float]],
    draws: Mapping[str, Mapping[str, NDArray[np.float64]]],
    *,
    users: int,
) -> dict[str, Difference]:
    found = {}
    for figure in (BEST_BY, "ndcg@10"):
        low, high = _interval(draws[best][figure] - draws[name][figure])
        found[figure] = Difference(figures[best][figure] - figures[name][figure], low, high, users)
    return found


def _interval(drawn: NDArray[np.float64]) -> tuple[float, float]:
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _rounded(value: float) -> float | None:
    return None if value != value else round(value, 5)  # NaN: not measured
