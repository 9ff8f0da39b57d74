"""The encoders that all databases of one process share: the one in force, and the one that a switch may bring."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final

from PIL import Image

import firstsight
from firstsight import Database
from firstsight.database import follow_encoders, open_tables, release_tables
from firstsight.encoders.base import Encoder
from firstsight.encoders.reduced.reduced_encoder import ReducedEncoder
from firstsight.encoders.registry import load_with_options
from firstsight.errors import FirstsightError, MissingDatabaseError
from firstsight.service.batching.batching_encoder import BatchingEncoder, time_limit
from firstsight.service.batching.encoder_timing import PassTimingEncoder, WaitTimingEncoder
from firstsight.service.batching.prometheus_batch_metrics import PrometheusBatchMetrics
from firstsight.service.metrics import Metrics
from firstsight.service.service_errors import LOG
from firstsight.service.service_settings import ServiceSettings

FRESH_S: Final = 1.0
"""Seconds for which the encoder in force counts as known, for requests that read no rows."""

WARM_UP_S: Final = 900.0


@dataclass(frozen=True)
class SharedEncoder:
    """A loaded encoder with its queues."""

    batching: BatchingEncoder
    timed: WaitTimingEncoder


class SharedEncoders:
    """Loads each encoder of a database once, and follows switches; thread-safe.

    A database with reduced vectors uses its encoder behind a matrix, and perhaps whole in its other set of vectors: two
    shared encoders over one model. Databases put the matrix behind an encoder themselves, so they get the whole one.

    Args:
        settings: address, encoder and limits.
        metrics: counts the time in the encoders.
    """

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._loading = threading.Lock()
        self._whole: dict[str, Encoder] = {}  # by name, without queues
        self._loaded: dict[str, SharedEncoder] = {}  # by fingerprint
        self._in_force = ""  # its fingerprint
        self._checking = threading.Lock()
        self._checked_at = 0.0
        self._probe: Database | None = None  # guarded by _checking
        self._preloading: set[str] = set()

    @property
    def is_fresh(self) -> bool:
        """Whether `current` answers at once."""
        return self._in_force in self._loaded and time.monotonic() - self._checked_at < FRESH_S

    @property
    def waited_s(self) -> float:
        """Seconds that this thread has waited for vectors, in all its calls."""
        return sum(shared.timed.waited_s for shared in list(self._loaded.values()))

    def current(self) -> SharedEncoder:
        """The encoder in force, looked up at most once a second; loaded at the first use.

        Raises:
            EncoderError: the encoder cannot be loaded.
            EncoderMismatchError: the settings name another encoder than the one in force at the start.
            StoreError: the database cannot be read.
        """
        if self.is_fresh:
            return self._loaded[self._in_force]
        with self._checking:
            if self.is_fresh:
                return self._loaded[self._in_force]
            if self._in_force:
                self._look_up()
            else:
                self._load_first()
            self._checked_at = time.monotonic()
        return self._loaded[self._in_force]

    def named(self, name: str) -> Encoder:
        """The whole encoder of a name, loaded at its first use; databases call this when they follow a switch.

        Raises:
            EncoderError: the encoder cannot be loaded.
        """
        with self._loading:
            return self._share(self._load(name)).timed

    def note(self, database: Database) -> None:
        """Take over what a request has seen of the sets: which encoder is in force, and which may be next."""
        state = follow_encoders(database, self.named)
        if state is None:
            return
        if state.fingerprint in self._loaded:
            self._in_force = state.fingerprint
        if state.next and state.next not in self._whole and state.next not in self._preloading:
            self._preloading.add(state.next)
            threading.Thread(target=self._preload, args=(state.next,), daemon=True).start()

    def close(self) -> None:
        """Let the encoders finish the queued work, then stop them."""
        with self._loading:
            for shared in self._loaded.values():
                shared.batching.close()

    # ---- inside

    def _load_first(self) -> None:
        settings = self._settings
        database = firstsight.open(settings.db, encoder=settings.encoder, encoder_options=settings.encoder_options)
        loaded = database.encoder
        with self._loading:
            self._whole[loaded.spec.name] = loaded.whole if isinstance(loaded, ReducedEncoder) else loaded
            self._share(loaded)
        self._in_force = loaded.spec.fingerprint

    def _look_up(self) -> None:
        if self._probe is None:
            self._probe = firstsight.open(self._settings.db)
            follow_encoders(self._probe, self._load_alone)
        try:
            fingerprint = open_tables(self._probe).spec.fingerprint
            if fingerprint not in self._loaded:
                loaded = self._probe.encoder
                fingerprint = loaded.spec.fingerprint
                with self._loading:
                    self._share(loaded)
            self._in_force = fingerprint
        except MissingDatabaseError:
            return
        finally:
            release_tables(self._probe)

    def _preload(self, name: str) -> None:
        """Load the encoder that a switch may put in force, so that no search waits for it then."""
        try:
            warm_up(self.named(name))
        except FirstsightError as error:
            LOG.warning("the encoder %s, which is not in force, cannot be loaded: %s", name, error)

    def _load_alone(self, name: str) -> Encoder:
        with self._loading:
            return self._load(name)

    def _load(self, name: str) -> Encoder:
        if name not in self._whole:
            self._whole[name] = load_with_options(name, self._settings.encoder_options)
        return self._whole[name]

    def _share(self, encoder: Encoder) -> SharedEncoder:
        """The encoder with its queues; the caller holds the lock of loading."""
        key = encoder.spec.fingerprint
        if key not in self._loaded:
            batching = BatchingEncoder(
                PassTimingEncoder(encoder, self._metrics),
                self._settings.batching,
                PrometheusBatchMetrics(self._metrics),
            )
            self._loaded[key] = SharedEncoder(batching, WaitTimingEncoder(batching))
        return self._loaded[key]


def warm_up(encoder: Encoder) -> None:
    """Run both towers once: first passes compile the model, which takes longer than a request may.

    Raises:
        EncoderError: the encoder fails.
    """
    with time_limit(WARM_UP_S):
        encoder.encode_texts(["warm"])
        encoder.encode_images([Image.new("RGB", (64, 64), "white")])
