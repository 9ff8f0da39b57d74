"""Fetching of media to this machine: from local files, http(s) servers and object stores, as the policy allows.

http(s) addresses reach public servers only (`network_guard`), within limits of time and bytes. Failures that may pass
are tried again (`download`). A folder named by the policy keeps the files (`download_cache`). Object stores are read
through fsspec, with the credentials of the user who runs the process (`object_store`).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Final

from firstsight.errors import MediaError
from firstsight.media.fetch.addresses import OBJECT_STORES, resolve, scheme_of
from firstsight.media.fetch.object_store import fetch_object
from firstsight.media.file_formats import ANIMATION_FORMATS, PICTURE_FORMATS, VIDEO_FORMATS, MediaKind, sniff
from firstsight.media.local_files import open_regular
from firstsight.media.policy import MediaPolicy, too_large_error

SPOOL_BYTES: Final = 4 * 2**20
"""A remote picture above this size waits on disk for its decoder, not in memory."""


class FetchedMedium:
    """A medium at hand: bytes or a local file, until it is closed. Used by one thread at a time."""

    def __init__(
        self,
        uri: str,
        limit: int,
        *,
        path: Path | None = None,
        file: IO[bytes] | None = None,
        folder: tempfile.TemporaryDirectory[str] | None = None,
        copied: int = 0,
        version: str = "",
    ) -> None:
        self._uri = uri
        self._limit = limit
        self._path = path
        self._file = file
        self._folder = folder
        self._copied = copied
        self.version = version
        """What its server says to tell this version of it by; empty for a local file and where it says nothing."""

    def __enter__(self) -> FetchedMedium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def memory_bytes(self) -> int:
        """Memory it takes while it waits for its decoder; 0 where it waits on disk."""
        return self._copied if self._file is not None and self._copied <= SPOOL_BYTES else 0

    @property
    def disk_bytes(self) -> int:
        """Disk that its copy takes until it is closed."""
        return self._copied - self.memory_bytes

    def read(self) -> bytes:
        """All its bytes.

        Raises:
            MediaError: for a local file, "missing", "forbidden" or "too_large".
        """
        if self._file is not None:
            self._file.seek(0)
            return self._file.read()
        assert self._path is not None
        with open_regular(self._path) as file:
            _check_size(os.fstat(file.fileno()).st_size, self._uri, self._limit)
            data = file.read(self._limit + 1)  # bounded even if the file grows meanwhile
        _check_size(len(data), self._uri, self._limit)
        return data

    def path(self) -> Path:
        """A file with its bytes: a local one's own, else a copy that closing removes.

        Raises:
            MediaError: "too_large" for a local file.
        """
        assert self._path is not None
        _check_size(self._path.stat().st_size, self._uri, self._limit)
        return self._path

    def close(self) -> None:
        """Remove what was made for it."""
        if self._file is not None:
            self._file.close()
        if self._folder is not None:
            self._folder.cleanup()


def fetch(uri: str, policy: MediaPolicy, kind: MediaKind) -> FetchedMedium:
    """Bring a medium here; a local file stays where it is and is read when asked for.

    Args:
        kind: which limit holds; a video is a file, a picture stays in memory as long as it is small.

    Raises:
        MediaError: "missing", "forbidden", "unreachable", "timeout", "too_large" or "unsupported"; the
            message names the address.
    """
    limit = policy.max_picture_bytes if kind == "picture" else policy.max_video_bytes
    found = resolve(uri, policy)
    if isinstance(found, Path):
        return FetchedMedium(uri, limit, path=found)
    if kind == "picture":
        file = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115  # FetchedMedium closes it
        try:
            version = _fetch_into(file, uri, policy, limit, kind)
            return FetchedMedium(uri, limit, file=file, copied=file.seek(0, os.SEEK_END), version=version)
        except BaseException:
            file.close()
            raise
    suffix = PurePosixPath(re.split("[?#]", uri, maxsplit=1)[0]).suffix  # urlsplit refuses what fetching explains
    name = "video" + (suffix if re.fullmatch(r"\.\w{1,8}", suffix, re.ASCII) else "")
    folder = tempfile.TemporaryDirectory(prefix="firstsight-")
    try:
        with Path(folder.name, name).open("w+b") as copy:
            version = _fetch_into(copy, uri, policy, limit, kind)
            copied = copy.seek(0, os.SEEK_END)
        return FetchedMedium(uri, limit, path=Path(folder.name, name), folder=folder, copied=copied, version=version)
    except BaseException:
        folder.cleanup()
        raise


def require_cache(policy: MediaPolicy) -> None:
    """Make sure that fetched media can be kept where the policy says, before a run that would find out late.

    Raises:
        StoreError: the folder cannot be used.
    """
    if policy.cache_dir is not None:
        from firstsight.media.fetch.download_cache import open_cache

        open_cache(policy)


def fetch_bytes(uri: str, policy: MediaPolicy) -> bytes:
    """Read a whole picture file; errors are those of `fetch`."""
    with fetch(uri, policy, "picture") as fetched:
        return fetched.read()


@contextmanager
def fetch_file(uri: str, policy: MediaPolicy) -> Iterator[Path]:
    """Give the path of a video file: a local file's own, else that of a copy, removed at the end.

    Raises:
        MediaError: as `fetch`.
    """
    with fetch(uri, policy, "video") as fetched:
        yield fetched.path()


def _fetch_into(file: IO[bytes], uri: str, policy: MediaPolicy, limit: int, kind: MediaKind) -> str:
    """Write a remote file; returns its version."""
    if scheme_of(uri) in OBJECT_STORES:
        return fetch_object(uri, OBJECT_STORES[scheme_of(uri) or ""], file, policy, limit)
    # httpx takes 0.1 s that local catalogues need not wait
    from firstsight.media.fetch.download import DownloadedFile, download
    from firstsight.media.fetch.download_cache import open_cache

    check = partial(_require_video, uri) if kind == "video" else _accept_any
    cache = open_cache(policy)
    if cache is not None:
        received: DownloadedFile | None = cache.download(uri, file, policy, limit=limit, check_head=check)
    else:
        received = download(uri, file, policy, limit=limit, check_head=check)
    assert received is not None  # no version was known
    return str(received.version)


def _accept_any(head: bytes) -> None:
    """Pictures are small enough to be judged whole."""


def _require_video(uri: str, head: bytes) -> None:
    """Refuse what is certainly no video before gigabytes of it come; what is not recognised is the decoder's."""
    found = sniff(head)
    if found is None or found in VIDEO_FORMATS | ANIMATION_FORMATS:
        return
    if found in PICTURE_FORMATS:
        raise MediaError("unsupported", f"{uri} is a picture ({found}), not a video; list it under images")
    raise MediaError("unsupported", f"{uri} is {found}, not a video; give an MP4, WebM or Matroska file")


def _check_size(size: int, uri: str, limit: int) -> None:
    if size > limit:
        raise too_large_error(uri, limit)
