"""Disk cache of files fetched over http(s): limited in bytes, shared by processes, checked before each use.

    DIR/index.sqlite      addresses: url -> version (ETag, Last-Modified), digest; files: digest -> size, last use
    DIR/files/ab/abcd…    file contents, named by BLAKE2b digest: a picture with many addresses is stored once

A cached file is used only if the server answers "not modified" (304) and the bytes still match the digest. Several
processes may share a folder: the index changes in SQLite transactions, and files are added by renaming. The folder must
be on a local disk, because SQLite's locks fail on some network file systems.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Final, Literal

from firstsight.errors import StoreError
from firstsight.media.fetch.download import DownloadedFile, Version, download
from firstsight.media.policy import MediaPolicy, too_large_error

_CHUNK: Final = 1 << 20
_LOCK_WAIT_S: Final = 10.0
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS addresses (url TEXT PRIMARY KEY, etag TEXT NOT NULL, last_modified TEXT NOT NULL, "
    "digest TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS addresses_digest ON addresses (digest)",
    "CREATE TABLE IF NOT EXISTS files (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, used REAL NOT NULL) "
    "WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS files_used ON files (used)",
    "CREATE TABLE IF NOT EXISTS total (bytes INTEGER NOT NULL)",
    "INSERT INTO total SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM total)",
)


def open_cache(policy: MediaPolicy) -> MediaCache | None:
    """Open the cache in the policy's folder; None if the policy names no folder.

    Raises:
        StoreError: the folder cannot be used.
    """
    return None if policy.cache_dir is None else _opened(Path(policy.cache_dir).absolute(), policy.cache_bytes)


class MediaCache:
    """A folder of fetched files. Several threads and processes may use it at the same time.

    If a file cannot be read or stored, it is only downloaded again.

    Args:
        folder: created if it does not exist.
        max_bytes: maximum total size of the files; the least recently used are removed first.

    Raises:
        StoreError: the folder cannot be used.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        try:
            (folder / "files").mkdir(parents=True, exist_ok=True)
            with self._index() as index:
                for statement in _TABLES:
                    index.execute(statement)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"media cannot be cached in {folder} ({error}); empty it, or name another folder with --media-cache"
            ) from error

    @property
    def size(self) -> int:
        """Total size of the files in bytes."""
        with self._index("DEFERRED") as index:
            return int(index.execute("SELECT bytes FROM total").fetchone()[0])

    def download(
        self, url: str, into: IO[bytes], policy: MediaPolicy, *, limit: int, check_head: Callable[[bytes], None]
    ) -> DownloadedFile:
        """Download a file, or copy it from the cache if the server answers that it has not changed.

        Arguments and errors are those of `download.download`.
        """
        version, digest = self._cached_version(url)
        received = download(url, into, policy, limit=limit, check_head=check_head, known=version)
        if received is None:
            if version is not None and self._copy_cached(digest, into, url, limit, check_head):
                return DownloadedFile(version, cacheable=True)
            received = download(url, into, policy, limit=limit, check_head=check_head)
            assert received is not None  # only None if `known` is given
        if received.cacheable and received.version.conditions:
            with contextlib.suppress(OSError, sqlite3.Error):  # for example a full disk
                self._store(url, received.version, into)
        return received

    def _cached_version(self, url: str) -> tuple[Version | None, str]:
        with contextlib.suppress(sqlite3.Error), self._index("DEFERRED") as index:
            row = index.execute("SELECT etag, last_modified, digest FROM addresses WHERE url = ?", [url]).fetchone()
            if row:
                return Version(row[0], row[1]), row[2]
        return None, ""

    def _copy_cached(
        self, digest: str, into: IO[bytes], url: str, limit: int, check_head: Callable[[bytes], None]
    ) -> bool:
        """Copy a cached file to `into`. If it is missing or damaged, remove it from the cache and return False."""
        hashed = _hasher()
        try:
            with self._path(digest).open("rb") as kept:
                if os.fstat(kept.fileno()).st_size > limit:
                    raise too_large_error(url, limit)
                check_head(kept.read(1024))
                kept.seek(0)
                for chunk in _chunks(kept):
                    hashed.update(chunk)
                    into.write(chunk)
            if hashed.hexdigest() == digest:
                with contextlib.suppress(sqlite3.Error), self._index() as index:
                    index.execute("UPDATE files SET used = ? WHERE digest = ?", [time.time(), digest])
                return True
        except OSError:
            pass
        into.seek(0)
        into.truncate()
        with contextlib.suppress(OSError, sqlite3.Error), self._index() as index:
            self._remove(index, digest)
        return False

    def _store(self, url: str, version: Version, file: IO[bytes]) -> None:
        size = file.seek(0, os.SEEK_END)
        if size > self.max_bytes:
            return
        hashed = _hasher()
        file.seek(0)
        descriptor, copy = tempfile.mkstemp(prefix="new-", dir=self.folder / "files")
        try:
            with os.fdopen(descriptor, "wb") as new:
                for chunk in _chunks(file):
                    hashed.update(chunk)
                    new.write(chunk)
            digest = hashed.hexdigest()
            with self._index() as index:  # the file is renamed within the transaction, so no other process can evict it
                before = index.execute("SELECT digest FROM addresses WHERE url = ?", [url]).fetchone()
                new_file = index.execute("INSERT OR IGNORE INTO files VALUES (?, ?, 0)", [digest, size]).rowcount
                index.execute("UPDATE total SET bytes = bytes + ?", [size * new_file])
                index.execute("UPDATE files SET used = ? WHERE digest = ?", [time.time(), digest])
                index.execute(
                    "INSERT OR REPLACE INTO addresses VALUES (?, ?, ?, ?)",
                    [url, version.etag, version.last_modified, digest],
                )
                if before and not index.execute("SELECT 1 FROM addresses WHERE digest = ?", before).fetchone():
                    self._remove(index, before[0])
                self._path(digest).parent.mkdir(exist_ok=True)
                os.replace(copy, self._path(digest))
                self._evict(index)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(copy)
            raise

    def _evict(self, index: sqlite3.Connection) -> None:
        """Remove old files down to nine tenths of the limit, so that not every new file causes an eviction."""
        (total,) = index.execute("SELECT bytes FROM total").fetchone()
        if total <= self.max_bytes:
            return
        # keep the newest file, even if it is larger than nine tenths of the limit
        oldest = index.execute("SELECT digest, size FROM files ORDER BY used").fetchall()[:-1]
        for digest, size in oldest:
            self._remove(index, digest)
            total -= size
            if total <= self.max_bytes * 0.9:
                return

    def _remove(self, index: sqlite3.Connection, digest: str) -> None:
        self._path(digest).unlink(missing_ok=True)
        index.execute(
            "UPDATE total SET bytes = bytes - coalesce((SELECT size FROM files WHERE digest = ?), 0)", [digest]
        )
        index.execute("DELETE FROM files WHERE digest = ?", [digest])
        index.execute("DELETE FROM addresses WHERE digest = ?", [digest])

    def _path(self, digest: str) -> Path:
        return self.folder / "files" / digest[:2] / digest

    @contextlib.contextmanager
    def _index(self, begin: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """One transaction on the index: DEFERRED to read. Each has its own connection: threads cannot share one."""
        index = sqlite3.connect(self.folder / "index.sqlite", timeout=_LOCK_WAIT_S, isolation_level=None)
        with contextlib.closing(index):
            index.execute("PRAGMA synchronous = OFF")  # the digest reveals damage by a power cut
            index.execute(f"BEGIN {begin}")
            try:
                yield index
            except BaseException:
                index.execute("ROLLBACK")
                raise
            index.execute("COMMIT")


@lru_cache(maxsize=8)
def _opened(folder: Path, max_bytes: int) -> MediaCache:
    return MediaCache(folder, max_bytes)


def _hasher() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=20)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
