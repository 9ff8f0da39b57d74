"""The semantic IDs of a database in the Python API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from firstsight.api.connection import DatabaseConnection

if TYPE_CHECKING:
    from firstsight.recommend.semantic_ids.semantic_id_store import SemanticIdVersion
    from firstsight.storage.store import Store

FIT_WAIT_S = 60.0
"""For another process that is writing: what was fitted should not be lost to it."""


class SemanticIdsPart(DatabaseConnection):
    """A few small numbers for each item, coarse to fine; no encoder is loaded for any of this."""

    def fit_semantic_ids(self, *, levels: int = 3, codes: int | None = None, seed: int = 0) -> SemanticIdVersion:
        """Fit codebooks by residual k-means and give every item its semantic ID under a new version.

        Args:
            levels: how many numbers an ID has before the one that tells equal ones apart.
            codes: of each level, 2 to 65,536; an eighth of the items by default, at most 256.
            seed: the same seed on the same items gives the same IDs.

        Raises:
            QueryError: a number out of range, or too few items.
            DatabaseBusyError: another process is writing.
        """
        from firstsight.recommend.semantic_ids.semantic_id_assignment import fit_semantic_ids

        store = self._open()
        with store.writing(FIT_WAIT_S):
            return fit_semantic_ids(store, levels=levels, codes=codes, seed=seed)

    def assign_semantic_ids(self) -> tuple[int, SemanticIdVersion]:
        """Give items that came after the fit their IDs; no ID that there is changes.

        Returns:
            How many were given one, and how things stand.

        Raises:
            QueryError: nothing was fitted yet.
            DatabaseBusyError: another process is writing.
        """
        from firstsight.recommend.semantic_ids.semantic_id_assignment import assign_semantic_ids

        store = self._open()
        with store.writing(FIT_WAIT_S):
            return assign_semantic_ids(store)

    def semantic_ids(self, version: int | None = None) -> Iterator[dict[str, Any]]:
        """The ID of every item: `item_id`, `semantic_id`, `codes`, `copy`, `tokens`; the newest version by default.

        Raises:
            QueryError: there is no such version, or none at all.
        """
        from firstsight.recommend.semantic_ids.semantic_id_export import export_semantic_ids

        return export_semantic_ids(self._open(), version)

    def semantic_id_versions(self) -> list[SemanticIdVersion]:
        """Every fit with its figures, oldest first; the newest is in use."""
        from firstsight.recommend.semantic_ids.semantic_id_store import semantic_id_versions

        return semantic_id_versions(self._open())

    def _assign_ids_to_new_items(self, store: Store) -> None:
        """Give new items their IDs where IDs were fitted; the caller holds the writer lock."""
        from firstsight.storage.semantic_id_table import newest_version

        if newest_version(store) is not None:
            from firstsight.recommend.semantic_ids.semantic_id_assignment import assign_semantic_ids

            assign_semantic_ids(store)
