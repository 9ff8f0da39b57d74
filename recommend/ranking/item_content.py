"""Content of items as score terms compare it: vectors, words, kinds and prices, prepared once for a space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.score_scaling import KindScale
from firstsight.storage.store import Store

PRICE_COLUMN = "price"

LAST_EVENTS = 100
"""Number of newest events of a history that items are compared with."""

EXACT_ITEMS = 20_000
"""Number of items up to which histories are compared with all items in full."""

DIMENSIONS = 64
"""Principal directions that larger spaces are compared in first."""

NEAREST_ITEMS = 500
"""Number of items that are then compared in full, for each of the three cosines."""

PREPARED_ITEMS = 5_000
"""Number of items up to which `prepare` compares all items with each other, in 100 MB."""

_ROWS = 20_000
_PRICED_EVENTS = 10  # newest events whose prices count
_SCALE_ITEMS = 256  # items whose cosines with all others give the scale of a kind


@dataclass(frozen=True)
class ContentCosines:
    """Cosines of every item with a history, (n,) float32 each, in standard deviations of the item's kind.

    Attributes:
        greatest: with the nearest item of the history.
        last: with its last item.
        mean: with the weighted mean of its items.
    """

    greatest: NDArray[np.float32]
    last: NDArray[np.float32]
    mean: NDArray[np.float32]


def read_prices(store: Store, space: ItemSpace) -> NDArray[np.float64] | None:
    """Read the prices of a catalogue, (n,) in the order of the space and NaN for none; None without such a column."""
    if store.column_kinds().get(PRICE_COLUMN) != "number":
        return None
    prices = np.full(len(space), np.nan)
    for batch in store.items.search().select(["item_id", PRICE_COLUMN]).limit(None).to_batches(_ROWS):
        places = space.places(map(str, batch["item_id"].to_pylist()))
        values = batch[PRICE_COLUMN].to_numpy(zero_copy_only=False).astype(np.float64)
        prices[places[places >= 0]] = values[places >= 0]
    return prices


class CosineScale:
    """Cosines with a history, centred within each kind and divided by a constant spread of the kind.

    A cosine of a product and a video means less than one of two products: each kind has its own mean. The spread is a
    constant, so that a history near to many items keeps its higher cosines. Above `EXACT_ITEMS` items, all items are
    compared in `DIMENSIONS` principal directions first, then the nearest in full.
    """

    def __init__(self, vectors: Vectors, kinds: KindScale, *, exact_items: int = EXACT_ITEMS) -> None:
        """
        Args:
            vectors: (n, d) unit rows; zeros for an item without content.
            kinds: of the items.
            exact_items: see `EXACT_ITEMS`.
        """
        self.vectors, self._kinds = vectors, kinds
        self.known: NDArray[np.bool_] = np.asarray(np.abs(vectors).max(axis=1, initial=0.0) > 0)
        self._reduced: Vectors | None = None
        self._product: NDArray[np.float32] | None = None
        if len(vectors) > exact_items and vectors.shape[1] > DIMENSIONS:
            gram = vectors.T @ vectors
            self._directions: Vectors = np.linalg.eigh(gram)[1][:, ::-1][:, :DIMENSIONS].astype(np.float32)
            self._reduced = vectors @ self._directions
        self._spread = self._spreads()

    def _spreads(self) -> NDArray[np.float32]:
        """(kinds,) standard deviation of the cosines of drawn items with the items of a kind."""
        rows = np.flatnonzero(self.known)
        spreads = np.ones(len(self._kinds.names), dtype=np.float32)
        if len(rows):
            drawn = self.vectors[np.random.default_rng(0).permutation(rows)[:_SCALE_ITEMS]]
            for code in range(len(spreads)):
                of_kind = rows[self._kinds.codes[rows] == code][:EXACT_ITEMS]
                if len(of_kind) > 1:
                    spreads[code] = max(float((drawn @ self.vectors[of_kind].T).std(axis=1).mean()), 1e-4)
        return spreads

    def centre(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) cosines minus their mean within each kind, in spreads of the kind; 0 for an item without content."""
        out = np.zeros_like(cosines)
        for code in range(len(self._spread)):
            rows = self.known if len(self._spread) == 1 else self.known & (self._kinds.codes == code)
            if rows.any():
                values = cosines[rows]
                out[rows] = (values - values.mean(dtype=np.float64)) / self._spread[code]
        return out

    def raw(self, history: History) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Plain cosines with a history: (items, n) of its distinct items, (n,) of the last one, (n,) of the mean.

        Items of the history without content are left out; the last one is the last with content.
        """
        recent = history.last(LAST_EVENTS)
        kept = self.known[recent.items]
        items, weights = recent.items[kept], recent.weights[kept]
        n = len(self.vectors)
        if not len(items):
            return np.zeros((0, n), np.float32), np.zeros(n, np.float32), np.zeros(n, np.float32)
        distinct, inverse = np.unique(items, return_inverse=True)
        last = int(np.searchsorted(distinct, items[-1]))
        queries = self.vectors[distinct]
        shares = np.bincount(inverse, weights=weights).astype(np.float32)
        shares /= max(float(np.linalg.norm(shares @ queries)), 1e-9)
        if self._product is not None:
            cosines: NDArray[np.float32] = self._product[distinct]
        elif self._reduced is None:
            cosines = np.asarray(queries @ self.vectors.T, dtype=np.float32)
        else:
            cosines = np.asarray((queries @ self._directions) @ self._reduced.T, dtype=np.float32)
            first = (cosines.max(axis=0), cosines[last], shares @ cosines)
            near = np.unique([np.argpartition(-row, NEAREST_ITEMS)[:NEAREST_ITEMS] for row in first])
            cosines[:, near] = queries @ self.vectors[near].T
        return cosines, cosines[last], np.asarray(shares @ cosines, dtype=np.float32)

    def prepare(self) -> None:
        """Compare the items with each other once, for many histories; of more than `PREPARED_ITEMS`, do nothing."""
        if self._product is None and len(self.vectors) <= PREPARED_ITEMS:
            self._product = np.asarray(self.vectors @ self.vectors.T, dtype=np.float32)


class ItemContent:
    """Vectors, words, kinds, dates and prices of the items of a space, prepared for score terms."""

    def __init__(
        self, space: ItemSpace, words: Vectors | None = None, prices: NDArray[np.float64] | None = None
    ) -> None:
        """
        Args:
            space: the items.
            words: (n, d) unit rows of `text_vectors`, zeros for an item without text; None for no words at all.
            prices: (n,) above 0, in one currency; NaN for an item without a price. None for no prices at all.
        """
        self.space = space
        self.kinds = KindScale(space.kinds)
        has_words = words is not None and words.shape[1] > 0
        self.words: Vectors = words if words is not None and has_words else np.zeros((len(space), 0), np.float32)
        self.vector_scale = CosineScale(space.vectors, self.kinds)
        self.word_scale = CosineScale(self.words, self.kinds) if has_words else None
        self.log_prices: NDArray[np.float64] | None = None
        if prices is not None:
            usable = np.isfinite(prices) & (prices > 0)
            self.log_prices = np.where(usable, np.log(np.where(usable, prices, 1.0)), np.nan) if usable.any() else None

    def prepare(self) -> None:
        """Prepare a fit or an evaluation, which compares many histories with all items; see `CosineScale.prepare`."""
        self.vector_scale.prepare()
        if self.word_scale is not None:
            self.word_scale.prepare()

    @cached_property
    def joint_norm(self) -> NDArray[np.float32]:
        """(n,) 1 / sqrt(number of contents), the length of a part in `text_vectors.content_vectors`."""
        parts = self.vector_scale.known.astype(np.float32)
        if self.word_scale is not None:
            parts += self.word_scale.known
        return np.asarray(1 / np.sqrt(np.maximum(parts, 1)), dtype=np.float32)

    @cached_property
    def newness(self) -> NDArray[np.float32]:
        """(n,) newness of an item within its kind, in standard deviations; items of unknown age are the oldest."""
        return self.kinds.standardise(np.unique(self.space.created, return_inverse=True)[1].astype(np.float64))

    def price_distance(self, history: History) -> NDArray[np.float32]:
        """(n,) distance of an item's log price to the mean of the last ones of a history; 0 if one is missing."""
        distance = np.zeros(len(self.space), dtype=np.float32)
        if self.log_prices is not None and len(history):
            paid = self.log_prices[history.last(_PRICED_EVENTS).items]
            if np.isfinite(paid).any():
                away = np.abs(self.log_prices - np.nanmean(paid))
                known = np.isfinite(away)
                distance[known] = away[known] - away[known].mean()
        return distance
