"""The largest item-to-item weights of EASE, small enough to be stored and quick to add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places
from firstsight.recommend.models.baselines import EASE

LARGEST = 200
"""Number of weights that are kept of each item, the largest without their sign."""


@dataclass(frozen=True)
class ItemWeights:
    """Sparse item-to-item weights.

    Attributes:
        matrix: (n, n) CSR float32; row i has the weights of an event on item i for the scores of other items.
    """

    matrix: sparse.csr_array

    @classmethod
    def fit(cls, train: Interactions) -> ItemWeights:
        """Fit EASE and keep its largest weights; see `baselines.EASE`."""
        n = len(train.space)
        if not len(train):
            return cls(sparse.csr_array((n, n), dtype=np.float32))
        model = EASE()
        model.fit(train)
        weights, rows = model.item_weights()
        return cls(_largest(weights, rows, n))

    def score(self, history: History) -> NDArray[np.float32]:
        """(n,) sums of the weights from the distinct items of a history; 0 for items without weights."""
        places = np.unique(history.items)
        out = np.zeros(self.matrix.shape[0], dtype=np.float32)
        indptr = self.matrix.indptr
        spans = [slice(indptr[place], indptr[place + 1]) for place in places]
        if spans:
            columns = np.concatenate([self.matrix.indices[span] for span in spans])
            values = np.concatenate([self.matrix.data[span] for span in spans])
            out += np.bincount(columns, weights=values, minlength=len(out))
        return out


def _largest(weights: NDArray[np.float32], rows: Places, n: int) -> sparse.csr_array:
    if len(rows) > LARGEST:
        kept = np.argpartition(-np.abs(weights), LARGEST - 1, axis=1)[:, :LARGEST]
        values = np.take_along_axis(weights, kept, axis=1)
    else:
        kept, values = np.tile(np.arange(len(rows)), (len(rows), 1)), weights
    shape = (n, n)
    coordinates = (np.repeat(rows, kept.shape[1]), rows[kept].ravel())
    return sparse.csr_array(sparse.coo_array((values.ravel(), coordinates), shape=shape).tocsr())
