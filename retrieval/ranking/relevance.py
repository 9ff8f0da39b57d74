"""Relevance: convert a cosine to a scale from 0 to 1 that is comparable between encoders.

A raw cosine says little: 0.3 is a close match under one encoder and chance under another. So each cosine is compared
with the cosines of random pairs: views and items of this database, never of the same item. A normal distribution
describes these pairs. Its middle is their median. Its width comes from the lower half, which related pairs do not
reach (an empirical null: Efron, "Large-Scale Simultaneous Hypothesis Testing: The Choice of a Null Hypothesis", JASA
2004). If P is the share of this distribution above a cosine,

    rarity    = -log10(P)
    relevance = rarity / (rarity + 3)

One random item in ten reaches relevance 0.25, one in a thousand 0.5, one in a million 0.67. If a query consists of
pictures, a copy has relevance 1: a cosine of COPY_COSINE or more differs from 1 by no more than the encoder's rounding.

Each query medium has a distribution of its own: made from titles for text queries, from pictures and frames for picture
queries, and from fused vectors for items, vectors and mixed queries. So has each part that can be compared. The sample
depends only on the rows, so the same rows give the same relevance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.media.fingerprints import FINGERPRINT_BYTES, distances
from firstsight.retrieval.query import Medium, PartChoice
from firstsight.storage.indexes.vector_index import vectors_of_column
from firstsight.storage.store import Store
from firstsight.storage.tables import PICTURE_PARTS

SAMPLED_ITEMS = 1_000
SAMPLED_QUERIES = 500
SAMPLED_CLIPS = 60

CLIP_FRAMES = 8
"""Frames of each sampled clip."""

COPY_DISTANCE = 90
"""Maximum number of different bits in the fingerprints of two copies of a picture, if their cosine is alike too.
Unrelated pictures differ in 128 bits, with a standard deviation of 8."""

ALIKE_COSINE = 0.9
"""Minimum cosine of two copies of a picture. Copies that are smaller or encoded again have .95 or more."""

ITEM_SHARE = 0.4
"""Share of the fused vector in the value of an item with frames; the best frame has the rest. In the video benchmark,
.1 to .6 find about the same."""

MIN_PAIRS = 100
"""Minimum number of pairs for a fit. Below it, and for texts in a database without titles, the relevance is the cosine,
or 0 if the cosine is negative."""

MIN_WIDTH = 1e-3
"""Minimum width of the distribution. A catalogue of equal items would have width 0."""

COPY_COSINE = 0.9999
"""Minimum cosine of two pictures that count as copies. Two runtimes give one picture slightly different vectors: those
in bfloat16 have a cosine of .99994 or more to those in float32 (docs/benchmarks.md)."""

HALF_RELEVANCE_RARITY = 3.0
"""Rarity at relevance 0.5: one random item in 10 ** HALF_RELEVANCE_RARITY reaches it."""


@dataclass(frozen=True)
class RandomPairCosines:
    """Normal distribution of the cosines of random pairs; without parameters if there were too few pairs."""

    middle: float | None  # median cosine
    width: float | None  # standard deviation
    copies: bool = False  # the query consists of pictures: a cosine of COPY_COSINE or more means a copy

    def relevance(self, cosine: float) -> float:
        """Relevance of a cosine, 0 to 1; it grows with the cosine, and is 1 for copies."""
        if self.copies and cosine >= COPY_COSINE:
            return 1.0
        if self.middle is None or self.width is None:
            return max(0.0, min(cosine, 1.0))
        return self.relevance_of_deviation((cosine - self.middle) / self.width)

    def cosine(self, relevance: float) -> float:
        """Lowest cosine with this relevance, to a millionth: the inverse of `relevance`; 2 if no cosine reaches it."""
        if self.relevance(1.0) < relevance:
            return 2.0
        low, high = -1.0, 1.0
        while high - low > 1e-6:
            middle = (low + high) / 2
            low, high = (low, middle) if self.relevance(middle) >= relevance else (middle, high)
        return low

    def deviation(self, cosine: float) -> float:
        """Standard deviations of a cosine from a random item's; of an unknown distribution, a common one's."""
        if self.middle is None or self.width is None:
            return cosine / _USUAL_WIDTH
        return (cosine - self.middle) / self.width

    @staticmethod
    def relevance_of_deviation(deviation: float) -> float:
        """Relevance of a value that is some standard deviations above a random item's, 0 to 1."""
        rarity = -_log10_tail(deviation)
        return rarity / (rarity + HALF_RELEVANCE_RARITY)

    @property
    def floor(self) -> float:
        """Median cosine of a random item; 0 if unknown."""
        return self.middle if self.middle is not None else 0.0


