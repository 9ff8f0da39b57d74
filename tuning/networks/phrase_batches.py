"""Batches of pictures and phrases: every true pair of a batch is a positive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.tuning.tuning_data import TuningData

CLICKED: Final = "clicked query"
"""The kind of the queries after which users opened an item."""

_CELLS = 16_000_000  # similarities in memory at one time: 64 MB


@dataclass(frozen=True)
class PhraseBatch:
    """One contrastive batch.

    Attributes:
        pictures: (n,) rows of `TuningData.pictures`.
        texts: m different texts, m <= n: one phrase of each picture's item.
        same: (n, m) flags of the positives: the text is a phrase of the picture's item.
    """

    pictures: tuple[int, ...]
    texts: tuple[str, ...]
    same: NDArray[np.bool_]


class PhraseBook:
    """The phrases and pictures of some items.

    Args:
        data: the catalogue.
        items: rows of its items.
    """

    def __init__(self, data: TuningData, items: Sequence[int]) -> None:
        self.items = tuple(items)
        self.pictures = tuple(row for item in items for row in data.items[item].pictures)
        self._item_of = {row: item for item in items for row in data.items[item].pictures}
        self._texts: dict[int, dict[str, list[str]]] = {
            item: {kind: [text] for kind, text in sorted(data.items[item].phrases.items())} for item in items
        }
        for click in data.clicks:
            for item in click.items:
                if item in self._texts:
                    self._texts[item].setdefault(CLICKED, []).append(click.query)
        # The text alone decides: its vector is the same, whichever column it comes from.
        self._true = {item: {text for kind in kinds.values() for text in kind} for item, kinds in self._texts.items()}

    def is_true(self, picture: int, text: str) -> bool:
        """Return whether a text is a phrase of the picture's item."""
        return text in self._true[self._item_of[picture]]

    def same(self, pictures: Sequence[int], texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return (n, m) flags: whether each text is a phrase of each picture's item."""
        flags = np.zeros((len(pictures), len(texts)), dtype=np.bool_)
        column = {text: number for number, text in enumerate(texts)}
        for row, picture in enumerate(pictures):
            for text in self._true[self._item_of[picture]]:
                if (place := column.get(text)) is not None:
                    flags[row, place] = True
        return flags

    def phrases(self) -> list[str]:
        """Return all different texts, sorted."""
        return sorted(set().union(*self._true.values())) if self._true else []

    def draw_phrase(self, picture: int, rng: np.random.Generator) -> str:
        """Draw a kind, then a phrase of this kind: each column counts the same, however many texts it has."""
        kinds = list(self._texts[self._item_of[picture]].values())
        texts = kinds[int(rng.integers(len(kinds)))]
        return texts[int(rng.integers(len(texts)))]


class BatchDraw:
    """Draws batches. A batch depends on the seed, the step and the neighbours only, so a resumed run draws the same.

    Args:
        book: items to learn from.
        size: pictures in a batch.
        hard_negatives: neighbours that join each drawn picture.
        seed: of the draws.
    """

    def __init__(self, book: PhraseBook, size: int, hard_negatives: int, seed: int) -> None:
        self._book, self._seed, self._hard = book, seed, hard_negatives
        self._size = min(size, len(book.pictures))
        self.neighbours: NDArray[np.int64] | None = None
        """(p, k) places in `book.pictures` of the nearest pictures of each, best first; None: draw without them."""

    def batch(self, step: int) -> PhraseBatch:
        """Draw the batch of an update."""
        book, rng = self._book, np.random.default_rng([self._seed, step, 1])
        drawn = max(1, self._size // (1 + self._hard)) if self.neighbours is not None else self._size
        places = self._places(step * drawn, drawn)
        texts = {place: book.draw_phrase(book.pictures[place], rng) for place in places}
        chosen = dict.fromkeys(places)
        for place, text in list(texts.items()):
            for neighbour in self._hard_negatives(place, text, set(chosen)):
                if len(chosen) < self._size:
                    chosen[neighbour] = None
        for place in map(int, rng.permutation(len(book.pictures))):
            if len(chosen) == self._size:
                break
            chosen.setdefault(place, None)
        for place in chosen:
            if place not in texts:
                texts[place] = book.draw_phrase(book.pictures[place], rng)
        pictures = tuple(book.pictures[place] for place in chosen)
        different = tuple(dict.fromkeys(texts[place] for place in chosen))
        return PhraseBatch(pictures, different, book.same(pictures, different))

    def _places(self, start: int, count: int) -> list[int]:
        """Return places `start` to `start + count` of an endless row of permutations, without doubles."""
        total = len(self._book.pictures)
        found: dict[int, None] = {}
        while len(found) < count:
            epoch, first = divmod(start, total)
            order = np.random.default_rng([self._seed, epoch, 0]).permutation(total)
            for place in order[first : first + count]:
                if len(found) < count:
                    found.setdefault(int(place), None)
            start = (epoch + 1) * total
        return list(found)

    def _hard_negatives(self, place: int, text: str, taken: set[int]) -> list[int]:
        """Return the nearest pictures for which the text is not true; a true one is no negative."""
        if self.neighbours is None:
            return []
        pictures = self._book.pictures
        wrong = (
            n for n in map(int, self.neighbours[place]) if n not in taken and not self._book.is_true(pictures[n], text)
        )
        return [neighbour for _, neighbour in zip(range(self._hard), wrong, strict=False)]


def nearest_pictures(vectors: Vectors, count: int) -> NDArray[np.int64]:
    """Return the places of the `count` most similar other rows of each row, best first, (n, count).

    Args:
        vectors: (n, dim) unit rows.
        count: at most n - 1 are returned.
    """
    total = len(vectors)
    count = min(count, total - 1)
    nearest = np.empty((total, count), dtype=np.int64)
    block = max(1, _CELLS // max(total, 1))
    for start in range(0, total, block):
        scores = vectors[start : start + block] @ vectors.T
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        nearest[start : start + block] = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return nearest
