"""The databases of one process: one for each thread that reads, one for slates, one that writes, one encoder for all.

A `Database` is not for several threads at once, and an encoder is too large to be loaded for each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from queue import Empty, LifoQueue
from typing import Final

from PIL import Image

import firstsight
from firstsight import Database
from firstsight.encoders.base import Encoder
from firstsight.errors import DatabaseBusyError, FirstsightError, StoreError
from firstsight.service.batching.batching_encoder import BatchingEncoder, time_limit
from firstsight.service.batching.encoder_timing import PassTimingEncoder, WaitTimingEncoder
from firstsight.service.batching.prometheus_batch_metrics import PrometheusBatchMetrics
from firstsight.service.metrics import Metrics
from firstsight.service.service_errors import OverloadedError
from firstsight.service.service_settings import ServiceSettings

MAX_WAITING_THREADS: Final = 31
"""Threads that wait to write, and as many that wait for slates."""

_WARM_UP_S: Final = 900.0


class _SharedDatabase:
    """A database that threads take in turn.

    Args:
        max_waiting: threads that wait for it; more are sent away at once, so that those who search find one.
    """

    def __init__(self, max_waiting: int) -> None:
        self.lock = threading.Lock()
        self.places = threading.BoundedSemaphore(max_waiting + 1)  # of those who wait, and of the one who has it
        self.database: Database | None = None


class DatabasePool:
    """Hands out databases of the same address, each to one thread at a time; all see what others have committed.

    Args:
        metrics: told of the encoder and the store.
    """

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        # a request names no file of this machine, whatever the settings let a catalogue do
        self._policy = replace(settings.policy, root=None, allow_anywhere=False)
        self._batching: BatchingEncoder | None = None
        self._encoder: WaitTimingEncoder | None = None
        self._warm = False
        self._loading = threading.Lock()
        self._free: LifoQueue[Database | None] = LifoQueue()
        for _ in range(settings.threads):
            self._free.put(None)
        self._for_slates, self._for_writing, self._for_maps = (
            _SharedDatabase(MAX_WAITING_THREADS),
            _SharedDatabase(MAX_WAITING_THREADS),
            _SharedDatabase(1),
        )

    @property
    def encoder(self) -> Encoder:
        """The encoder of all of them, for any number of threads; loaded once, at the first call that needs it.

        Raises:
            EncoderError, EncoderMismatchError: as `Database.encoder`.
        """
        return self._load_encoder()

    @property
    def batching(self) -> BatchingEncoder:
        """The same, for what does not wait in a thread.

        Raises:
            EncoderError, EncoderMismatchError: as `Database.encoder`.
        """
        self._load_encoder()
        assert self._batching is not None
        return self._batching

    @property
    def warm(self) -> bool:
        """Whether `warm_up` has come to its end."""
        return self._warm

    def warm_up(self) -> None:
        """Load the encoder, both its towers.

        Raises:
            EncoderError, EncoderMismatchError: as `Database.encoder`.
        """
        encoder = self.encoder
        with time_limit(_WARM_UP_S):  # first passes compile the model, and take longer than requests may
            encoder.encode_texts(["warm"])
            encoder.encode_images([Image.new("RGB", (64, 64), "white")])
        self._warm = True

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """A database for this thread, until the block ends.

        Raises:
            OverloadedError: none came free in time.
        """
        try:
            held = self._free.get(timeout=self._settings.max_wait_s)
        except Empty:
            raise OverloadedError("every thread is at work; try again", {"Retry-After": "1"}) from None
        kept: Database | None = None
        try:
            with self._timed():
                database = held or self._open()
                yield database
            kept = database
        except StoreError:
            raise
        except FirstsightError:  # what was asked was wrong, not the database
            kept = database
            raise
        finally:
            if kept is not None:
                kept.release()
            self._free.put(kept)

    def slates(self) -> AbstractContextManager[Database]:
        """The one database that holds all items in memory, for one thread at a time.

        Raises:
            OverloadedError: others had it for too long.
        """
        return self._take_shared(self._for_slates)

    def writing(self) -> AbstractContextManager[Database]:
        """The one database that writes, for one thread at a time.

        Raises:
            OverloadedError: others had it for too long.
        """
        return self._take_shared(self._for_writing)

    def maps(self) -> AbstractContextManager[Database]:
        """The one database that maps are made of, for one thread at a time.

        Raises:
            OverloadedError: others had it for too long.
        """
        return self._take_shared(self._for_maps)

    def close(self) -> None:
        """Let the encoder finish what waits for it."""
        with self._loading:
            if self._batching is not None:
                self._batching.close()

    # ---- inside

    def _load_encoder(self) -> WaitTimingEncoder:
        with self._loading:
            if self._encoder is None:
                settings = self._settings
                loaded = firstsight.open(
                    settings.db, encoder=settings.encoder, encoder_options=settings.encoder_options
                ).encoder
                self._batching = BatchingEncoder(
                    PassTimingEncoder(loaded, self._metrics), settings.batching, PrometheusBatchMetrics(self._metrics)
                )
                self._encoder = WaitTimingEncoder(self._batching)
            return self._encoder

    @contextmanager
    def _take_shared(self, shared: _SharedDatabase) -> Iterator[Database]:
        busy = OverloadedError("others do the same and take long; try again", {"Retry-After": "1"})
        if not shared.places.acquire(blocking=False):
            raise busy
        if not shared.lock.acquire(timeout=self._settings.max_wait_s):
            shared.places.release()
            raise busy
        try:
            with self._timed():
                if shared.database is None:
                    shared.database = self._open()
                yield shared.database
        except DatabaseBusyError:
            raise
        except StoreError:
            shared.database = None
            raise
        except FirstsightError:  # what was asked was wrong, not the database
            raise
        except BaseException:
            shared.database = None
            raise
        finally:
            if shared.database is not None:
                shared.database.release()
            shared.lock.release()
            shared.places.release()

    def _open(self) -> Database:
        return firstsight.open(self._settings.db, encoder=self._load_encoder(), policy=self._policy)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Give the seconds of a block to the figures, less those that its thread waited for the encoder."""
        encoder = self._load_encoder()
        began, waited = time.perf_counter(), encoder.waited_s
        try:
            yield
        finally:
            self._metrics.store_seconds.observe(time.perf_counter() - began - (encoder.waited_s - waited))
