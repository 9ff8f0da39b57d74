"""Measures of an encoder on held-out items, one value per query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.tuning.tuning_data import TuningData

K: Final = 10
"""Length of a ranking."""

MIN_TEXTS: Final = 2


@dataclass(frozen=True)
class Measure:
    """One measure, and how its queries are named.

    Attributes:
        name: such as "title -> picture, category P@10".
        about: one sentence for people.
        cluster: what intervals draw: "product" or "phrase".
    """

    name: str
    about: str
    cluster: str = "product"


@dataclass(frozen=True)
class QueryResult:
    """The result of one query.

    Attributes:
        query: the text, or the id of the item whose picture is the query.
        cluster: product or phrase, drawn as a whole by the bootstrap.
        value: 0 to 1.
        item: row of the query's item in `TuningData.items`; -1 for a phrase.
        shown: rows of `TuningData.pictures`, best first.
        right: for each of them, whether it is relevant.
    """

    query: str
    cluster: str
    value: float
    item: int
    shown: tuple[int, ...]
    right: tuple[bool, ...]


Encode = Callable[[Sequence[str]], Vectors]


class HeldOutMeasures:
    """The measures that a catalogue allows.

    Texts are compared with the first picture of each held-out item, as a list of results shows it, and pictures with
    all other pictures.

    Args:
        data: the catalogue.
        category: kind of phrases with the category; None if there is none.
        joined: kind of phrases with an attribute and the category; None if there is none.
    """

    def __init__(self, data: TuningData, category: str | None, joined: str | None) -> None:
        self._data = data
        self._category = category
        self._joined = joined
        names = [item.phrases.get(category) if category else None for item in data.items]
        self._categories = np.array([_key(name) for name in names], dtype=object)
        self._phrases = np.array([_key(item.phrases.get(joined or "")) for item in data.items], dtype=object)
        self.measures: dict[str, Measure] = {}

    def run(
        self, items: Sequence[int], encode_pictures: Callable[[Sequence[int]], Vectors], encode_texts: Encode
    ) -> dict[str, list[QueryResult]]:
        """Measure an encoder on held-out items.

        Args:
            items: rows of `TuningData.items`.
            encode_pictures: gives the unit vectors of rows of `TuningData.pictures`.
            encode_texts: gives the unit vectors of texts.

        Returns:
            The results of the queries of each measure, in the same order for every encoder.
        """
        rows = np.array(sorted({row for item in items for row in self._data.items[item].pictures}))
        vectors = encode_pictures(rows.tolist())
        place_of = {int(row): place for place, row in enumerate(rows)}
        first_rows = np.array([self._data.items[item].pictures[0] for item in items])
        listed = vectors[[place_of[int(row)] for row in first_rows]]
        held_out = np.array(items)
        results = {}
        for measure, found in (
            *self._by_title(held_out, first_rows, listed, encode_texts),
            *self._by_phrase(held_out, first_rows, listed, encode_texts),
            *self._by_click(held_out, first_rows, listed, encode_texts),
            *self._by_picture(held_out, rows, vectors),
        ):
            if found:
                self.measures[measure.name] = measure
                results[measure.name] = found
        return results

    def _by_title(
        self, items: NDArray[np.int64], first_rows: NDArray[np.int64], listed: Vectors, encode: Encode
    ) -> list[tuple[Measure, list[QueryResult]]]:
        titled = [item for item in items.tolist() if "title" in self._data.items[item].phrases]
        if not titled:
            return []
        titles = [self._data.items[item].phrases["title"] for item in titled]
        best = _best(encode(titles) @ listed.T)
        own, by_category = [], []
        for item, title, places in zip(titled, titles, best, strict=True):
            product, shown = self._data.items[item].product, tuple(first_rows[places].tolist())
            # another item with the same picture is a right answer, too
            hits = [row == self._data.items[item].pictures[0] for row in shown]
            own.append(QueryResult(title, product, float(any(hits)), item, shown, tuple(hits)))
            if self._categories[item] is not None:
                same = (self._categories[items[places]] == self._categories[item]).tolist()
                by_category.append(QueryResult(title, product, sum(same) / K, item, shown, tuple(same)))
        return [
            (
                Measure(
                    f"title -> picture P@{K}",
                    f"Share of the first {K} pictures for an item's title that have its category.",
                ),
                by_category,
            ),
            (
                Measure(
                    f"title -> own picture R@{K}",
                    f"Share of the titles that have their own item's picture among the first {K}.",
                ),
                own,
            ),
        ]

    def _by_phrase(
        self, items: NDArray[np.int64], first_rows: NDArray[np.int64], listed: Vectors, encode: Encode
    ) -> list[tuple[Measure, list[QueryResult]]]:
        """Each different phrase is one query: "blue jackets"."""
        if self._joined is None:
            return []
        first: dict[str, int] = {}
        for item in items.tolist():
            if self._phrases[item] is not None and self._categories[item] is not None:
                first.setdefault(self._phrases[item], item)
        if len(first) < MIN_TEXTS:
            return []
        texts = [self._data.items[item].phrases[self._joined] for item in first.values()]
        by_category, both = [], []
        for item, text, places in zip(first.values(), texts, _best(encode(texts) @ listed.T), strict=True):
            shown = tuple(first_rows[places].tolist())
            same = (self._categories[items[places]] == self._categories[item]).tolist()
            exact = (self._phrases[items[places]] == self._phrases[item]).tolist()
            cluster = str(self._categories[item])
            by_category.append(QueryResult(text, cluster, sum(same) / K, -1, shown, tuple(same)))
            both.append(QueryResult(text, cluster, sum(exact) / K, -1, shown, tuple(exact)))
        kind = self._joined.replace(" ", "+")
        return [
            (
                Measure(
                    f"{kind} -> picture P@{K}",
                    f"Share of the first {K} pictures for a phrase such as {texts[0]!r} that have its category.",
                    cluster="category",
                ),
                by_category,
            ),
            (
                Measure(
                    f"{kind} -> picture, both right P@{K}",
                    f"Share of the first {K} pictures for a phrase such as {texts[0]!r} that fit the whole phrase.",
                    cluster="category",
                ),
                both,
            ),
        ]

    def _by_click(
        self, items: NDArray[np.int64], first_rows: NDArray[np.int64], listed: Vectors, encode: Encode
    ) -> list[tuple[Measure, list[QueryResult]]]:
        known = set(items.tolist())
        queries = [(click.query, known.intersection(click.items)) for click in self._data.clicks]
        queries = [(query, clicked) for query, clicked in queries if clicked]
        if not queries:
            return []
        results = []
        best = _best(encode([query for query, _ in queries]) @ listed.T)
        for (query, clicked), places in zip(queries, best, strict=True):
            hits = tuple(int(items[place]) in clicked for place in places)
            cluster = self._data.items[min(clicked)].product
            value = sum(hits) / min(len(clicked), K)
            results.append(QueryResult(query, cluster, value, -1, tuple(first_rows[places].tolist()), hits))
        about = f"Share of the clicked items of a query that are among the first {K}."
        return [(Measure(f"query -> clicked item R@{K}", about), results)]

    def _by_picture(
        self, items: NDArray[np.int64], rows: NDArray[np.int64], vectors: Vectors
    ) -> list[tuple[Measure, list[QueryResult]]]:
        owner: dict[int, int] = {}
        for item in items.tolist():
            for row in self._data.items[item].pictures:
                owner.setdefault(row, item)
        owners = np.array([owner[int(row)] for row in rows])
        products = np.array([self._data.items[item].product for item in owners], dtype=object)
        scores = vectors @ vectors.T
        np.fill_diagonal(scores, -np.inf)
        same_product, same_category = [], []
        for place, places in enumerate(_best(scores)):
            item, product = int(owners[place]), str(products[place])
            shown = tuple(rows[places].tolist())
            others = int((products == product).sum()) - 1
            if others:
                hits = (products[places] == product).tolist()
                name = self._data.items[item].item_id
                same_product.append(QueryResult(name, product, sum(hits) / min(others, K), item, shown, tuple(hits)))
            if self._categories[item] is not None:
                same = (self._categories[owners[places]] == self._categories[item]).tolist()
                name = self._data.items[item].item_id
                same_category.append(QueryResult(name, product, sum(same) / K, item, shown, tuple(same)))
        return [
            (
                Measure(
                    f"picture -> picture P@{K}",
                    f"Share of the {K} nearest pictures of a picture that have its category.",
                ),
                same_category,
            ),
            (
                Measure(
                    f"picture -> same product R@{K}",
                    f"Share of the other pictures of a product that are among the {K} nearest.",
                ),
                same_product,
            ),
        ]


def _best(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """(q, at most K) places of the best scores of each row, best first; ties by place."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def _key(phrase: str | None) -> str | None:
    return None if phrase is None else " ".join(phrase.casefold().split())
