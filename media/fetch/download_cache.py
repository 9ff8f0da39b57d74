"""What was fetched over http(s), kept on disk: bounded in bytes, shared by processes, never trusted unchecked.

    DIR/index.sqlite      addresses: url -> version (ETag, Last-Modified), digest; files: digest -> size, last use
    DIR/files/ab/abcd…    the bytes, named by their BLAKE2b digest, so that one picture at many addresses is kept once

A kept file is used only after its server has said that it has not changed (304), and only if its bytes still
have its digest. The index changes in SQLite transactions and files come by renaming, so that several processes may
share a folder; it must be on a local disk, since SQLite's locks do not hold on every network file system.
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
    """The cache in the policy's folder, or None where it names none.

    Raises:
        StoreError: the folder cannot be used.
    """
    return None if policy.cache_dir is None else _opened(Path(policy.cache_dir).absolute(), policy.cache_bytes)


class MediaCache:
    """A folder of fetched files; several threads and processes may use it at once.

    Trouble with a kept file, or with keeping one, costs nothing but another download.

    Args:
        folder: made where there is none.
        max_bytes: of the kept files together; those not used for longest go first.

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
                f"media cannot be kept in {folder} ({error}); empty it, or name another folder with --media-cache"
            ) from error

    @property
    def size(self) -> int:
        """Bytes of the files in it."""
        with self._index("DEFERRED") as index:
            return int(index.execute("SELECT bytes FROM total").fetchone()[0])

    def download(
        self, url: str, into: IO[bytes], policy: MediaPolicy, *, limit: int, check_head: Callable[[bytes], None]
    ) -> DownloadedFile:
        """As `download.download`, from the kept file where the server says that it has not changed."""
        version, digest = self._cached_version(url)
        received = download(url, into, policy, limit=limit, check_head=check_head, known=version)
        if received is None:
            if version is not None and self._copy_cached(digest, into, url, limit, check_head):
                return DownloadedFile(version, cacheable=True)
            received = download(url, into, policy, limit=limit, check_head=check_head)
            assert received is not None  # nothing was known
        if received.cacheable and received.version.conditions:
            with contextlib.suppress(OSError, sqlite3.Error):  # a full disk, say
                self._store(url, received.version, into)
        return received

    def _cached_version(self, url: str) -> tuple[Version | None, str]:
        with contextlib.suppress(sqlite3.Error), self._index("DEFERRED") as index:
            found = index.execute("SELECT etag, last_modified, digest FROM addresses WHERE url = ?", [url]).fetchone()
            if found:
                return Version(found[0], found[1]), found[2]
        return None, ""

    def _copy_cached(
        self, digest: str, into: IO[bytes], url: str, limit: int, check_head: Callable[[bytes], None]
    ) -> bool:
        """Copy a kept file, unless it is not there or not what it was; then it is forgotten."""
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
            with self._index() as index:  # the file comes within the transaction, so that no other one evicts it
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
        """Make room: down to nine tenths, so that not every new file has to."""
        (total,) = index.execute("SELECT bytes FROM total").fetchone()
        if total <= self.max_bytes:
            return
        # the newest stays, even where it takes more than nine tenths
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
        """The index within one transaction, deferred for reading; a connection each, since threads cannot share one."""
        index = sqlite3.connect(self.folder / "index.sqlite", timeout=_LOCK_WAIT_S, isolation_level=None)
        with contextlib.closing(index):
            index.execute("PRAGMA synchronous = OFF")  # what a power cut damages is found by its digest
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
