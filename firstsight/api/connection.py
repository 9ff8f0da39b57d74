"""A database and its encoder, opened when they are first needed: what reading and writing share."""

from __future__ import annotations

from firstsight.encoders.base import Encoder
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.registry import load_with_options, names_a_file
from firstsight.errors import EncoderMismatchError, MissingDatabaseError
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.ranking.relevance import RelevanceCalibration
from firstsight.retrieval.reranker_store import RerankerShelf
from firstsight.storage.snapshots import name_snapshot
from firstsight.storage.store import Store


class DatabaseConnection:
    """The address of a database, its store and its encoder."""

    def __init__(
        self, uri: str, encoder: str | Encoder | None, encoder_options: EncoderOptions, policy: MediaPolicy
    ) -> None:
        self.uri = uri
        self._requested_encoder = encoder
        self._encoder_options = encoder_options
        self._policy = policy
        self._store: Store | None = None
        self._encoder: Encoder | None = None
        self._cached_calibration: tuple[str, RelevanceCalibration] | None = None
        self._shelf = RerankerShelf(uri)

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded on first use: the one asked for, else the database's own, else `starter`.

        Raises:
            EncoderError: it cannot be loaded.
            EncoderMismatchError: the database holds another encoder's vectors.
        """
        if self._encoder is None:
            store = self._open_if_exists()
            wanted = self._requested_encoder or (store.spec.name if store else "starter")
            # a published name is compared before its weights are read, which may take minutes
            if store and isinstance(wanted, str) and wanted != store.spec.name and not names_a_file(wanted):
                raise EncoderMismatchError(
                    f"{self.uri} holds vectors of {store.spec.name}, not of {wanted}; their vectors do not compare. "
                    f"Use --encoder {store.spec.name}, or index into another --db"
                )
            encoder = load_with_options(wanted, self._encoder_options) if isinstance(wanted, str) else wanted
            if store:
                store.require_encoder(encoder.spec)
            self._encoder = encoder
        return self._encoder

    @property
    def store(self) -> Store:
        """The tables, as they are now; for what the API has no call for.

        Raises:
            MissingDatabaseError: there is no database.
        """
        return self._open()

    def release(self) -> None:
        """Close the tables until the next call, so that an idle database keeps no replaced index open.

        The indexes that were last searched stay open, a file or two each, while a `Database` of the address is left.
        """
        if self._store is not None:
            self._store.release()

    def _open(self) -> Store:
        if self._store is None:
            self._store = Store.open(self.uri)
            return self._store
        try:
            self._store.refresh()
        except MissingDatabaseError:
            self._store = None  # a new database at this address may have another encoder
            raise
        return self._store

    def _open_if_exists(self) -> Store | None:
        try:
            return self._open()
        except MissingDatabaseError:
            return None

    def _calibration(self, store: Store) -> RelevanceCalibration:
        """What cosines mean in this state of the database, sampled once for each."""
        state = name_snapshot(store)
        if self._cached_calibration is None or self._cached_calibration[0] != state:
            self._cached_calibration = (state, RelevanceCalibration.sample(store))
        return self._cached_calibration[1]
