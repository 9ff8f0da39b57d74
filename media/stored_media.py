"""Addresses of the pictures and videos that a database stores itself, because a catalogue held their bytes.

DB/media/ab/abcd….jpg        one file for equal bytes, named by their SHA-256 and the format of the content
stored://abcd….jpg           its address in the tables, which stays valid if the database is moved
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from firstsight.errors import MediaError

FOLDER: Final = "media"
"""Name of the folder inside a database."""

SCHEME: Final = "stored"

_ADDRESS: Final = re.compile(r"stored://([0-9a-f]{64}\.[a-z0-9]{2,4})")
_REFUSED: Final = re.compile(r"stored://(too-large|unknown)/[0-9a-f]{64}")
_FILE: Final = re.compile(rf"[/\\]{FOLDER}[/\\][0-9a-f]{{2}}[/\\]([0-9a-f]{{64}}\.[a-z0-9]{{2,4}})$")


def media_location(db: str) -> str:
    """Folder or object-store address of the media that a database stores."""
    return f"{db.rstrip('/')}/{FOLDER}" if "://" in db else str(Path(db).absolute() / FOLDER)


def is_stored(uri: str) -> bool:
    """Whether an address names a medium that a database stores."""
    return uri.startswith(f"{SCHEME}://")


def is_stored_name(uri: str) -> bool:
    """Whether an address names a file that has been stored, not bytes that were refused."""
    return _ADDRESS.fullmatch(uri) is not None


def is_stored_file(location: str) -> bool:
    """Whether a path or object-store address is that of a stored medium."""
    return _FILE.search(location) is not None


def find_stored(uri: str, location: str) -> str:
    """Turn the address of a stored medium into a path or object-store address.

    Args:
        location: from `media_location`.

    Raises:
        MediaError: "too_large" or "corrupt" if the bytes were refused and not stored; "missing" for any other text.
    """
    if match := _ADDRESS.fullmatch(uri):
        name = match.group(1)
        return "/".join((location, name[:2], name)) if "://" in location else os.path.join(location, name[:2], name)
    refused = _REFUSED.fullmatch(uri)
    if refused is not None and refused.group(1) == "too-large":
        raise MediaError("too_large", "the bytes in the catalogue are above the limit of one file; make it smaller")
    if refused is not None:
        raise MediaError("corrupt", "the bytes in the catalogue are not a known picture or video; replace them")
    raise MediaError("missing", f"{uri[:200]} is not the address of a stored picture or video")


def open_address(uri: str, db: str) -> str:
    """Return the path or address of a stored medium of a database; any other address unchanged."""
    return find_stored(uri, media_location(db)) if _ADDRESS.fullmatch(uri) else uri
