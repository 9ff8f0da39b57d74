"""What everybody has chosen, and how it gives way to what one user has."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

HALF_PERSONAL_EVENTS = 5
"""Events with which a user's own signals count as much as everybody's."""


def personal_share(events: int) -> float:
    """What a user's own signals count beside popularity: k / (k + 5) for k events, 0 to 1."""
    return events / (events + HALF_PERSONAL_EVENTS)


class KindScale:
    """Scores brought to one scale within each kind, so that products, videos and live streams compare."""

    def __init__(self, kinds: NDArray[np.object_]) -> None:
        self.names, codes = np.unique(kinds, return_inverse=True)
        self.codes: NDArray[np.int64] = codes.astype(np.int64)
        self._code_of = {str(name): code for code, name in enumerate(self.names)}
        self._rows = [np.flatnonzero(self.codes == code) for code in range(len(self.names))]
        self._whole = len(self._rows) == 1

    def codes_of(self, kinds: Iterable[str]) -> NDArray[np.int64]:
        """The codes of those of these kinds that there are items of."""
        return np.array([self._code_of[kind] for kind in kinds if kind in self._code_of], dtype=np.int64)

    def standardise(
        self, values: NDArray[np.floating] | NDArray[np.integer], of: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """(n,) scores less their kind's mean, by its standard deviation; 0 where all of a kind are equal.

        Args:
            of: (n,) the items that have such a score; the others get 0.
        """
        out = np.zeros(len(values), dtype=np.float32)
        for rows in self._rows:
            part = slice(None) if self._whole and of is None else rows if of is None else rows[of[rows]]
            some = np.asarray(values[part], dtype=np.float32)
            if not len(some):
                continue
            spread = float(some.std())
            if spread > 1e-9:
                out[part] = (some - some.mean(dtype=np.float64)) / spread
        return out
