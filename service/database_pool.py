"""Open databases of one process: one for each reading thread, one each for slates, writes and maps.

A `Database` is not thread-safe, and an encoder is too large to load more than once: `shared_encoders.py` keeps them.
After a switch, a database gets the encoder in force at its next request; a request that has begun ends as it began.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from queue import Empty, LifoQueue
from typing import Final

import firstsight
from firstsight import Database
from firstsight.database import follow_encoders, release_tables
from firstsight.encoders.base import Encoder
from firstsight.errors import DatabaseBusyError, FirstsightError, StoreError
from firstsight.service.batching.batching_encoder import BatchingEncoder
from firstsight.service.metrics import Metrics
from firstsight.service.service_errors import OverloadedError
from firstsight.service.service_settings import ServiceSettings
from firstsight.service.shared_encoders import SharedEncoders, warm_up

MAX_WAITING_THREADS: Final = 31
"""Maximum threads that wait to write; the same limit holds for slates."""


class _SharedDatabase:
    """A database that threads use in turn.

    Args:
        max_waiting: maximum threads that wait for it. Further ones get an error at once, so searches find a thread.
    """

    def __init__(self, max_waiting: int) -> None:
        self.lock = threading.Lock()
        self.places = threading.BoundedSemaphore(max_waiting + 1)  # waiting threads, and the one that has it
        self.database: Database | None = None


class DatabasePool:
    """Hands out databases of one address, each to one thread at a time; each sees the commits of the others.

    Args:
        settings: address, encoder and limits.
        metrics: counts the time in the encoder and in the store.
    """

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        # requests may not name files of this machine, whatever the settings allow for catalogues
        self._policy = replace(settings.policy, root=None, allow_anywhere=False)
        self._encoders = SharedEncoders(settings, metrics)
        self._warm = False
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
        """The shared encoder in force, which is thread-safe; loaded at the first use.

        Raises:
            EncoderError: the encoder cannot be loaded.
            EncoderMismatchError: the encoder is not the one of the database.
        """
        return self._encoders.current().timed

    @property
    def batching(self) -> BatchingEncoder:
        """The shared encoder for asynchronous code: it takes work without waiting.

        Raises:
            EncoderError: the encoder cannot be loaded.
            EncoderMismatchError: the encoder is not the one of the database.
        """
        return self._encoders.current().batching

    @property
    def knows_encoder(self) -> bool:
        """Whether `encoder` and `batching` answer at once."""
        return self._warm and self._encoders.is_fresh

    @property
    def warm(self) -> bool:
        """Whether `warm_up` has finished."""
        return self._warm

    def warm_up(self) -> None:
        """Load the encoder and run both its towers once.

        Raises:
            EncoderError: the encoder cannot be loaded.
            EncoderMismatchError: the encoder is not the one of the database.
        """
        warm_up(self.encoder)
        self._warm = True

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """Give this thread a database for reading, until the block ends.

        Raises:
            OverloadedError: no database came free within `max_wait_s`.
        """
        try:
            held = self._free.get(timeout=self._settings.max_wait_s)
        except Empty:
            raise OverloadedError("every reading thread is busy; try again", {"Retry-After": "1"}) from None
        reusable: Database | None = None
        try:
            with self._timed():
                database = held or self._open()
                yield database
            self._encoders.note(database)
            reusable = database
        except StoreError:
            raise
        except FirstsightError:  # an error of the request, not of the database
            reusable = database
            raise
        finally:
            if reusable is not None:
                release_tables(reusable)
            self._free.put(reusable)

    def slates(self) -> AbstractContextManager[Database]:
        """Give one thread at a time the database for slates, which holds all items in memory.

        Raises:
            OverloadedError: too many threads wait, or it did not come free within `max_wait_s`.
        """
        return self._take_shared(self._for_slates)

    def writing(self) -> AbstractContextManager[Database]:
        """Give one thread at a time the database for writing.

        Raises:
            OverloadedError: too many threads wait, or it did not come free within `max_wait_s`.
        """
        return self._take_shared(self._for_writing)

    def maps(self) -> AbstractContextManager[Database]:
        """Give one thread at a time the database for maps, which can take minutes.

        Raises:
            OverloadedError: too many threads wait, or it did not come free within `max_wait_s`.
        """
        return self._take_shared(self._for_maps)

    def close(self) -> None:
        """Let the encoder finish the queued work, then stop it."""
        self._encoders.close()

    # ---- inside

    @contextmanager
    def _take_shared(self, shared: _SharedDatabase) -> Iterator[Database]:
        busy = OverloadedError("other requests of this kind take too long; try again", {"Retry-After": "1"})
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
            self._encoders.note(shared.database)
        except DatabaseBusyError:
            raise
        except StoreError:
            shared.database = None
            raise
        except FirstsightError:  # an error of the request, not of the database
            raise
        except BaseException:
            shared.database = None
            raise
        finally:
            if shared.database is not None:
                release_tables(shared.database)
            shared.lock.release()
            shared.places.release()

    def _open(self) -> Database:
        encoder = self._encoders.current().timed
        database = firstsight.open(self._settings.db, encoder=encoder, policy=self._policy)
        follow_encoders(database, self._encoders.named)
        return database

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the seconds of a block in the metrics, without the time that its thread waited for the encoder."""
        began, waited = time.perf_counter(), self._encoders.waited_s
        try:
            yield
        finally:
            seconds = time.perf_counter() - began - (self._encoders.waited_s - waited)
            self._metrics.store_seconds.observe(seconds)
