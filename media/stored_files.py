"""Files of the pictures and videos that a database stores: written once, removed when no row uses them.

Beside an object-store database they are objects, written and read through fsspec with the user's credentials.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any, Final

from firstsight.errors import StoreError
from firstsight.extras import install_command
from firstsight.media.fetch.addresses import OBJECT_STORES
from firstsight.media.file_formats import ANIMATION_FORMATS, PICTURE_FORMATS, SNIFF_BYTES, sniff
from firstsight.media.stored_media import SCHEME, find_stored, is_stored_name

_EXTENSIONS: Final = {
    **{"JPEG": "jpg", "PNG": "png", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "PPM": "ppm", "WebP": "webp"},
    **{"AVIF": "avif", "HEIC": "heic", "MP4": "mp4", "Matroska": "mkv", "AVI": "avi", "FLV": "flv"},
    **{"MPEG-PS": "mpg", "MPEG-TS": "ts", "ASF": "wmv", "Ogg": "ogv"},
}
_MAX_AGE_S: Final = 3600.0
"""Age from which an unused object is removed: an object store has no writer lock, and a run may need a new one."""


def is_medium(data: bytes) -> bool:
    """Whether bytes start like a picture or a video."""
    return sniff(data[:SNIFF_BYTES]) in _EXTENSIONS


class MediaWriter:
    """Stores media inside a database, once for equal bytes.

    Args:
        location: from `media_location`.
        max_picture_bytes, max_video_bytes: larger files are not stored.
    """

    def __init__(self, location: str, *, max_picture_bytes: int, max_video_bytes: int) -> None:
        self._location = location
        self._max_bytes = {"picture": max_picture_bytes, "video": max_video_bytes}
        self._written: set[str] = set()  # of an object store, to ask for each object only once

    def put(self, data: bytes) -> str:
        """Store a medium unless it is there, and return its address.

        Bytes that are no known picture or video, or above the limit, are not stored; `find_stored` says why.

        Raises:
            StoreError: the file cannot be written.
        """
        digest, file_format = hashlib.sha256(data).hexdigest(), sniff(data[:SNIFF_BYTES])
        if file_format not in _EXTENSIONS:
            return f"{SCHEME}://unknown/{digest}"
        # an animation in a picture format may be listed as a video, so it has the higher limit
        kind = "picture" if file_format in PICTURE_FORMATS - ANIMATION_FORMATS else "video"
        if len(data) > self._max_bytes[kind]:
            return f"{SCHEME}://too-large/{digest}"
        uri = f"{SCHEME}://{digest}.{_EXTENSIONS[file_format]}"
        target = find_stored(uri, self._location)
        try:
            self._write_object(target, data) if "://" in target else _write_file(Path(target), data)
        except StoreError:
            raise
        except Exception as error:  # each object-store client has its own exceptions
            raise StoreError(
                f"{self._location} cannot store a picture ({_reason(error)}); check space and access, then run again"
            ) from error
        return uri

    def _write_object(self, target: str, data: bytes) -> None:
        if target in self._written:
            return
        store = _file_system(self._location)
        path = store._strip_protocol(target)
        if not store.exists(path) or store.size(path) != len(data):
            store.pipe_file(path, data)
        self._written.add(target)


def remove_unused(location: str, used: Set[str], among: Set[str] | None = None) -> int:
    """Remove stored media that no row uses; the caller holds the writer lock of the database.

    Args:
        location: from `media_location`.
        used: addresses that rows of the database have.
        among: addresses that may be removed; None for all, with temporary files of killed writes.

    Returns:
        Number of removed files.

    Raises:
        StoreError: a file cannot be removed.
    """
    if among is not None:
        among = {uri for uri in among - used if is_stored_name(uri)}
    try:
        if "://" in location:
            return _remove_objects(location, used, among)
        files = _files(location) if among is None else (find_stored(uri, location) for uri in among)
        removed = 0
        for file in files:
            if f"{SCHEME}://{os.path.basename(file)}" not in used:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file)
                    removed += 1
        return removed
    except StoreError:
        raise
    except Exception as error:  # each object-store client has its own exceptions
        raise StoreError(
            f"{location}: unused pictures cannot be removed ({_reason(error)}); check its permissions"
        ) from error


def _remove_objects(location: str, used: Set[str], among: Set[str] | None) -> int:
    store = _file_system(location)
    if among is not None:
        gone = [store._strip_protocol(find_stored(uri, location)) for uri in among]
    else:
        found = store.find(store._strip_protocol(location), detail=True)
        gone = [
            path
            for path, detail in found.items()
            if f"{SCHEME}://{path.rpartition('/')[2]}" not in used and _is_old(detail)
        ]
    removed = 0
    for path in gone:
        with contextlib.suppress(FileNotFoundError):
            store.rm_file(path)
            removed += 1
    return removed


def _is_old(detail: dict[str, Any]) -> bool:
    keys = ("LastModified", "mtime", "created", "last_modified")  # each client has its own
    written: Any = next((detail[key] for key in keys if key in detail), None)
    return hasattr(written, "timestamp") and time.time() - float(written.timestamp()) > _MAX_AGE_S


def _files(location: str) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError), os.scandir(location) as folders:
        for folder in folders:
            if re.fullmatch(r"[0-9a-f]{2}", folder.name) and folder.is_dir(follow_symlinks=False):
                with os.scandir(folder.path) as files:
                    yield from [file.path for file in files if file.is_file(follow_symlinks=False)]


def _write_file(target: Path, data: bytes) -> None:
    """Write a file under its final name only when it is complete; a kill leaves a temporary file."""
    with contextlib.suppress(FileNotFoundError):
        if target.stat().st_size == len(data):  # another size: the machine lost power before the data were on disk
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _reason(error: Exception) -> str:
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or " ".join(str(error).split())[:200] or type(error).__name__


def _file_system(location: str) -> Any:
    scheme = location.partition(":")[0].lower()
    if scheme not in OBJECT_STORES:
        raise StoreError(f"{location}: pictures of a catalogue can be stored on disk, s3://, gs:// and az:// only")
    try:
        import fsspec

        return fsspec.filesystem(scheme)
    except ImportError as error:
        raise StoreError(
            f"{location} stores pictures through a client that is not installed; run: "
            f"{install_command(OBJECT_STORES[scheme])}"
        ) from error
