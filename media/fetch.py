"""Media by the address a catalogue gives: local files, http(s) and object stores, as the policy allows.

    products/1.jpg, /data/1.jpg     local: inside the catalogue's folder, links followed first
    http://, https://               public servers (`guard`), bounded in time and bytes (`http_source`)
    s3://, gs://, gcs://, az://, abfs://   through fsspec, with the credentials of whoever runs the process

Everything else is refused: file://, ftp://, data:, and fsspec's chains (a::b), which could reach around the
policy.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from firstsight.errors import MediaError
from firstsight.media.local_files import open_regular, resolve_local
from firstsight.media.policy import MediaPolicy

_OBJECT_STORES: Final = {"s3": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az"}
"""The scheme of an object store's address to the extra that installs its client."""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:://|::)|(data|file|javascript):", re.ASCII | re.IGNORECASE)
_CHUNK: Final = 1 << 16


def resolve(uri: str, policy: MediaPolicy) -> Path | str:
    """Check an address against the policy without reading it.

    Returns:
        The real path of a local file, or the remote address as it was given.

    Raises:
        MediaError: "missing", "forbidden" or "unsupported".
    """
    scheme = _scheme(uri)
    if scheme is None:
        return resolve_local(uri, policy)
    if scheme in ("http", "https"):
        return uri
    if scheme in _OBJECT_STORES:
        if "::" in uri:
            raise MediaError("forbidden", f"{uri} chains addresses with '::'; give the address of the file itself")
        return uri
    raise MediaError(
        "forbidden" if scheme in ("data", "file") or "::" in uri else "unsupported",
        f"{uri[:200]} is a {scheme} address; give a path, http(s)://, s3://, gs:// or az://",
    )


def identity(uri: str, policy: MediaPolicy) -> str:
    """A cheap string that changes when the medium behind an address does; never raises, never connects.

    Local files answer with their size and modification time, or with the reason why they cannot be read
    ("missing", "forbidden"). Remote addresses answer "remote": an address is taken to stand for the same
    bytes for ever.
    """
    try:
        found = resolve(uri, policy)
        if isinstance(found, str):
            return "remote"
        status = found.stat()
    except MediaError as error:
        return error.reason
    except OSError:  # gone between the two looks
        return "missing"
    return f"{status.st_size}-{status.st_mtime_ns}"


def fetch_bytes(uri: str, policy: MediaPolicy) -> bytes:
    """Read a whole picture file.

    Raises:
        MediaError: "missing", "forbidden", "unreachable", "timeout", "too_large" or "unsupported"; the
            message names the address.
    """
    limit = policy.max_picture_bytes
    found = resolve(uri, policy)
    if isinstance(found, Path):
        with open_regular(found) as file:
            _check_size(os.fstat(file.fileno()).st_size, uri, limit)
            data = file.read(limit + 1)  # bounded even if the file grows meanwhile
        _check_size(len(data), uri, limit)
        return data
    with _chunks(found, policy, limit) as chunks:
        return b"".join(chunks)


@contextmanager
def fetch_file(uri: str, policy: MediaPolicy) -> Iterator[Path]:
    """Give the path of a video file: a local file's own, else that of a copy, removed at the end.

    Raises:
        MediaError: as `fetch_bytes`.
    """
    limit = policy.max_video_bytes
    found = resolve(uri, policy)
    if isinstance(found, Path):
        _check_size(found.stat().st_size, uri, limit)
        yield found
        return
    suffix = PurePosixPath(urlsplit(found).path).suffix
    with tempfile.TemporaryDirectory(prefix="firstsight-") as folder:
        copy = Path(folder, "video" + (suffix if re.fullmatch(r"\.\w{1,8}", suffix, re.ASCII) else ""))
        with _chunks(found, policy, limit) as chunks:
            _write(copy, chunks, uri)
        yield copy


def _scheme(uri: str) -> str | None:
    """The scheme of an address, lower case; None for a path, colons in file names included."""
    match = _SCHEME.match(uri)
    return (match.group(1) or match.group(2)).lower() if match else None


def _write(path: Path, chunks: Iterator[bytes], uri: str) -> None:
    with path.open("wb") as file:
        for chunk in chunks:
            try:
                file.write(chunk)
            except OSError as error:
                raise MediaError(
                    "unreachable",
                    f"{uri} cannot be stored in {path.parent} ({error.strerror}); make room or set TMPDIR",
                ) from error


@contextmanager
def _chunks(uri: str, policy: MediaPolicy, limit: int) -> Iterator[Iterator[bytes]]:
    """A remote file's bytes; iterating raises "too_large" as soon as they pass the limit."""
    if _scheme(uri) in _OBJECT_STORES:
        yield _bounded(_object_chunks(uri, policy, limit), uri, limit)
        return
    from firstsight.media.http_source import (
        shared_source,
    )  # httpx takes 0.1 s that local catalogues need not wait

    with shared_source(policy.allow_private).stream(uri, timeout_s=policy.timeout_s) as body:
        yield _bounded(body, uri, limit)


def _bounded(chunks: Iterator[bytes], uri: str, limit: int) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        _check_size(total, uri, limit)
        yield chunk


def _check_size(size: int, uri: str, limit: int) -> None:
    if size > limit:
        raise MediaError("too_large", f"{uri} is larger than the limit of {limit:,} bytes; make the file smaller")


def _object_chunks(uri: str, policy: MediaPolicy, limit: int) -> Iterator[bytes]:
    """Read an object through fsspec. The time limit holds between chunks: each wait is the client's."""
    import fsspec

    scheme = _scheme(uri) or ""
    until = time.monotonic() + policy.timeout_s
    try:
        # The client is made without anything from the address but its path: no endpoint, account or option of
        # a catalogue's choosing.
        store = fsspec.filesystem(scheme)
        with store.open(store._strip_protocol(uri), "rb") as file:
            _check_size(getattr(file, "size", None) or 0, uri, limit)
            while chunk := file.read(_CHUNK):
                if time.monotonic() > until:
                    raise MediaError(
                        "timeout", f"{uri} took longer than allowed; raise the time limit (--timeout) or try again"
                    )
                yield chunk
    except MediaError:
        raise
    except ImportError as error:
        extra = _OBJECT_STORES[scheme]
        raise MediaError(
            "unsupported",
            f"{uri} needs a client that is not installed; run: pip install 'firstsight[{extra}]'",
        ) from error
    except FileNotFoundError as error:
        raise MediaError("missing", f"{uri} does not exist; correct the address") from error
    except PermissionError as error:
        raise MediaError("forbidden", f"{uri} may not be read with the credentials in use; check them") from error
    except Exception as error:  # each client has its own tree of errors, and the message is what can be passed on
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise MediaError("unreachable", f"{uri} could not be fetched ({detail}); try again") from error
