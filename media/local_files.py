"""Access to local files that an untrusted catalogue names: only regular files inside its folder."""

from __future__ import annotations

import hashlib
import os
import stat
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Final

from firstsight.errors import MediaError
from firstsight.media.policy import MediaPolicy

_DIGEST_BYTES: Final = 2**20


def resolve_local(name: str, policy: MediaPolicy) -> Path:
    """Follow links to the real path of a file, and check that the policy allows it.

    Args:
        name: a path, absolute or relative to `policy.root`.

    Raises:
        MediaError: "missing" if there is no such file; "forbidden" if it is outside the catalogue's folder, is not a
            regular file, or the file system denies access.
    """
    try:
        real = Path(os.path.realpath(name if policy.root is None else os.path.join(policy.root, name)))
        if not policy.allow_anywhere:
            _require_inside(real, name, policy)
        _require_regular(real.stat().st_mode, name)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise _refusal(name, error) from error
    return real


def open_regular(path: str | PathLike[str]) -> BinaryIO:
    """Open a regular file for reading. Never wait for the other end of a pipe.

    Raises:
        MediaError: "missing" if there is no such file; "forbidden" if it is not a regular file or cannot be read.
    """
    try:
        # O_NONBLOCK: if the file was replaced by a named pipe, opening it would wait for ever.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise _refusal(os.fspath(path), error) from error
    try:
        _require_regular(os.fstat(descriptor).st_mode, os.fspath(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def file_digest(path: str | PathLike[str]) -> bytes:
    """Compute the SHA-256 of a file's bytes; errors as for `open_regular`."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while part := file.read(_DIGEST_BYTES):
            digest.update(part)
    return digest.digest()


def _require_inside(real: Path, name: str, policy: MediaPolicy) -> None:
    if policy.root is None:
        raise MediaError(
            "forbidden",
            f"{name} is a local file, but this catalogue has no folder; allow local files with --allow-anywhere",
        )
    root = os.path.realpath(policy.root)
    if not real.is_relative_to(root):
        raise MediaError(
            "forbidden",
            f"{name} is outside the catalogue's folder {root}; allow such files with --allow-anywhere",
        )


def _require_regular(mode: int, name: str) -> None:
    if stat.S_ISREG(mode):
        return
    what = "a folder" if stat.S_ISDIR(mode) else "not a regular file (a pipe, socket or device)"
    raise MediaError("forbidden", f"{name} is {what}; give the path of a picture or video file")


def _refusal(name: str, error: Exception) -> MediaError:
    if isinstance(error, FileNotFoundError | NotADirectoryError | ValueError):
        return MediaError("missing", f"{name!r} does not exist; check the path")
    detail = error.strerror if isinstance(error, OSError) else None
    return MediaError("forbidden", f"{name} cannot be read: {detail or error}; check its permissions")
