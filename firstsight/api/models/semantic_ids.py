"""Semantic IDs, in the Python API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from firstsight.api.connection import FIT_WAIT_S, Connection

if TYPE_CHECKING:
    from firstsight.recommend.semantic_ids.semantic_id_export import SemanticId
    from firstsight.recommend.semantic_ids.semantic_id_store import AssignedIds, SemanticIdVersion
    from firstsight.storage.store import Store


class SemanticIds:
    """A few small numbers per item, coarse to fine; these methods load no encoder."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fit(self, *, levels: int = 3, codes: int | None = None, seed: int = 0) -> SemanticIdVersion:
        """Fit codebooks by residual k-means and assign semantic IDs to all items, as a new version.

        Args:
            levels: number of codes in an ID; one more number distinguishes items with equal codes.
            codes: number of codes per level, 2 to 65,536; by default an eighth of the items, at most 256.
            seed: random seed; the same seed and items give the same IDs.

        Raises:
            QueryError: a number is out of range, or there are too few items.
            DatabaseBusyError: another process is still writing after 60 s.
            StoreError: the database cannot be written.
        """
        from firstsight.recommend.semantic_ids.semantic_id_assignment import fit_semantic_ids

        store = self._connection.open()
        with store.writing(FIT_WAIT_S):
            return fit_semantic_ids(store, levels=levels, codes=codes, seed=seed)

    def assign(self) -> AssignedIds:
        """Assign IDs to items that are newer than the fit; existing IDs do not change.

        Returns:
            The number of new IDs, and the version in use.

        Raises:
            QueryError: there is no fit yet.
            DatabaseBusyError: another process is still writing after 60 s.
            StoreError: the database cannot be written.
        """
        from firstsight.recommend.semantic_ids.semantic_id_assignment import assign_semantic_ids

        store = self._connection.open()
        with store.writing(FIT_WAIT_S):
            return assign_semantic_ids(store)

    def export(self, version: int | None = None) -> Iterator[SemanticId]:
        """Yield the ID of each item.

        Args:
            version: number of a fit; None for the newest.

        Raises:
            QueryError: there is no such version, or no fit yet.
        """
        from firstsight.recommend.semantic_ids.semantic_id_export import export_semantic_ids

        return export_semantic_ids(self._connection.open(), version)

    def versions(self) -> list[SemanticIdVersion]:
        """List all fits with their figures, oldest first; the newest is in use."""
        from firstsight.recommend.semantic_ids.semantic_id_store import semantic_id_versions

        return semantic_id_versions(self._connection.open())


def assign_ids_to_new_items(store: Store) -> None:
    """Assign IDs to new items if there is a fit to the vectors in force; the caller holds the writer lock."""
    from firstsight.storage.semantic_id_table import newest_fingerprint

    fingerprint = newest_fingerprint(store)
    if fingerprint == store.spec.fingerprint:  # else they belong to the encoder before a switch
        from firstsight.recommend.semantic_ids.semantic_id_assignment import assign_semantic_ids

        assign_semantic_ids(store)
