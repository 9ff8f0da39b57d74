"""Retrieval on held-out items, for early stopping."""

from __future__ import annotations

import numpy as np

from firstsight.encoders.base import Vectors
from firstsight.recommend.sequence.process_group import ProcessGroup
from firstsight.tuning.networks.network_inputs import PictureInputs, Towers
from firstsight.tuning.networks.phrase_batches import PhraseBook

_MAX_TEXTS, _MAX_PICTURES = 1_000, 4_000


class HeldOutRetrieval:
    """Phrases of held-out items search the items' pictures.

    Args:
        book: held-out items.
        seed: selects phrases and pictures if there are more than a check needs.
    """

    def __init__(self, book: PhraseBook, seed: int) -> None:
        rng = np.random.default_rng([seed, 2])
        pictures, texts = list(book.pictures), book.phrases()
        self._pictures = [pictures[i] for i in np.sort(rng.permutation(len(pictures))[:_MAX_PICTURES])]
        texts = [texts[i] for i in np.sort(rng.permutation(len(texts))[:_MAX_TEXTS])]
        same = book.same(self._pictures, texts)
        searchable = np.asarray(same.any(axis=0))
        self._texts = [text for text, kept in zip(texts, searchable, strict=True) if kept]
        self._same = same[:, searchable]

    def __bool__(self) -> bool:
        """Whether a check can tell good from bad: there are wrong pictures for some phrase."""
        return bool(self._same.size) and not bool(self._same.all())

    def score(self, towers: Towers, inputs: PictureInputs, group: ProcessGroup) -> float:
        """Return the mean over phrases of 1 / rank of the first right picture, 0 to 1; all processes call it."""
        pictures = towers.encode_pictures(inputs, self._pictures, group)
        return self._mean_reciprocal_rank(pictures, towers.encode_texts(self._texts, group))

    def _mean_reciprocal_rank(self, pictures: Vectors, texts: Vectors) -> float:
        scores = texts @ pictures.T
        best = np.where(self._same.T, scores, -np.inf).max(axis=1, keepdims=True)
        # among equal scores the right picture is last: equal vectors for all pictures find nothing
        ranks = 1 + ((scores >= best) & ~self._same.T).sum(axis=1)
        return float((1 / ranks).mean())
