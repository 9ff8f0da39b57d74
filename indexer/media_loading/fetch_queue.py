"""A queue of remote media, with limits on fetches at once, fetches per host and buffered bytes."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class BufferedBytes:
    """Bytes of fetched media that wait for decoding."""

    memory: int = 0
    disk: int = 0


class FetchQueue(Generic[T]):
    """Fetches media in threads, host by host in turn, so that a slow host holds only its own share.

    Args:
        fetch: fetches a medium and returns its buffered bytes; called in the queue's threads, and must not raise.
        at_once: maximum number of fetches at once.
        per_host: maximum number of fetches at once from one host.
        ahead: buffered bytes at which the queue starts no new fetch; running fetches may exceed it.
    """

    def __init__(
        self, fetch: Callable[[T], BufferedBytes], *, at_once: int, per_host: int, ahead: BufferedBytes
    ) -> None:
        self._fetch = fetch
        self._at_once = at_once
        self._per_host = per_host
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(at_once, "firstsight-fetch")
        self._lock = threading.Lock()  # guards all attributes below
        self._waiting: dict[str, deque[T]] = {}  # by host, in the order of their turns
        self._running: Counter[str] = Counter()  # by host
        self._memory = 0
        self._disk = 0
        self._closed = False

    def put(self, medium: T, host: str) -> None:
        """Add a medium to the queue of its host."""
        with self._lock:
            self._waiting.setdefault(host, deque()).append(medium)
            self._begin()

    def release(self, buffered: BufferedBytes) -> None:
        """Free the bytes of a decoded medium."""
        self._count(-buffered.memory, -buffered.disk)

    def close(self, *, wait: bool) -> None:
        """Start no new fetch; running fetches end normally.

        Args:
            wait: wait for the running fetches.
        """
        with self._lock:
            self._closed = True
            self._waiting.clear()
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _begin(self) -> None:
        """Start fetches up to the limits; the caller holds the lock."""
        while (
            not self._closed
            and self._running.total() < self._at_once
            and self._memory < self._ahead.memory
            and self._disk < self._ahead.disk
        ):
            host = next((host for host in self._waiting if self._running[host] < self._per_host), None)
            if host is None:
                return
            media = self._waiting.pop(host)
            medium = media.popleft()
            if media:
                self._waiting[host] = media  # at the end: the other hosts come first
            self._running[host] += 1
            self._pool.submit(self._run, medium, host)

    def _run(self, medium: T, host: str) -> None:
        buffered = self._fetch(medium)
        with self._lock:
            self._running[host] -= 1
            if not self._running[host]:
                del self._running[host]
        self._count(buffered.memory, buffered.disk)

    def _count(self, memory: int, disk: int) -> None:
        with self._lock:
            self._memory += memory
            self._disk += disk
            self._begin()
