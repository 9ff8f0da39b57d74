"""Tags as a kind of fact: new items are tagged when they are indexed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from firstsight.encoders.base import Vectors
from firstsight.indexer.facts.item_facts import FactItem
from firstsight.media.picture_facts import PictureFact
from firstsight.storage.store import Store
from firstsight.storage.tables import HEAD_PARTS
from firstsight.understanding.tags.models.item_vectors import ItemVectors, fuse_views
from firstsight.understanding.tags.tag_values import TagState, best_tags, tag_columns


class TagFacts:
    """The tags of a database, by the versions in use when it was made.

    Args:
        store: the database.
    """

    name = "tags"
    picture_fact: PictureFact | None = None

    def __init__(self, store: Store) -> None:
        self._store = store
        self._state = TagState.read(store)

    @property
    def fields(self) -> Sequence[pa.Field[Any]]:
        """Columns of all tags."""
        return self._state.fields

    def values(self, items: Sequence[FactItem]) -> list[dict[str, Any]]:
        """Compute the columns of items from the vectors of their views; see `FactKind`."""
        if not self._state.tags:
            return [{} for _ in items]
        vectors = {}
        for tag in self._state.tags:
            model = self._state.usable(tag)
            if model is not None and model.means is not None:
                vectors[tag] = _fuse(items, model.means)
        ids = [item.item_id for item in items]
        found = best_tags(self._store, self._state, ids, [item.columns for item in items], vectors)
        return [tag_columns(best) for best in found]


def _fuse(items: Sequence[FactItem], means: Vectors) -> ItemVectors:
    views = [
        (n, HEAD_PARTS.index(view.part), view.vector)
        for n, item in enumerate(items)
        for view in item.views
        if view.vector is not None and view.part in HEAD_PARTS
    ]
    vectors = np.array([vector for _, _, vector in views], dtype=np.float32).reshape(len(views), means.shape[1])
    return fuse_views(
        [item.item_id for item in items],
        vectors,
        np.array([part for _, part, _ in views], dtype=np.int8),
        np.array([n for n, _, _ in views], dtype=np.int64),
        means,
    )
