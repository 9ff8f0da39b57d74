"""The databases of one process: a `Database` for each thread that reads, one for slates, one encoder for all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, LifoQueue

import firstsight
from firstsight.database import Database
from firstsight.encoders.base import Encoder
from firstsight.errors import FirstsightError, StoreError
from firstsight.service.errors import OverloadedError
from firstsight.service.settings import ServiceSettings
from firstsight.service.turns import TurnTakingEncoder


class Databases:
    """Hands out databases of the same address, each to one thread at a time; all see what others have committed.

    Args:
        share: what makes an encoder fit for several threads; taking turns by default.
    """

    def __init__(self, settings: ServiceSettings, share: Callable[[Encoder], Encoder] = TurnTakingEncoder) -> None:
        self._settings = settings
        self._share = share
        self._encoder: Encoder | None = None
        self._loading = threading.Lock()
        self._free: LifoQueue[Database | None] = LifoQueue()
        for _ in range(settings.threads):
            self._free.put(None)
        self._alone = threading.Lock()
        self._one: Database | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoder of all of them, for any number of threads; loaded once, at the first call that needs it.

        Raises:
            EncoderError, EncoderMismatchError: as `Database.encoder`.
        """
        with self._loading:
            if self._encoder is None:
                settings = self._settings
                loaded = firstsight.open(
                    settings.db, encoder=settings.encoder, encoder_options=settings.encoder_options
                ).encoder
                self._encoder = self._share(loaded)
            return self._encoder

    @property
    def loaded(self) -> bool:
        """Whether the encoder is there."""
        return self._encoder is not None

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
        kept = held
        try:
            kept = held or self._open()
            yield kept
        except FirstsightError as error:
            kept = None if isinstance(error, StoreError) else kept
            raise
        except BaseException:
            kept = None  # in what state it is, nobody knows
            raise
        finally:
            self._free.put(kept)

    @contextmanager
    def alone(self) -> Iterator[Database]:
        """The one database that holds all items in memory (slates) or that writes, for one thread at a time.

        Raises:
            OverloadedError: others had it for too long.
        """
        if not self._alone.acquire(timeout=self._settings.max_wait_s):
            raise OverloadedError("others make slates or write; try again", {"Retry-After": "1"})
        try:
            if self._one is None:
                self._one = self._open()
            yield self._one
        except FirstsightError as error:
            self._one = None if isinstance(error, StoreError) else self._one
            raise
        except BaseException:
            self._one = None
            raise
        finally:
            self._alone.release()

    def _open(self) -> Database:
        return firstsight.open(self._settings.db, encoder=self.encoder, policy=self._settings.policy)
