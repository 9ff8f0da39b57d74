"""Vectors of the words in titles and texts: a second kind of content beside the encoder's vectors.

Latent semantic analysis of TF-IDF (Deerwester et al., "Indexing by latent semantic analysis", JASIS 1990). An encoder
may ignore a brand or a part number; here it is a word like any other. Fitted on a catalogue, without any events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from firstsight.encoders.base import Vectors
from firstsight.recommend.items import ItemSpace
from firstsight.storage.columns import FIXED_KINDS
from firstsight.storage.store import Store

DIMENSIONS = 256
MAX_WORDS = 20_000
MAX_CHARACTERS = 2_000
"""Characters of title, attributes and text that are read: the beginning says what an item is."""

_ROWS = 20_000
_MAX_DOCUMENT_SHARE = 0.5  # a word in every second item describes no item, in any language
_MIN_TEXTS = 8
_MAX_ATTRIBUTE = 200  # characters: longer values are texts of their own, such as instructions


@dataclass(frozen=True)
class WordSpace:
    """Words, their weights, and the directions that they are projected on.

    Attributes:
        words: (v,) lower case, sorted.
        idf: (v,) float64.
        components: (d, v) float32; d is 0 if there is too little text to learn from.
    """

    words: tuple[str, ...]
    idf: NDArray[np.float64]
    components: NDArray[np.float32]

    @classmethod
    def fit(cls, texts: Sequence[str], *, dimensions: int = DIMENSIONS, seed: int = 0) -> WordSpace:
        """Learn from the texts of a catalogue, one text per item.

        Words of one item only, and words of more than half of the items, are left out.

        Args:
            texts: may be empty.
            dimensions: maximum number of components.
            seed: of the decomposition.
        """
        empty = cls((), np.empty(0), np.empty((0, 0), dtype=np.float32))
        if sum(map(bool, texts)) < _MIN_TEXTS:
            return empty
        vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, max_df=_MAX_DOCUMENT_SHARE, max_features=MAX_WORDS)
        try:
            weighted = vectorizer.fit_transform(texts)
        except ValueError:  # no word occurs in two texts and at most half of them
            return empty
        kept = min(dimensions, weighted.shape[1] - 1, weighted.shape[0] - 1)
        if kept < 1:
            return empty
        decomposition = TruncatedSVD(kept, random_state=seed).fit(weighted)
        names = tuple(vectorizer.get_feature_names_out().tolist())
        return cls(names, np.asarray(vectorizer.idf_), decomposition.components_.astype(np.float32))

    def transform(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts: (n, d) float32 unit rows; zeros for a text without known words."""
        vectors = np.zeros((len(texts), len(self.components)), dtype=np.float32)
        if not len(self.components):
            return vectors
        vectorizer = TfidfVectorizer(sublinear_tf=True, vocabulary=list(self.words))
        vectorizer.idf_ = self.idf
        for start in range(0, len(texts), _ROWS):
            vectors[start : start + _ROWS] = vectorizer.transform(texts[start : start + _ROWS]) @ self.components.T
        return _unit(vectors)


def read_texts(store: Store, space: ItemSpace) -> list[str]:
    """Read title, attributes and text of each item of a space, in its order; "" for an item without any.

    Attributes are the values of the catalogue's own text columns, such as brand and category; addresses are left out.
    """
    attributes = [name for name, kind in store.column_kinds().items() if kind == "text" and name not in FIXED_KINDS]
    texts = [""] * len(space)
    names = ["item_id", "title", "text", *attributes]
    for batch in store.items.search().select(names).limit(None).to_batches(_ROWS):
        places = space.places(map(str, batch["item_id"].to_pylist()))
        for place, row in zip(places, batch.to_pylist(), strict=True):
            if place >= 0:
                values = [row["title"] or "", *(_attribute(row[name]) for name in attributes), row["text"] or ""]
                texts[place] = " ".join(filter(None, values)).strip()[:MAX_CHARACTERS]
    return texts


def _attribute(value: str | None) -> str:
    return value[:_MAX_ATTRIBUTE] if value and "://" not in value else ""


def content_vectors(space: ItemSpace, words: Vectors | None) -> Vectors:
    """Join the encoder's vectors and those of words: (n, dim + d) float32 unit rows.

    Both weigh the same. If an item lacks one of them, only the other counts; without both, its row is zeros.

    Args:
        space: the items.
        words: (n, d) unit rows or zeros, in the order of the space; None for the encoder's vectors alone.
    """
    if words is None or not words.shape[1]:
        return space.vectors
    return _unit(np.hstack([space.vectors, words]))


def load_content_vectors(store: Store, space: ItemSpace) -> Vectors:
    """Load the content vectors of a database; words are learned from its own texts."""
    texts = read_texts(store, space)
    return content_vectors(space, WordSpace.fit(texts).transform(texts))


def _unit(rows: Vectors) -> Vectors:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.zeros_like(rows)
    np.divide(rows, norms, out=unit, where=norms > 1e-8)
    return unit
