"""Held-out figures with intervals: the encoder before and after the tuning, over the same queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.evaluation.measures import cluster_bootstrap
from firstsight.records import Record
from firstsight.tuning.evaluation.retrieval_measures import QueryResult


@dataclass(frozen=True)
class TuneFigure(Record):
    """One measure before and after the tuning.

    Attributes:
        measure: its name.
        about: one sentence.
        before, after: means over the queries, 0 to 1.
        gain: `after` minus `before`.
        low, high: ends of the 95 % interval of the gain, by the paired bootstrap over clusters.
        queries: number of queries.
        clusters: number of clusters, which are drawn as a whole.
        cluster: what a cluster is: "product" or "category".
    """

    measure: str
    about: str
    before: float
    after: float
    gain: float
    low: float
    high: float
    queries: int
    clusters: int
    cluster: str

    @property
    def is_gain(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.low > 0

    @property
    def is_loss(self) -> bool:
        """Whether the whole interval is below zero."""
        return self.high < 0


@dataclass(frozen=True)
class CurvePoint(Record):
    """Figures at one share of the tuned weights.

    Attributes:
        share: 0 to 1.
        figures: mean of each measure on held-out products.
        general: R@1 on the pictures of the forgetting check; None without any.
    """

    share: float
    figures: Mapping[str, float]
    general: float | None


def compare(
    measure: str,
    about: str,
    cluster: str,
    before: Sequence[QueryResult],
    after: Sequence[QueryResult],
    *,
    resamples: int = 2_000,
    seed: int = 0,
) -> TuneFigure:
    """Compare two encoders over the same queries.

    Args:
        before, after: results of the same queries in the same order.
        resamples: bootstrap samples.
        seed: of the samples.
    """
    values = np.array([[old.value, new.value] for old, new in zip(before, after, strict=True)])
    gains = values[:, 1] - values[:, 0]
    names = [result.cluster for result in before]
    clusters, places = np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)
    sums = np.bincount(places, weights=gains, minlength=len(clusters)).astype(np.float64)[:, None]
    counts = np.bincount(places, minlength=len(clusters)).astype(np.float64)[:, None]
    draws = cluster_bootstrap(sums, counts, resamples=resamples, seed=seed)[:, 0]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    means = values.mean(axis=0)
    return TuneFigure(
        measure,
        about,
        float(means[0]),
        float(means[1]),
        float(gains.mean()),
        float(low),
        float(high),
        len(values),
        len(clusters),
        cluster,
    )


def mean_values(results: Mapping[str, Sequence[QueryResult]]) -> dict[str, float]:
    """Mean of each measure over its queries."""
    return {name: float(np.mean([result.value for result in found])) for name, found in results.items()}


def first_rank_share(scores: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """R@1: the share of the rows of (n, m) scores whose best column is right; (n, m) flags."""
    return float(right[np.arange(len(scores)), scores.argmax(axis=1)].mean())
