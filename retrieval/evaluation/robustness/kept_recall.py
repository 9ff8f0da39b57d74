"""Share of the recall that remains after a change, with intervals clustered by product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.heads.cluster_bootstrap import draw_clusters
from firstsight.heads.intervals import lower_bound, upper_bound

CONFIDENCE = 0.95
"""Confidence level of the intervals."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Kept:
    """Recall with and without a change."""

    clean: float  # recall without the change, 0 to 1
    changed: float  # recall with it
    share: float  # changed / clean; NaN if clean is 0
    low: float  # ends of the interval of `share`
    high: float


class ClusterBootstrap:
    """Draws clusters, with all rows of a cluster together.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13. A paired draw is used for
    both recalls of a share, so that their common part does not widen the interval.

    Args:
        clusters: (n,) cluster of each row, such as a product; n is 1 or more.
        draws: number of bootstrap draws.
        seed: random seed.
    """

    def __init__(self, clusters: NDArray[np.object_], draws: int, seed: int) -> None:
        names, self._codes = np.unique(clusters.astype(str), return_inverse=True)
        self.size = len(names)
        self._times = draw_clusters(self.size, draws, seed)

    def kept(self, clean: Values, changed: Values) -> Kept:
        """Compare the hits of queries with and without a change.

        Args:
            clean, changed: (n,) hits, 0 to 1: a mean over several changes lies between.
        """
        before, after = (np.bincount(self._codes, values, minlength=self.size) for values in (clean, changed))
        if not before.sum():
            return Kept(0.0, float(changed.mean()) if len(changed) else np.nan, np.nan, np.nan, np.nan)
        share = float(after.sum() / before.sum())
        drawn_before, drawn_after = self._times @ before, self._times @ after
        valid = drawn_before > 0
        tail = (1 - CONFIDENCE) / 2
        low, high = (float(end) for end in np.quantile(drawn_after[valid] / drawn_before[valid], [tail, 1 - tail]))
        found = int((before > 0).sum())
        if low == high == 1.0:  # no draw differs: the exact bound of as many hits
            low = float(lower_bound(found, found, 1 - tail))
        elif low == high == 0.0:
            high = float(upper_bound(0, found, 1 - tail))
        return Kept(float(clean.mean()), float(changed.mean()), share, low, high)
