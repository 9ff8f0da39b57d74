"""Labelled items of one tag with their vectors, as fits are made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import TagError
from firstsight.heads.array_types import Indices
from firstsight.understanding.tags.labels.label_reading import TagLabels
from firstsight.understanding.tags.labels.tag_tree import TagTree
from firstsight.understanding.tags.labels.taxonomy import LEVELS
from firstsight.understanding.tags.models.item_vectors import ItemVectors

MAX_PER_VALUE: Final = 400
"""Labelled items of one value that a fit uses; more hardly change it."""


@dataclass(frozen=True)
class TagShots:
    """Labelled items of one tag, with their vectors."""

    tag: str
    tree: TagTree
    multi: bool
    items: ItemVectors
    labels: NDArray[np.bool_]  # (n, values) whether the item was given the value itself
    groups: NDArray[np.object_]  # (n,) every split keeps a group together
    prompts: Vectors | None  # (values, dim) unit rows

    @property
    def own(self) -> Indices:
        """(n,) place of the value of each item of a single-label tag."""
        return np.asarray(self.labels.argmax(axis=1), dtype=np.int64)


def make_shots(
    labels: TagLabels,
    items: ItemVectors,
    groups: Mapping[str, str],
    prompts: Callable[[TagTree], Vectors | None],
) -> TagShots:
    """Put labels and vectors together; items without views and without values are left out.

    Args:
        labels: of one tag.
        items: vectors of the labelled items.
        groups: item id -> group id; other items are groups of their own.
        prompts: makes the prompts of the values.

    Raises:
        TagError: fewer than two values have items with vectors.
    """
    kept = [
        n
        for n, item_id in enumerate(items.item_ids)
        if items.known[n] and (labels.values.get(item_id) or (labels.multi and item_id in labels.values))
    ]
    ids = tuple(items.item_ids[n] for n in kept)
    values = {value for item_id in ids for value in labels.values[item_id]}
    levels = not labels.multi and any(LEVELS in value for value in values)
    tree = TagTree.of(values, levels=levels)
    if len(values) < (1 if labels.multi else 2):
        raise TagError(
            f"tag {labels.tag}: {len(ids)} labelled items have {len(values)} values; label items of two values or more"
        )
    given = np.zeros((len(ids), len(tree.names)), dtype=np.bool_)
    for n, item_id in enumerate(ids):
        given[n, [tree.places[value] for value in labels.values[item_id]]] = True
    of_items = ItemVectors(ids, items.whole[kept], items.sides[:, kept], items.present[kept])
    owners = np.array([groups.get(item_id, item_id) for item_id in ids], dtype=object)
    return TagShots(labels.tag, tree, labels.multi, of_items, given, owners, prompts(tree))


def limit_labels(labels: Mapping[str, Sequence[str]]) -> list[str]:
    """Choose up to 400 items of each value, by a digest of their ids, so that a repeated training chooses the same."""
    by_value: dict[tuple[str, ...], list[str]] = {}
    for item_id, values in labels.items():
        by_value.setdefault(tuple(values), []).append(item_id)
    chosen: list[str] = []
    for of_value in by_value.values():
        chosen += sorted(of_value, key=lambda one: hashlib.blake2b(one.encode(errors="surrogatepass")).digest())[
            :MAX_PER_VALUE
        ]
    return sorted(chosen)
