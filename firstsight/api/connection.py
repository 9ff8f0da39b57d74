"""The connection to a database that all parts of the API share."""

from __future__ import annotations

from firstsight.encoders.base import Encoder
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.registry import load_with_options, names_a_file
from firstsight.errors import EncoderMismatchError, MissingDatabaseError, StoreError
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.ranking.relevance import RelevanceCalibration
from firstsight.retrieval.reranker_store import RerankerShelf
from firstsight.storage.snapshots import name_snapshot
from firstsight.storage.store import Store

FIT_WAIT_S = 60.0
"""Default wait, in seconds, for another writer before a fitted model is stored; a timeout would lose the fit."""


class Connection:
    """The address of a database, its store and its encoder, opened at first use and shared by all parts of the API.

    Args:
        uri: folder or object-store address.
        encoder: name or encoder; None for the encoder of the database, or `starter` for a new one.
        encoder_options: runtime, device and threads of a named encoder.
        policy: rules and limits for fetching media.
    """

    def __init__(
        self, uri: str, encoder: str | Encoder | None, encoder_options: EncoderOptions, policy: MediaPolicy
    ) -> None:
        self.uri = uri
        self.policy = policy
        self.shelf = RerankerShelf(uri)
        self._requested_encoder = encoder
        self._encoder_options = encoder_options
        self._store: Store | None = None
        self._encoder: Encoder | None = None
        self._cached_calibration: tuple[str, RelevanceCalibration] | None = None
        self._closed = False

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded at first use: the requested one, else the database's own, else `starter`.

        Raises:
            EncoderError: the encoder cannot be loaded.
            EncoderMismatchError: the database holds another encoder's vectors.
        """
        if self._encoder is None:
            store = self.open_if_exists()
            requested = self._requested_encoder or (store.spec.name if store else "starter")
            # compare a published name before loading its weights, which may take minutes
            if store and isinstance(requested, str) and requested != store.spec.name and not names_a_file(requested):
                raise EncoderMismatchError(
                    f"{self.uri} holds vectors of {store.spec.name}, not of {requested}; their vectors do not compare. "
                    f"Use --encoder {store.spec.name}, or index into another --db"
                )
            encoder = load_with_options(requested, self._encoder_options) if isinstance(requested, str) else requested
            if store:
                store.require_encoder(encoder.spec)
            self._encoder = encoder
        return self._encoder

    def open(self) -> Store:
        """The tables at their newest version.

        Raises:
            MissingDatabaseError: there is no database.
            StoreError: the database cannot be read, or this connection was closed.
        """
        if self._closed:
            raise StoreError(f"{self.uri} was closed; open it again with firstsight.open")
        if self._store is None:
            self._store = Store.open(self.uri)
            return self._store
        try:
            self._store.refresh()
        except MissingDatabaseError:
            self._store = None  # a new database at this address may have another encoder
            raise
        return self._store

    def open_if_exists(self) -> Store | None:
        """The tables at their newest version, or None if there is no database."""
        try:
            return self.open()
        except MissingDatabaseError:
            return None

    def create(self) -> Store:
        """The tables; a missing database is created for the encoder."""
        self._store = self.open_if_exists() or Store.create(self.uri, self.encoder.spec)
        return self._store

    def release(self) -> None:
        """Close the tables until the next call, so that an idle database keeps no replaced index open.

        The last searched indexes stay open, with one or two files each, until all connections to this address are gone.
        """
        if self._store is not None:
            self._store.release()

    def close(self) -> None:
        """Close the tables for good, and forget the encoder."""
        self.release()
        self._closed = True
        self._store, self._encoder, self._cached_calibration = None, None, None

    def describe(self) -> str:
        """Where the database is, the number of its items and its encoder; nothing is loaded."""
        if self._closed:
            return f"{self.uri!r}, closed"
        try:
            store = self.open_if_exists()
            if store is None:
                return f"{self.uri!r}, no database yet"
            return f"{self.uri!r}, {store.items.count_rows():,} items, encoder {store.spec.name}"
        except StoreError as error:
            return f"{self.uri!r}, {error}"

    def calibration(self, store: Store) -> RelevanceCalibration:
        """The relevance calibration for the present rows, sampled once for each state of the database."""
        state = name_snapshot(store)
        if self._cached_calibration is None or self._cached_calibration[0] != state:
            self._cached_calibration = (state, RelevanceCalibration.sample(store))
        return self._cached_calibration[1]
