"""Which remote medium is fetched next: so many at once, so many from one host, so many bytes ahead."""

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
    """What fetched media take until they are decoded, in bytes."""

    memory: int = 0
    disk: int = 0


class FetchQueue(Generic[T]):
    """Fetches in threads, taking the hosts in turn, so that a slow one holds no more than its own share.

    Args:
        fetch: fetches one medium and says what that holds; called in threads of the queue's own, and raises
            nothing.
        at_once: fetches at once.
        per_host: of these, from one host.
        ahead: nothing more is begun while this much is buffered; what is under way then comes on top.
    """

    def __init__(
        self, fetch: Callable[[T], BufferedBytes], *, at_once: int, per_host: int, ahead: BufferedBytes
    ) -> None:
        self._fetch = fetch
        self._at_once = at_once
        self._per_host = per_host
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(at_once, "firstsight-fetch")
        self._lock = threading.Lock()  # over all that follows
        self._waiting: dict[str, deque[T]] = {}  # by host, the one whose turn it is first
        self._under_way: Counter[str] = Counter()  # by host
        self._memory = 0
        self._disk = 0
        self._closed = False

    def put(self, medium: T, host: str) -> None:
        """Have a medium fetched when its turn comes."""
        with self._lock:
            self._waiting.setdefault(host, deque()).append(medium)
            self._begin()

    def release(self, buffered: BufferedBytes) -> None:
        """A fetched medium was decoded: its bytes are free again."""
        self._count(-buffered.memory, -buffered.disk)

    def close(self, *, wait: bool) -> None:
        """Begin nothing more; those under way run to their end."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _begin(self) -> None:
        """Begin as many as may be; the caller holds the lock."""
        while (
            not self._closed
            and self._under_way.total() < self._at_once
            and self._memory < self._ahead.memory
            and self._disk < self._ahead.disk
        ):
            host = next((host for host in self._waiting if self._under_way[host] < self._per_host), None)
            if host is None:
                return
            media = self._waiting.pop(host)
            medium = media.popleft()
            if media:
                self._waiting[host] = media  # at the end: the others' turn
            self._under_way[host] += 1
            self._pool.submit(self._run, medium, host)

    def _run(self, medium: T, host: str) -> None:
        buffered = self._fetch(medium)
        with self._lock:
            self._under_way[host] -= 1
            if not self._under_way[host]:
                del self._under_way[host]
        self._count(buffered.memory, buffered.disk)

    def _count(self, memory: int, disk: int) -> None:
        with self._lock:
            self._memory += memory
            self._disk += disk
            self._begin()
