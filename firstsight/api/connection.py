"""The connection to a database that all parts of the API share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from firstsight.encoders.base import Encoder
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.reduced.reduced_encoder import ReducedEncoder, wrap_for_database
from firstsight.encoders.registry import load_with_options, names_a_file
from firstsight.errors import EncoderError, EncoderMismatchError, MissingDatabaseError, StoreError
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.ranking.relevance import RelevanceCalibration
from firstsight.retrieval.reranker_store import RerankerShelf
from firstsight.storage.snapshots import name_snapshot
from firstsight.storage.store import Store
from firstsight.storage.vector_format import VectorFormat
from firstsight.vectors import EncoderSpec

_MAX_ENCODERS = 3
"""Encoders that a connection keeps: those of both vector sets, and one that is being tried."""

FIT_WAIT_S = 60.0
"""Default wait, in seconds, for another writer before a fitted model is stored; a timeout would lose the fit."""


class FollowedEncoders(NamedTuple):
    """The encoders of a database, as the last call has seen them."""

    fingerprint: str  # of the one in force
    next: str  # name of the ready one that a switch would put in force; empty without one


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
        self._store: Store | None = None
        self._encoder: Encoder | None = None
        self._encoders: dict[str, Encoder] = {}  # by fingerprint: those of the vector sets
        self.load_named: Callable[[str], Encoder] = lambda name: load_with_options(name, encoder_options)
        self.follows = False  # ignore the requested encoder once the database has a second one
        self._cached_calibration: tuple[str, RelevanceCalibration] | None = None
        self._closed = False

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded at first use: the requested one, else the database's own, else `starter`.

        After a switch of the database to another encoder, it is that one.

        Raises:
            EncoderError: the encoder cannot be loaded.
            EncoderMismatchError: the database holds another encoder's vectors.
        """
        if self._encoder is None:
            store = self.open_if_exists()
            if store and store.sets is not None and self.follows:
                self._encoder = self.encoder_of(store.spec)
                return self._encoder
            requested = self._requested_encoder or (store.spec.name if store else "starter")
            # compare a published name before loading its weights, which may take minutes
            if store and isinstance(requested, str) and requested != store.spec.name and not names_a_file(requested):
                raise EncoderMismatchError(
                    f"{self.uri} holds vectors of {store.spec.name}, not of {requested}; their vectors do not compare. "
                    f"Use --encoder {store.spec.name}, or index into another --db"
                )
            encoder = self.load_named(requested) if isinstance(requested, str) else requested
            if store:
                encoder = wrap_for_database(store, store.spec, encoder)
                store.require_encoder(encoder.spec)
            self._encoder = encoder
            self.keep_encoder(encoder)
        elif self._store is not None and self._store.sets is not None:  # another encoder may be in force by now
            # not refreshed: within one call, the encoder is that of the rows which the call has opened
            self._encoder = self.encoder_of(self._store.spec)
        return self._encoder

    def encoder_of(self, spec: EncoderSpec) -> Encoder:
        """The encoder that made the vectors of a set, loaded by its name at first use.

        Raises:
            EncoderError: the encoder cannot be loaded, or its name stands for another version by now.
        """
        known = self._encoders.get(spec.fingerprint) or self._made_of_loaded(spec)
        if known is not None:
            return known
        encoder = self.load_named(spec.name)
        if self._store is not None:
            encoder = wrap_for_database(self._store, spec, encoder)
        if encoder.spec.fingerprint != spec.fingerprint:
            raise EncoderError(
                f"{self.uri} has vectors of {spec.name} {spec.fingerprint[:12]}, but this name stands for "
                f"{encoder.spec.fingerprint[:12]} now; restore the files of the encoder"
            )
        self.keep_encoder(encoder)
        return encoder

    def _made_of_loaded(self, spec: EncoderSpec) -> Encoder | None:
        """A loaded encoder with or without the matrix of the database, so that no model is loaded twice."""
        for loaded in list(self._encoders.values()):
            whole = loaded.whole if isinstance(loaded, ReducedEncoder) else loaded
            if whole.spec.name == spec.name and self._store is not None:
                found = wrap_for_database(self._store, spec, whole)
                if found.spec.fingerprint == spec.fingerprint:
                    self.keep_encoder(found)
                    return found
        return None

    def followed_encoders(self) -> FollowedEncoders | None:
        """The encoders at the last call, without a refresh; None before the first one."""
        store = self._store
        if store is None:
            return None
        standby = None if store.sets is None else store.sets.standby
        ready = standby is not None and standby.state == "ready"
        return FollowedEncoders(store.spec.fingerprint, standby.encoder if standby is not None and ready else "")

    def keep_encoder(self, encoder: Encoder) -> None:
        """Keep a loaded encoder for the vectors that it has made, or will make."""
        while len(self._encoders) >= _MAX_ENCODERS and encoder.spec.fingerprint not in self._encoders:
            del self._encoders[next(iter(self._encoders))]
        self._encoders[encoder.spec.fingerprint] = encoder

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

    def create(self, vectors: VectorFormat | None = None, encoder: ReducedEncoder | None = None) -> Store:
        """The tables; a missing database is created for the encoder.

        Args:
            vectors: storage format of the vectors of a new database, float32 by default.
            encoder: the encoder with fewer dimensions that a new database is for, if its matrix is stored.
        """
        if encoder is not None:
            self._encoder = encoder
            self.keep_encoder(encoder)
        self._store = self.open_if_exists() or Store.create(self.uri, self.encoder.spec, vectors)
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
        self._encoders.clear()

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


class SetConnection(Connection):
    """A connection to the vectors of one encoder, whichever is in force; it reads only.

    Args:
        connection: to the database; it has the encoders.
        number: of the vector set.
    """

    def __init__(self, connection: Connection, number: int) -> None:
        super().__init__(connection.uri, None, EncoderOptions(), connection.policy)
        self._base = connection
        self._number = number

    def open(self) -> Store:
        """The tables of the set; errors as for a connection."""
        if self._store is None:
            self._store = self._base.open().of_set(self._number)
        return self._store

    @property
    def encoder(self) -> Encoder:
        """The encoder of the set; EncoderError: it cannot be loaded."""
        return self._base.encoder_of(self.open().spec)
