"""Sequence models, in the Python API: what comes next after a user's events and searches."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from firstsight.api.connection import FIT_WAIT_S, Connection

if TYPE_CHECKING:
    from firstsight.recommend.sequence.item_projection import ProjectedItems
    from firstsight.recommend.sequence.sequence_settings import SequenceSettings
    from firstsight.recommend.sequence.sequence_store import SequenceVersion
    from firstsight.recommend.sequence.user_export import ExportedUsers
    from firstsight.storage.store import Store


class SequenceModels:
    """Models that read the order of events and searches, and vectors of users for a retrieval of candidates."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fit(
        self,
        *,
        settings: SequenceSettings | None = None,
        from_version: int | None = None,
        fresh: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        use: bool | None = None,
        wait_s: float = FIT_WAIT_S,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> SequenceVersion:
        """Train a model on all events, measure it on held-out next items, and store it as the next version.

        It trains on a GPU if there is one, and in several processes if `torchrun` started them. A run that was killed
        continues from its checkpoint. Searches need the encoder, unless their vectors are stored.

        Args:
            settings: of model and training; by default those of the version that training starts from.
            from_version: the version that training starts from; by default the one in use, if settings and encoder
                fit.
            fresh: start from random weights.
            checkpoint: folder for the state of the training; by default in the database's folder.
            use: put the model into use; by default only if held-out samples say that it improves rankings.
            wait_s: maximum wait for another writer before the model is stored, in seconds.
            on_progress: called with lines on steps and epochs.

        Returns:
            The version. Its `figures` have the held-out HR@10 and NDCG@10.

        Raises:
            QueryError: there are too few events, or the version to start from has another shape.
            EncoderMismatchError: the version to start from was fitted on vectors of another encoder.
            EncoderError: there are searches, and the encoder cannot be loaded.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database or the checkpoint cannot be written, or a stored version is damaged.
        """
        from firstsight.recommend.events.event_log import Events
        from firstsight.recommend.items import ItemSpace
        from firstsight.recommend.sequence.sequence_fit import fit_sequence_model

        store = self._connection.open()
        on_progress("reading items and events")
        space = ItemSpace.load(store)
        train = Events(store).interactions(space)
        return fit_sequence_model(
            store,
            space,
            train,
            settings=settings,
            from_version=from_version,
            fresh=fresh,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            encode=lambda texts: self._connection.encoder.encode_texts(texts),
            use=use,
            wait_s=wait_s,
            on_progress=on_progress,
        )

    def versions(self) -> list[SequenceVersion]:
        """List all sequence models, oldest first."""
        from firstsight.recommend.sequence.sequence_store import list_sequence_models

        return list_sequence_models(self._connection.open())

    def use(self, version: int | None, *, wait_s: float = FIT_WAIT_S) -> None:
        """Put a sequence model into use instead of the present one.

        Args:
            version: number of a model; None to use none.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            QueryError: there is no such version.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.recommend.sequence.sequence_store import use_sequence_model

        use_sequence_model(self._connection.open(), version, wait_s=wait_s)

    def project(self, *, wait_s: float = FIT_WAIT_S) -> ProjectedItems:
        """Write the item vectors of the model in use to the column `sequence_vector` of the table `items`.

        A search in that column with a user's vector finds candidates for the user. Index runs then project new and
        changed items themselves.

        Args:
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            QueryError: no sequence model is in use.
            EncoderMismatchError: the model was fitted on vectors of another encoder.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the stored model is damaged, or the database cannot be written.
        """
        from firstsight.recommend.sequence.item_projection import project_items

        store = self._connection.open()
        with store.writing(wait_s):
            return project_items(store)

    def export_users(
        self,
        file: str | os.PathLike[str],
        *,
        version: int | None = None,
        on_rows: Callable[[int, int | None], None] = lambda done, total: None,
    ) -> ExportedUsers:
        """Write the vectors of all users with events to a file: .parquet, .arrow or .jsonl.

        Each row has `user_id`, `events`, and two unit vectors in the space of the projected items: `short_term`, whose
        cosine orders the items by what comes next, and `long_term`, the mean of the whole history.

        Args:
            file: an existing one is replaced when the new one is complete.
            version: number of a model; by default the one in use.
            on_rows: called with the number of users written so far, and of all.

        Raises:
            QueryError: no model is in use, there is no such version, there are no events, or the ending is unknown.
            EncoderMismatchError: the model was fitted on vectors of another encoder.
            StoreError: the stored model is damaged.
            OSError: the file cannot be written.
        """
        from firstsight.errors import QueryError
        from firstsight.recommend.events.event_log import Events
        from firstsight.recommend.items import ItemSpace
        from firstsight.recommend.sequence.sequence_store import FIT_COMMAND, read_stored_model, restore_model
        from firstsight.recommend.sequence.user_export import check_ending, export_users

        check_ending(Path(file))
        store = self._connection.open()
        stored = read_stored_model(store, version)
        if stored is None:
            raise QueryError(f"no sequence model of {store.uri} is in use; fit one: {FIT_COMMAND}")
        space = ItemSpace.load(store)
        interactions = Events(store).interactions(space)
        model = restore_model(store, space, stored, lambda texts: self._connection.encoder.encode_texts(texts))
        return export_users(Path(file), model, stored.described.version, interactions, on_rows)


def project_new_items(store: Store) -> None:
    """Project new items if the items of the database are projected; the caller holds the writer lock."""
    from firstsight.storage.projection_column import projected_version

    if projected_version(store) is not None:
        from firstsight.recommend.sequence.item_projection import project_new_items

        project_new_items(store)
