"""Figures of a measurement of robustness: recall kept at each change and strength, overall and by slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from firstsight.records import Record, RecordList
from firstsight.retrieval.evaluation.robustness.kept_recall import ClusterBootstrap
from firstsight.retrieval.evaluation.robustness.robustness_settings import DEPTHS

RobustnessTask: TypeAlias = Literal["picture to product", "text to picture", "typos", "paraphrases"]
"""Query and changed side: a corrupted picture as the query; corrupted pictures searched by text; changed texts."""

TASKS: tuple[RobustnessTask, ...] = get_args(RobustnessTask)

ALL = "all"
"""Name of the mean over all changes of a task."""

MAX_SLICES = 12
"""Maximum number of slices of one column, the largest ones."""


@dataclass(frozen=True)
class RobustnessFigure(Record):
    """Recall at one depth, with and without one change."""

    task: RobustnessTask
    change: str  # corruption, "typos", rule of a paraphrase, or "all": the mean over all of them
    strength: int | None  # 1 to 5; None for the mean over the measured strengths
    k: int  # 1 or 10
    clean: float  # recall@k without the change, 0 to 1
    recall: float  # recall@k with it
    kept: float  # recall / clean; NaN if clean is 0
    low: float  # ends of the 95 % interval of `kept`; the bootstrap draws products
    high: float
    queries: int
    products: int
    column: str | None = None  # column of the slice; None for all queries
    value: str | None = None  # value of the slice


@dataclass(frozen=True)
class RobustnessReport(RecordList[RobustnessFigure]):
    """Figures of one encoder on one database or catalogue."""

    figures: tuple[RobustnessFigure, ...]
    encoder: str
    source: str  # name of the database or catalogue
    population: int  # items with a picture
    sampled: int  # items whose picture was corrupted
    unreadable: tuple[str, ...]  # one message for each picture that could not be opened
    candidates: int  # products that corrupted pictures and changed texts are searched among
    pictures_encoded: int
    texts_encoded: int
    smallest_slice: int | None  # products of the smallest measured slice; None without slices
    notes: tuple[str, ...] = ()
    examples: Mapping[str, Sequence[bytes]] = field(default_factory=dict, repr=False, compare=False)
    # corruption -> JPEG files of one picture, without a change and at each strength

    def to_dict(self) -> dict[str, Any]:
        """Return the figures and the facts as plain values, without the example pictures."""
        plain = super().to_dict()
        del plain["examples"]
        return plain

    def select(self, task: RobustnessTask, change: str, k: int, *, column: str | None = None) -> list[RobustnessFigure]:
        """Return the figures of one change: of all queries, or of the slices of a column."""
        return [one for one in self.figures if (one.task, one.change, one.k, one.column) == (task, change, k, column)]


@dataclass(frozen=True)
class Outcome:
    """Ranks of the first relevant product, with and without one change."""

    change: str
    strength: int
    rows: NDArray[np.int64]  # (n,) places of the queries
    clean: NDArray[np.float64]  # (n,) ranks, 1 for the first place
    changed: NDArray[np.float64]  # (n,)


@dataclass(frozen=True)
class QueryTable:
    """Facts about the queries of a task."""

    products: NDArray[np.object_]  # (n,) clusters of the bootstrap
    slices: Mapping[str, Sequence[str | None]]  # column -> (n,) values


def make_figures(
    task: RobustnessTask,
    queries: QueryTable,
    outcomes: Sequence[Outcome],
    *,
    smallest_slice: int,
    draws: int,
    seed: int,
) -> Iterator[RobustnessFigure]:
    """Compute the figures of a task.

    Args:
        task: its name.
        queries: facts about its n queries.
        outcomes: one for each change and strength.
        smallest_slice: minimum number of products in a slice.
        draws, seed: of the bootstrap.

    Yields:
        For each change: a figure for each strength, and their mean if there are several; then the mean over all
        changes; each at every depth. Slices have means only.
    """
    changes = list(dict.fromkeys(outcome.change for outcome in outcomes))
    groups: list[tuple[str, int | None, list[Outcome]]] = []
    for change in changes:
        of_change = [outcome for outcome in outcomes if outcome.change == change]
        groups += [(change, outcome.strength, [outcome]) for outcome in of_change]
        groups += [(change, None, of_change)] if len(of_change) > 1 else []
    groups += [(ALL, None, list(outcomes))] if len(changes) > 1 else []
    for change, strength, group in groups:
        yield from _figures(task, change, strength, group, queries, None, draws, seed)
    means = [group for group in groups if group[1] is None or not any(g[:2] == (group[0], None) for g in groups)]
    for column, values in queries.slices.items():
        for value in _large_values(values, queries.products, smallest_slice):
            members = np.array([other == value for other in values])
            for change, _, group in means:
                figures = _figures(task, change, None, group, queries, (column, value, members), draws, seed)
                # a rule that changes few titles may leave fewer products
                yield from (figure for figure in figures if figure.products >= smallest_slice)


def _figures(
    task: RobustnessTask,
    change: str,
    strength: int | None,
    outcomes: Sequence[Outcome],
    queries: QueryTable,
    of_slice: tuple[str, str, NDArray[np.bool_]] | None,
    draws: int,
    seed: int,
) -> Iterator[RobustnessFigure]:
    count = len(queries.products)
    measured = np.zeros(count)
    for outcome in outcomes:
        measured[outcome.rows] += 1
    chosen = measured > 0 if of_slice is None else (measured > 0) & of_slice[2]
    if not chosen.any():
        return
    bootstrap = ClusterBootstrap(queries.products[chosen], draws, seed)
    for k in DEPTHS:
        clean, changed = np.zeros(count), np.zeros(count)
        for outcome in outcomes:
            clean[outcome.rows] += outcome.clean <= k
            changed[outcome.rows] += outcome.changed <= k
        kept = bootstrap.kept(clean[chosen] / measured[chosen], changed[chosen] / measured[chosen])
        yield RobustnessFigure(
            *(task, change, strength, k),
            *(kept.clean, kept.changed, kept.share, kept.low, kept.high),
            *(int(chosen.sum()), bootstrap.size),
            *((None, None) if of_slice is None else of_slice[:2]),
        )


def _large_values(values: Sequence[str | None], products: NDArray[np.object_], smallest: int) -> list[str]:
    """Values with enough products, the largest first."""
    sizes: dict[str, set[str]] = {}
    for value, product in zip(values, products.tolist(), strict=True):
        if value is not None:
            sizes.setdefault(value, set()).add(product)
    large = sorted(((len(found), value) for value, found in sizes.items() if len(found) >= smallest), reverse=True)
    return [value for _, value in large[:MAX_SLICES]]
