"""Exact ranks of relevant products, among pictures whose vectors are in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.retrieval.evaluation.robustness.sampled_items import product_of
from firstsight.storage.indexes.vector_index import vectors_of_column
from firstsight.storage.product_groups import GROUP_COLUMN
from firstsight.storage.store import Store

TIE = 1e-6
"""Cosines that differ by less are equal: a product with the same picture is not counted as better."""

QUERIES = 256
"""Queries compared at once."""

Relevance = NDArray[np.bool_]
"""(queries, products): whether a product answers a query."""


@dataclass(frozen=True)
class ProductIndex:
    """Pictures by product. The score of a product is that of its best picture."""

    products: tuple[str, ...]  # in the order of `starts`
    vectors: Vectors  # (pictures, dim), the pictures of one product next to each other
    starts: NDArray[np.int64]  # (products,) first picture of each

    @classmethod
    def of(cls, vectors: Vectors, products: Sequence[str]) -> ProductIndex:
        """Sort pictures by product.

        Args:
            vectors: (n, dim) unit rows.
            products: (n,) product of each picture.
        """
        names, codes = np.unique(np.asarray(products, dtype=object).astype(str), return_inverse=True)
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(names)))
        return cls(tuple(names.tolist()), np.ascontiguousarray(vectors[order]), starts)

    def relevance(self, relevant: Sequence[frozenset[str]]) -> Relevance:
        """Return which products answer each query.

        Args:
            relevant: (n,) names of the relevant products of each query.
        """
        place = {name: n for n, name in enumerate(self.products)}
        found = np.zeros((len(relevant), len(self.products)), dtype=np.bool_)
        for query, names in enumerate(relevant):
            found[query, [place[name] for name in names if name in place]] = True
        return found

    def ranks(self, queries: Vectors, relevance: Relevance) -> NDArray[np.float64]:
        """Rank the best relevant product of each query.

        Args:
            queries: (n, dim) unit rows.
            relevance: (n, products) from `relevance`.

        Returns:
            (n,) 1 for the first place; infinity if no product is relevant.
        """
        ranks = np.full(len(queries), np.inf)
        for start in range(0, len(queries), QUERIES):
            block = slice(start, start + QUERIES)
            scores = np.maximum.reduceat(queries[block] @ self.vectors.T, self.starts, axis=1)
            own = np.where(relevance[block], scores, -np.inf).max(axis=1)
            better = (scores > own[:, None] + TIE) & ~relevance[block]
            ranks[block] = np.where(np.isfinite(own), 1.0 + better.sum(axis=1), np.inf)
        return ranks


def read_index(store: Store, candidates: int, item_ids: Sequence[str]) -> ProductIndex:
    """Read the pictures and video frames of items.

    Args:
        store: the database.
        candidates: maximum number of items.
        item_ids: ids of items that must be among them; the others follow in the order of their stored rows.
    """
    wanted = dict.fromkeys(item_ids)
    for batch in store.item_ids():
        if len(wanted) >= candidates:
            break
        wanted |= dict.fromkeys(batch[: max(0, candidates - len(wanted))])
    names = list(wanted)
    has_groups = GROUP_COLUMN in store.items.schema.names
    groups: Mapping[str, Mapping[str, object]] = store.column_values(names, [GROUP_COLUMN]) if has_groups else {}
    products: list[str] = []
    vectors: list[Vectors] = []
    for views in store.rows_by_id(store.views, names, columns=["item_id", "part", "vector"]):
        pictures = views.filter((views["part"].to_numpy() == "image") | (views["part"].to_numpy() == "frame"))
        if not len(pictures):
            continue
        vectors.append(vectors_of_column(pictures["vector"].combine_chunks()))
        owners = map(str, pictures["item_id"].to_pylist())
        products += [product_of({"item_id": owner, **groups.get(owner, {})}) for owner in owners]
    return ProductIndex.of(np.concatenate(vectors), products)
