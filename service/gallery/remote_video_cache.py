"""Disk cache of remote videos: a page that shows ten frames of a video and plays it fetches the video once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from firstsight.errors import MediaError
from firstsight.media.fetch.addresses import host_of
from firstsight.media.fetch.fetched_media import FetchedMedium, fetch
from firstsight.media.policy import MediaPolicy

REMOTE_VIDEO_CACHE_BYTES = 2 * 2**30
"""Maximum disk space of the copies; the least recently used are removed first."""


@dataclass
class _Copy:
    ready: threading.Event = field(default_factory=threading.Event)
    fetched: FetchedMedium | None = None
    error: MediaError | None = None
    holders: int = 0


class RemoteVideoCache:
    """Thread-safe cache of remote videos; each is fetched once. Local videos are used in place.

    Args:
        max_bytes: maximum bytes of all copies. Copies in use are never removed, so the cache can exceed it for a time.
    """

    def __init__(self, max_bytes: int = REMOTE_VIDEO_CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, uri: str, policy: MediaPolicy) -> Iterator[Path]:
        """Give the path of a video's file, which exists until the block ends.

        Raises:
            MediaError: the video cannot be fetched, or the policy forbids it. The next call tries again.
        """
        if host_of(uri) is None:
            with fetch(uri, policy, "video") as local:
                yield local.path()
            return
        copy = self._acquire(uri, policy)
        try:
            assert copy.fetched is not None
            yield copy.fetched.path()
        finally:
            with self._lock:
                copy.holders -= 1
                self._evict()

    def close(self) -> None:
        """Remove every copy."""
        with self._lock:
            copies = list(self._copies.values())
            self._copies.clear()
        for copy in copies:
            if copy.fetched is not None:
                copy.fetched.close()

    def _acquire(self, uri: str, policy: MediaPolicy) -> _Copy:
        with self._lock:
            copy = self._copies.get(uri)
            first = copy is None
            if copy is None:
                copy = self._copies[uri] = _Copy()
            copy.holders += 1
            self._copies.move_to_end(uri)
        if first:
            self._fetch(uri, policy, copy)
        copy.ready.wait()
        if copy.fetched is None:
            assert copy.error is not None
            raise MediaError(copy.error.reason, str(copy.error))
        return copy

    def _fetch(self, uri: str, policy: MediaPolicy, copy: _Copy) -> None:
        try:
            copy.fetched = fetch(uri, policy, "video")
        except BaseException as error:
            # threads that wait get this error; the next call tries again
            copy.error = (
                error if isinstance(error, MediaError) else MediaError("unreachable", f"{uri} could not be fetched")
            )
            with self._lock:
                if self._copies.get(uri) is copy:
                    del self._copies[uri]
            raise
        finally:
            copy.ready.set()

    def _evict(self) -> None:
        used = sum(copy.fetched.disk_bytes for copy in self._copies.values() if copy.fetched)
        for uri, copy in list(self._copies.items()):
            if used <= self._max_bytes:
                return
            if copy.holders == 0 and copy.fetched is not None:
                used -= copy.fetched.disk_bytes
                copy.fetched.close()
                del self._copies[uri]
