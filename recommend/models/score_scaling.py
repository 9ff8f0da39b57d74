"""Scaling of scores: the share of a user's own events, and one scale for all kinds of items."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

HALF_PERSONAL_EVENTS = 5
"""Number of events at which a user's own signals weigh as much as popularity."""


def personal_share(events: int) -> float:
    """Weight of a user's own signals against popularity: k / (k + 5) for k events, 0 to 1."""
    return events / (events + HALF_PERSONAL_EVENTS)


class KindScale:
    """Standardises scores within each kind of item, so that products, videos and live streams are comparable."""

    def __init__(self, kinds: NDArray[np.object_]) -> None:
        self.names, codes = np.unique(kinds, return_inverse=True)
        self.codes: NDArray[np.int64] = codes.astype(np.int64)
        self._code_of = {str(name): code for code, name in enumerate(self.names)}
        self._rows = [np.flatnonzero(self.codes == code) for code in range(len(self.names))]
        self._whole = len(self._rows) == 1

    def codes_of(self, kinds: Iterable[str]) -> NDArray[np.int64]:
        """The codes of kinds; kinds without items are left out."""
        return np.array([self._code_of[kind] for kind in kinds if kind in self._code_of], dtype=np.int64)

    def standardise(
        self, values: NDArray[np.floating] | NDArray[np.integer], of: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Standardise scores within each kind: subtract its mean and divide by its standard deviation.

        Args:
            values: (n,) scores.
            of: (n,) mask of the items that have such a score; the others get 0.

        Returns:
            (n,) float32; 0 for a kind whose scores are all equal.
        """
        out = np.zeros(len(values), dtype=np.float32)
        for rows in self._rows:
            part = slice(None) if self._whole and of is None else rows if of is None else rows[of[rows]]
            scores = np.asarray(values[part], dtype=np.float32)
            if not len(scores):
                continue
            spread = float(scores.std())
            if spread > 1e-9:
                out[part] = (scores - scores.mean(dtype=np.float64)) / spread
        return out
