"""Relevance: what a cosine means in this database, from 0 to 1.

Cosines are of no use as they are: .3 is a close match under one encoder and chance under another. So a cosine is
compared with those of pairs that have nothing to do with each other: views and items of this database, drawn at
random, never of one item. Their bulk is taken as a normal distribution, with its middle at the median and its width
from the lower half, which pairs that do belong together do not reach (an empirical null: Efron, "Large-Scale
Simultaneous Hypothesis Testing: The Choice of a Null Hypothesis", JASA 2004). With P the share of random pairs that
this distribution has above a cosine,

    rarity    = -log10(P)
    relevance = rarity / (rarity + 3)

so that .5 is a cosine which one random item in a thousand reaches, .25 one in ten, .67 one in a million.

Queries of words, of pictures, and of items or several media have a distribution each, made from titles, from
pictures and frames, and from items' vectors; and so has each part that can be compared. The draw depends on nothing
but the rows, so that the same rows give the same relevance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.retrieval.query import PartChoice
from firstsight.storage.indexes.vector_index import vectors_of_column
from firstsight.storage.store import Store

Medium = Literal["words", "pictures", "mixed"]
"""What a query is made of."""

SAMPLED_ITEMS = 1_000
SAMPLED_QUERIES = 500

MIN_PAIRS = 100
"""Pairs below which there is nothing to fit: a cosine is then its own relevance, negative ones 0."""

MIN_WIDTH = 1e-3
"""Least width of a background: that of a catalogue of equal items would be 0."""

HALF_RELEVANCE_RARITY = 3.0
"""Relevance .5 is one random item in 10 ** HALF_RELEVANCE_RARITY."""


@dataclass(frozen=True)
class RandomPairCosines:
    """The cosines of random pairs: a normal distribution, or None for both where there are too few pairs."""

    middle: float | None
    width: float | None

    def relevance(self, cosine: float) -> float:
        """0 to 1, growing with the cosine."""
        if self.middle is None or self.width is None:
            return max(0.0, min(cosine, 1.0))
        rarity = -_log10_tail((cosine - self.middle) / self.width)
        return rarity / (rarity + HALF_RELEVANCE_RARITY)

    def cosine(self, relevance: float) -> float:
        """The least cosine of this relevance, to a millionth: the other way round; 2 where no cosine has it."""
        if self.relevance(1.0) < relevance:
            return 2.0
        low, high = -1.0, 1.0
        while high - low > 1e-6:
            half = (low + high) / 2
            low, high = (low, half) if self.relevance(half) >= relevance else (half, high)
        return low

    @property
    def floor(self) -> float:
        """The cosine of a random item."""
        return self.middle if self.middle is not None else 0.0


@dataclass
class RelevanceCalibration:
    """The backgrounds of one state of a database, each fitted when it is first asked for."""

    owners: list[str]  # of the items drawn
    items: Vectors  # (n, dim) their fused vectors
    views: pa.Table  # their views: item_id, part, vector
    _fitted: dict[tuple[Medium, PartChoice], RandomPairCosines] = field(default_factory=dict)

    @classmethod
    def sample(cls, store: Store) -> RelevanceCalibration:
        """Draw items and read their views: some thousand rows, whatever the size of the database."""
        rows = store.items.count_rows()
        draw = np.random.default_rng(0).choice(rows, size=min(rows, SAMPLED_ITEMS), replace=False)
        drawn = store.items.take_offsets(sorted(int(n) for n in draw)).select(["item_id", "vector"]).to_arrow()
        drawn = drawn.filter(pc.is_valid(drawn["vector"]))
        owners = [str(item_id) for item_id in drawn["item_id"].to_pylist()]
        views = store.view_rows(owners).select(["view_id", "item_id", "part", "vector"]).sort_by("view_id")
        return cls(owners, vectors_of_column(drawn["vector"].combine_chunks()), views)

    def background(self, medium: Medium, part: PartChoice) -> RandomPairCosines:
        """What random items score for queries of this medium, compared by this part."""
        if (medium, part) not in self._fitted:
            self._fitted[medium, part] = self._fit(medium, part)
        return self._fitted[medium, part]

    def _fit(self, medium: Medium, part: PartChoice) -> RandomPairCosines:
        askers, queries = self._queries(medium)
        if not askers:  # a catalogue without titles, or without pictures, that is searched by them
            askers, queries = self._queries("mixed")
        owners, scores = self._scores(queries, part)
        # an item's own views are no random pair with it
        pairs = scores[np.array(askers, dtype=object)[:, None] != owners[None, :]]
        if len(pairs) < MIN_PAIRS:
            return RandomPairCosines(None, None)
        low, middle = np.quantile(pairs, [_ONE_SIGMA_DOWN, 0.5])
        return RandomPairCosines(float(middle), max(float(middle - low), MIN_WIDTH))

    def _queries(self, medium: Medium) -> tuple[list[str], Vectors]:
        """Vectors like those of queries, with the items they are of."""
        if medium == "mixed":
            owners, vectors = self.owners, self.items
        else:
            wanted = self.views.filter(pc.is_in(self.views["part"], pa.array(_PARTS[medium])))
            owners, vectors = _column(wanted, "item_id"), vectors_of_column(wanted["vector"].combine_chunks())
        draw = np.random.default_rng(1).permutation(len(owners))[:SAMPLED_QUERIES]
        return [owners[n] for n in draw], vectors[draw]

    def _scores(self, queries: Vectors, part: PartChoice) -> tuple[NDArray[np.object_], Vectors]:
        """Items, and their cosine to each query, (queries, items): by their vector or their best view."""
        if part == "item":
            return np.array(self.owners, dtype=object), queries @ self.items.T
        views = self.views if part == "any" else self.views.filter(pc.field("part") == part)
        views = views.sort_by("item_id")
        if not views.num_rows:
            return np.empty(0, dtype=object), np.empty((len(queries), 0), dtype=np.float32)
        owners, starts = np.unique(np.array(_column(views, "item_id"), dtype=object), return_index=True)
        cosines = queries @ vectors_of_column(views["vector"].combine_chunks()).T
        return owners, np.maximum.reduceat(cosines, starts, axis=1)


_PARTS: dict[Medium, list[str]] = {"words": ["title"], "pictures": ["image", "frame"]}

_ONE_SIGMA_DOWN = 0.158655
"""The share of a normal distribution below its middle less one width."""


def _column(table: pa.Table, name: str) -> list[str]:
    return [str(value) for value in table[name].to_pylist()]


def _log10_tail(z: float) -> float:
    """log10 of the share of a standard normal distribution above z."""
    if z < 30:
        return math.log10(0.5 * math.erfc(z / math.sqrt(2)))
    # beyond, erfc runs out of digits; the tail's leading term (Abramowitz and Stegun 26.2.12) is right to .1 %
    return -(z * z / 2) / math.log(10) - math.log10(z * math.sqrt(2 * math.pi))
