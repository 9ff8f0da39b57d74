"""The score of a blend, and the settings that it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import Places
from firstsight.recommend.models.cold_factors import FactorMapping

LAST_EVENTS = 200
"""Of a history, that candidates are compared with."""


@dataclass(frozen=True)
class BlendSettings:
    """What a blend is made of; `choose_settings` finds it from held-out cold items."""

    alpha: float = 10.0  # confidence of an event of weight 1
    mapping: FactorMapping = "ridge"  # from content to factors
    ridge: float = 1.0  # penalty of the linear map
    weight: float = 0.5  # of the collaborative score, 0 to 1; the content's is the rest


def blend_scores(
    collaborative: NDArray[np.float32], content: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """(users, candidates) weight · z(collaborative) + (1 - weight) · z(content)."""
    both = weight * standardise_rows(collaborative) + (1 - weight) * standardise_rows(content)
    return np.asarray(both, dtype=np.float32)


def max_cosines(content: Vectors, histories: Sequence[History], candidates: Places) -> NDArray[np.float32]:
    """(users, candidates) the greatest cosine to an item among a user's last events; 0 for an empty history."""
    every = np.array_equal(candidates, np.arange(len(content)))  # 256 MB that need no copy at 100,000 items
    columns = (content if every else content[candidates]).T
    greatest = np.zeros((len(histories), len(candidates)), dtype=np.float32)
    for row, history in enumerate(histories):
        seen = np.unique(history.last(LAST_EVENTS).items)
        if len(seen):
            (content[seen] @ columns).max(axis=0, out=greatest[row])
    return greatest


def standardise_rows(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row to mean 0 and deviation 1; zeros where all of it is equal."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    made: NDArray[np.float32] = np.zeros_like(centred)
    np.divide(centred, spread, out=made, where=spread > 1e-9)
    return made
