"""Near-duplicate items, in the Python API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from firstsight.api.connection import Connection
from firstsight.errors import QueryError
from firstsight.keywords import check_keywords, check_texts
from firstsight.retrieval.query import NO_COLLAPSE

if TYPE_CHECKING:
    from firstsight.duplicates.groups import DuplicateGroup
    from firstsight.duplicates.item_pairs import DuplicateOptions


class Duplicates:
    """Near-duplicate items: equal or edited pictures and videos."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(
        self, *, items: Sequence[str] | None = None, collapse: str | None = None, **settings: Unpack[DuplicateOptions]
    ) -> list[DuplicateGroup]:
        """Find groups of near-duplicate items, the largest first, with the evidence for each pair.

        Args:
            items: item ids; returns only groups with one of them. None for all groups.
            collapse: None leaves out pairs of two variants of one product, and lists the strongest pair of each two
                products, if the database knows products; "none" lists every pair.
            settings: fields of `firstsight.DuplicateSettings`: max_distance, min_cosine, …

        Raises:
            QueryError: an item is unknown, or a setting is out of range.
            MissingDatabaseError: there is no database.
        """
        from firstsight.duplicates.groups import group_pairs
        from firstsight.duplicates.item_pairs import DuplicateOptions, DuplicateSettings, find_duplicates
        from firstsight.duplicates.product_pairs import pairs_between_products

        check_keywords("duplicates.find", settings, DuplicateOptions)
        if collapse not in (None, NO_COLLAPSE):
            raise QueryError(f"collapse is {collapse!r}; give none for pairs within a product, or leave it out")
        check_texts("items", items or ())
        store = self._connection.open()
        for missing in sorted(set(items or ()) - store.item_rows(items or ()).keys()):
            raise QueryError(f"there is no item {missing!r} in {store.uri}")
        pairs = find_duplicates(store, DuplicateSettings(**settings))
        if collapse is None:
            pairs = pairs_between_products(store, pairs, keep=set(items or ()))
        groups = group_pairs(pairs)
        return groups if items is None else [group for group in groups if group.item_ids & set(items)]

    def videos_without_prints(self) -> int:
        """Count videos that were indexed without fingerprints; index their catalogue again.

        They are compared by their encoded frames, which misses most edited copies.

        Raises:
            MissingDatabaseError: there is no database.
        """
        from firstsight.storage.video_print_table import count_videos_without_prints

        store = self._connection.open()
        return count_videos_without_prints(store, store.views)
