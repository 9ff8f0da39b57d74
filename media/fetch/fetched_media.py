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
"""Largest remote picture that waits in memory for its decoder; larger ones wait on disk."""


class FetchedMedium:
    """A fetched medium: bytes in memory or a file on disk, until it is closed. For one thread at a time."""

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
        """The server's mark of this version (ETag or date); empty for a local file or if the server sends none."""

    def __enter__(self) -> FetchedMedium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory in use until the medium is decoded; 0 if it waits on disk."""
        return self._copied if self._file is not None and self._copied <= SPOOL_BYTES else 0

    @property
    def disk_bytes(self) -> int:
        """Bytes on disk in use by the copy until the medium is closed."""
        return self._copied - self.memory_bytes

    def read(self) -> bytes:
        """Read all bytes.

        Raises:
            MediaError: for a local file: "missing" or "forbidden" if it cannot be read, "too_large" if it is above the
                limit.
        """
        if self._file is not None:
            self._file.seek(0)
            return self._file.read()
        assert self._path is not None
        with open_regular(self._path) as file:
            _check_size(os.fstat(file.fileno()).st_size, self._uri, self._limit)
            data = file.read(self._limit + 1)  # bounded even if the file grows in the meantime
        _check_size(len(data), self._uri, self._limit)
        return data

    def path(self) -> Path:
        """The path of a file with the bytes: the local file itself, or a copy that `close` removes.

        Raises:
            MediaError: "too_large" if a local file is above the limit.
        """
        assert self._path is not None
        _check_size(self._path.stat().st_size, self._uri, self._limit)
        return self._path

    def close(self) -> None:
        """Remove the copy of the medium."""
        if self._file is not None:
            self._file.close()
        if self._folder is not None:
            self._folder.cleanup()


def fetch(uri: str, policy: MediaPolicy, kind: MediaKind) -> FetchedMedium:
    """Fetch a medium. A local file is not copied and is only read on demand.

    Args:
        kind: selects the size limit. A video is stored as a file; a small picture stays in memory.

    Raises:
        MediaError: "missing" if there is no such file; "forbidden" if the policy does not allow the address or access
            is denied; "unreachable" if the server does not send it; "timeout" if it takes longer than
            `policy.timeout_s`; "too_large" if it is above the limit; "unsupported" for another kind of address or
            file. The message names the address.
    """
    limit = policy.max_picture_bytes if kind == "picture" else policy.max_video_bytes
    location = resolve(uri, policy)
    if isinstance(location, Path):
        return FetchedMedium(uri, limit, path=location)
    if kind == "picture":
        file = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115  # FetchedMedium closes it
        try:
            version = _fetch_into(file, location, policy, limit, kind)
            return FetchedMedium(uri, limit, file=file, copied=file.seek(0, os.SEEK_END), version=version)
        except BaseException:
            file.close()
            raise
    suffix = PurePosixPath(re.split("[?#]", uri, maxsplit=1)[0]).suffix  # urlsplit may raise; `download` reports it
    name = "video" + (suffix if re.fullmatch(r"\.\w{1,8}", suffix, re.ASCII) else "")
    folder = tempfile.TemporaryDirectory(prefix="firstsight-")
    try:
        with Path(folder.name, name).open("w+b") as copy:
            version = _fetch_into(copy, location, policy, limit, kind)
            copied = copy.seek(0, os.SEEK_END)
        return FetchedMedium(uri, limit, path=Path(folder.name, name), folder=folder, copied=copied, version=version)
    except BaseException:
        folder.cleanup()
        raise


def require_cache(policy: MediaPolicy) -> None:
    """Check the cache folder of the policy early, before a run fetches anything.

    Raises:
        StoreError: the folder cannot be used.
    """
    if policy.cache_dir is not None:
        from firstsight.media.fetch.download_cache import open_cache

        open_cache(policy)


def fetch_bytes(uri: str, policy: MediaPolicy) -> bytes:
    """Fetch a picture and read all its bytes.

    Raises:
        MediaError: as for `fetch`.
    """
    with fetch(uri, policy, "picture") as fetched:
        return fetched.read()


@contextmanager
def fetch_file(uri: str, policy: MediaPolicy) -> Iterator[Path]:
    """Fetch a video and give the path of its file: the local file itself, or a copy that is removed at the end.

    Raises:
        MediaError: as for `fetch`.
    """
    with fetch(uri, policy, "video") as fetched:
        yield fetched.path()


def _fetch_into(file: IO[bytes], uri: str, policy: MediaPolicy, limit: int, kind: MediaKind) -> str:
    """Write a remote file to `file` and return its version."""
    if scheme_of(uri) in OBJECT_STORES:
        return fetch_object(uri, OBJECT_STORES[scheme_of(uri) or ""], file, policy, limit)
    # importing httpcore takes 0.1 s, which local catalogues do not need
    from firstsight.media.fetch.download import DownloadedFile, download
    from firstsight.media.fetch.download_cache import open_cache

    check = partial(_require_video, uri) if kind == "video" else _accept_any
    cache = open_cache(policy)
    if cache is not None:
        received: DownloadedFile | None = cache.download(uri, file, policy, limit=limit, check_head=check)
    else:
        received = download(uri, file, policy, limit=limit, check_head=check)
    assert received is not None  # only None if `known` is given
    return str(received.version)


def _accept_any(head: bytes) -> None:
    """Accept any start of a file: pictures are small, so the decoder checks them."""


def _require_video(uri: str, head: bytes) -> None:
    """Refuse files that are certainly not videos before they are downloaded. The decoder checks unknown formats."""
    file_format = sniff(head)
    if file_format is None or file_format in VIDEO_FORMATS | ANIMATION_FORMATS:
        return
    if file_format in PICTURE_FORMATS:
        raise MediaError("unsupported", f"{uri} is a picture ({file_format}), not a video; list it under images")
    raise MediaError("unsupported", f"{uri} is {file_format}, not a video; use an MP4, WebM or Matroska file")


def _check_size(size: int, uri: str, limit: int) -> None:
    if size > limit:
        raise too_large_error(uri, limit)
