"""Texts of a training by kind, and which picture and text of a batch belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.tuning.tuning_data import TuningData

MAX_QUERIES: Final = 2_000
"""Clicked queries that a training uses, those with the most clicked items."""

TEXT_KIND: Final = "text"


@dataclass(frozen=True)
class PhraseKind:
    """The phrases of one kind.

    Attributes:
        name: such as "title" or "color category".
        texts: (m,) different phrases.
        of_item: (n items,) row of each item's phrase; -1 without one.
    """

    name: str
    texts: tuple[str, ...]
    of_item: NDArray[np.int64]


def phrase_kinds(data: TuningData, kinds: Sequence[str] | None = None) -> list[PhraseKind]:
    """Collect the phrases of all items by kind; equal phrases have one row, whatever their case.

    Args:
        kinds: names of the kinds to collect; None for all except the long "text".
    """
    counts = Counter(kind for item in data.items for kind in item.phrases)
    names = sorted(counts, key=lambda kind: (kind != "title", kind)) if kinds is None else kinds
    collected = []
    for name in names:
        if name == TEXT_KIND and kinds is None:
            continue
        rows: dict[str, int] = {}
        texts: list[str] = []
        of_item = np.full(len(data.items), -1, dtype=np.int64)
        for place, item in enumerate(data.items):
            if (phrase := item.phrases.get(name)) is not None:
                key = " ".join(phrase.casefold().split())
                if key not in rows:
                    rows[key] = len(texts)
                    texts.append(phrase)
                of_item[place] = rows[key]
        collected.append(PhraseKind(name, tuple(texts), of_item))
    return collected


@dataclass(frozen=True)
class ItemPictures:
    """The pictures of some items.

    Attributes:
        rows: (p,) rows of `TuningData.pictures`.
        items: for each of these pictures, the items that have it.
    """

    rows: NDArray[np.int64]
    items: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, data: TuningData, items: Sequence[int]) -> ItemPictures:
        owners: dict[int, list[int]] = {}
        for item in items:
            for row in data.items[item].pictures:
                owners.setdefault(row, []).append(item)
        rows = sorted(owners)
        return cls(np.array(rows, dtype=np.int64), tuple(np.array(owners[row], dtype=np.int64) for row in rows))

    def draw_items(self, places: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Draw one item for each picture of a batch, (b,)."""
        own = [self.items[place] for place in places]
        return np.array([items[generator.integers(len(items))] if len(items) > 1 else items[0] for items in own])

    def share_a_picture(self, items: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(b, b) whether an item, by row, has a picture, by column."""
        shared = np.zeros((len(places), len(items)), dtype=bool)
        for row, place in enumerate(places):
            if len(self.items[place]) > 1:
                shared[row] = np.isin(items, self.items[place])
        return shared


@dataclass(frozen=True)
class QueryClicks:
    """Queries with the items that users opened after them.

    Attributes:
        texts: (q,) queries.
        of_item: for each item of the data, the rows of its queries.
        clicked: (q, n items) flags.
    """

    texts: tuple[str, ...]
    of_item: tuple[NDArray[np.int64], ...]
    clicked: NDArray[np.bool_]

    @classmethod
    def of(cls, data: TuningData) -> QueryClicks | None:
        """Collect the queries; None without any."""
        queries = sorted(data.clicks, key=lambda click: (-len(click.items), click.query))[:MAX_QUERIES]
        if not queries:
            return None
        clicked = np.zeros((len(queries), len(data.items)), dtype=bool)
        for row, query in enumerate(queries):
            clicked[row, list(query.items)] = True
        of_item = tuple(np.flatnonzero(column) for column in clicked.T)
        return cls(tuple(query.query for query in queries), of_item, clicked)

    def draw(self, items: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Draw a query of each item, (b,); -1 for an item without queries."""
        own = [self.of_item[item] for item in items]
        return np.array([rows[generator.integers(len(rows))] if len(rows) else -1 for rows in own], dtype=np.int64)
