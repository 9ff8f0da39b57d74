"""Scores of a blend, and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import Places
from firstsight.recommend.models.cold_factors import FactorMapping
from firstsight.records import Record

LAST_EVENTS = 200
"""Number of newest events of a history that candidates are compared with."""


@dataclass(frozen=True)
class BlendSettings(Record):
    """Settings of a blend; `choose_settings` finds the best on held-out cold items."""

    alpha: float = 10.0  # confidence of an event of weight 1
    mapping: FactorMapping = "ridge"  # how factors are mapped from content
    ridge: float = 1.0  # penalty of the linear mapping
    weight: float = 0.5  # of the collaborative score, 0 to 1; content has the rest


def blend_scores(
    collaborative: NDArray[np.float32], content: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """Blend two scores of shape (users, candidates): weight · z(collaborative) + (1 - weight) · z(content)."""
    both = weight * standardise_rows(collaborative) + (1 - weight) * standardise_rows(content)
    return np.asarray(both, dtype=np.float32)


def max_cosines(content: Vectors, histories: Sequence[History], candidates: Places) -> NDArray[np.float32]:
    """(users, candidates) highest cosines to an item among a user's last events; 0 for an empty history."""
    every = np.array_equal(candidates, np.arange(len(content)))  # saves a copy: 256 MB at 100,000 items
    columns = (content if every else content[candidates]).T
    greatest = np.zeros((len(histories), len(candidates)), dtype=np.float32)
    for row, history in enumerate(histories):
        seen = np.unique(history.last(LAST_EVENTS).items)
        if len(seen):
            (content[seen] @ columns).max(axis=0, out=greatest[row])
    return greatest


def standardise_rows(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row to mean 0 and standard deviation 1; a row of equal scores becomes zeros."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    standardised: NDArray[np.float32] = np.zeros_like(centred)
    np.divide(centred, spread, out=standardised, where=spread > 1e-9)
    return standardised