@dataclass
class RelevanceCalibration:
    """Random-pair distributions of one state of a database; each is fitted at its first use."""

    owners: list[str]  # ids of the sampled items
    items: Vectors  # (n, dim) their fused vectors
    views: pa.Table  # their views: item_id, part, fingerprint, vector
    _fitted: dict[tuple[Medium, PartChoice], RandomPairCosines] = field(default_factory=dict)
    _copies: set[tuple[str, str]] | None = None  # pairs of items with near copies of a picture

    @classmethod
    def sample(cls, store: Store) -> RelevanceCalibration:
        """Sample up to 1,000 items and read their views: a few thousand rows for any database size."""
        rows = store.items.count_rows()
        draw = np.random.default_rng(0).choice(rows, size=min(rows, SAMPLED_ITEMS), replace=False)
        drawn = store.items.take_offsets(sorted(int(n) for n in draw)).select(["item_id", "vector"]).to_arrow()
        drawn = drawn.filter(pc.is_valid(drawn["vector"]))
        owners = [str(item_id) for item_id in drawn["item_id"].to_pylist()]
        views = (
            store.view_rows(owners).select(["view_id", "item_id", "part", "fingerprint", "vector"]).sort_by("view_id")
        )
        return cls(owners, vectors_of_column(drawn["vector"].combine_chunks()), views)

    def background(self, medium: Medium, part: PartChoice) -> RandomPairCosines:
        """Cosines of random items to queries of this medium, compared by this part."""
        if (medium, part) not in self._fitted:
            self._fitted[medium, part] = self._fit(medium, part)
        return self._fitted[medium, part]

    def _fit(self, medium: Medium, part: PartChoice) -> RandomPairCosines:
        copies = medium == "pictures"
        if part == "clip":
            return self._fit_pairs(*self._clip_scores(), copies=copies)
        query_owners, queries = self._queries(medium)
        if not query_owners and medium == "words":
            return RandomPairCosines(None, None)  # cosines of two pictures are higher than those of text and picture
        if not query_owners:  # the catalogue has no views of this medium
            query_owners, queries = self._queries("mixed")
        if part == "moment":
            owners, scores = self._moment_scores(queries, medium)
        else:
            owners, scores = self._scores(queries, part)
        return self._fit_pairs(query_owners, owners, scores, copies=copies)

    def _fit_pairs(
        self, query_owners: Sequence[str], owners: NDArray[np.object_], scores: Vectors, *, copies: bool
    ) -> RandomPairCosines:
        """Fit the scores (queries, items) of random pairs: not of an item and itself, nor of near copies."""
        random = np.array(query_owners, dtype=object)[:, None] != owners[None, :]
        place = {item_id: n for n, item_id in enumerate(owners.tolist())}
        near: dict[str, list[int]] = {}
        for a, b in self._near_copies():
            if b in place:
                near.setdefault(a, []).append(place[b])
        for row, owner in enumerate(query_owners):
            random[row, near.get(owner, [])] = False
        pairs = scores[random]
        if len(pairs) < MIN_PAIRS:
            return RandomPairCosines(None, None, copies)
        low, middle = np.quantile(pairs, [_ONE_SIGMA_DOWN, 0.5])
        return RandomPairCosines(float(middle), max(float(middle - low), MIN_WIDTH), copies)

    def _near_copies(self) -> set[tuple[str, str]]:
        """Pairs of sampled items, in both orders, of which a sampled picture of one is a near copy of one of the other.

        Copies are no random pairs. Where most videos are copies of a few, they would be the usual pair.
        """
        if self._copies is None:
            self._copies = set()
            views = self._picture_views().filter(pc.is_valid(pc.field("fingerprint")))
            owners, vectors = _column(views, "item_id"), vectors_of_column(views["vector"].combine_chunks())
            codes = b"".join(code or b"" for code in views["fingerprint"].to_pylist())
            prints = np.frombuffer(codes, np.uint8).reshape(-1, FINGERPRINT_BYTES)
            for n in np.random.default_rng(1).permutation(len(owners))[:SAMPLED_QUERIES]:
                alike = np.flatnonzero(vectors @ vectors[n] >= ALIKE_COSINE)
                for other in alike[distances(prints[n], prints[alike]) <= COPY_DISTANCE]:
                    self._copies |= {(owners[n], owners[other]), (owners[other], owners[n])}
        return self._copies

    def _picture_views(self) -> pa.Table:
        return self.views.filter(pc.is_in(self.views["part"], pa.array(_PARTS["pictures"])))

    def _queries(self, medium: Medium) -> tuple[list[str], Vectors]:
        """Stored vectors that serve as queries, with the ids of their items."""
        if medium == "mixed":
            owners, vectors = self.owners, self.items
        else:
            views = self.views.filter(pc.is_in(self.views["part"], pa.array(_PARTS[medium])))
            owners, vectors = _column(views, "item_id"), vectors_of_column(views["vector"].combine_chunks())
        draw = np.random.default_rng(1).permutation(len(owners))[:SAMPLED_QUERIES]
        return [owners[n] for n in draw], vectors[draw]

    def _scores(self, queries: Vectors, part: PartChoice) -> tuple[NDArray[np.object_], Vectors]:
        """Item ids, and the cosines (queries, items) of each item's fused vector, best view, or the better of both."""
        if part == "item":
            return np.array(self.owners, dtype=object), queries @ self.items.T
        if part == "best":
            return self._best_scores(queries)
        views = self.views if part == "any" else self.views.filter(pc.field("part") == part)
        return self._view_scores(queries, views)

    def _best_scores(self, queries: Vectors) -> tuple[NDArray[np.object_], Vectors]:
        owners, scores = self._scores(queries, "item")
        pictured, cosines = self._view_scores(queries, self.views.filter(pc.field("part").isin(PICTURE_PARTS)))
        place = {item_id: n for n, item_id in enumerate(owners)}
        places = [place[item_id] for item_id in pictured]
        scores[:, places] = np.maximum(scores[:, places], cosines)
        return owners, scores

    def _moment_scores(self, queries: Vectors, medium: Medium) -> tuple[NDArray[np.object_], Vectors]:
        """Ids of the items with frames, and the joined deviations (queries, items) of fused vector and best frame."""
        owners, frames = self._scores(queries, "frame")
        place = {item_id: n for n, item_id in enumerate(self.owners)}
        items = self.items[[place[item_id] for item_id in owners]].reshape(len(owners), -1)
        joined = np.zeros((len(queries), len(owners)), dtype=np.float32)
        for share, background, scores in (
            (ITEM_SHARE, self.background(medium, "item"), queries @ items.T if len(owners) else frames),
            (1 - ITEM_SHARE, self.background(medium, "frame"), frames),
        ):
            # as `RandomPairCosines.deviation`, which is linear
            zero = background.deviation(0.0)
            joined += share * (zero + scores * (background.deviation(1.0) - zero))
        return owners, joined

    def _clip_scores(self) -> tuple[list[str], NDArray[np.object_], Vectors]:
        """Sampled items as clips, the ids of items with pictures, and how well each item shows each clip."""
        views = self._picture_views()
        frames = _column(views, "item_id")
        vectors = vectors_of_column(views["vector"].combine_chunks())
        places: dict[str, list[int]] = {}
        for n, item_id in enumerate(frames):
            places.setdefault(item_id, []).append(n)
        ids = list(places)
        clips = [ids[n] for n in np.random.default_rng(1).permutation(len(ids))[:SAMPLED_CLIPS]]
        scores = [np.empty((0, len(ids)), dtype=np.float32)]
        owners = np.array(sorted(ids), dtype=object)
        for clip in clips:
            chosen = np.unique(np.linspace(0, len(places[clip]) - 1, CLIP_FRAMES).astype(int))
            owners, cosines = self._view_scores(vectors[[places[clip][n] for n in chosen]], views)
            scores.append(cosines.mean(axis=0, keepdims=True))
        return clips, owners, np.concatenate(scores)

    def _view_scores(self, queries: Vectors, views: pa.Table) -> tuple[NDArray[np.object_], Vectors]:
        """Ids of the items that own these views, and the cosines (queries, items) of each item's best view."""
        views = views.sort_by("item_id")
        if not views.num_rows:
            return np.empty(0, dtype=object), np.empty((len(queries), 0), dtype=np.float32)
        owners, starts = np.unique(np.array(_column(views, "item_id"), dtype=object), return_index=True)
        cosines = queries @ vectors_of_column(views["vector"].combine_chunks()).T
        return owners, np.maximum.reduceat(cosines, starts, axis=1)


_PARTS: dict[Medium, list[str]] = {"words": ["title"], "pictures": list(PICTURE_PARTS)}

_USUAL_WIDTH = 0.1
"""Standard deviation of the cosines of random pairs in many catalogues."""

_ONE_SIGMA_DOWN = 0.158655
"""Share of a normal distribution that is more than one standard deviation below the mean."""


def _column(table: pa.Table, name: str) -> list[str]:
    return [str(value) for value in table[name].to_pylist()]


def _log10_tail(z: float) -> float:
    """log10 of the share of a standard normal distribution above z."""
    if z < 30:
        return math.log10(0.5 * math.erfc(z / math.sqrt(2)))
    # erfc underflows here; the leading term of the tail (Abramowitz and Stegun 26.2.12) is accurate to 0.1 %
    return -(z * z / 2) / math.log(10) - math.log10(z * math.sqrt(2 * math.pi))
