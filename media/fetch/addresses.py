"""Addresses of media in a catalogue: local files, http(s) and object stores, as far as the policy allows them.

    products/1.jpg, /data/1.jpg           local files in the catalogue's folder; links are followed before the check
    http://, https://                     public servers
    s3://, gs://, gcs://, az://, abfs://  object stores
    stored://                             a file that the database itself stores (`stored_media`)

All other addresses are refused: file://, ftp://, data:, and fsspec's chains (a::b), which could bypass the policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from firstsight.errors import MediaError
from firstsight.extras import Extra
from firstsight.media.local_files import resolve_local
from firstsight.media.policy import MediaPolicy
from firstsight.media.stored_media import SCHEME, find_stored, is_stored

OBJECT_STORES: Final[Mapping[str, Extra]] = {"s3": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az"}
"""Scheme of an object store's address -> the extra of firstsight that installs its client."""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:://|::)|(data|file|javascript):", re.ASCII | re.IGNORECASE)


def resolve(uri: str, policy: MediaPolicy) -> Path | str:
    """Check an address against the policy without reading the medium.

    Returns:
        The real path of a local file, or the remote address: unchanged, or that of a stored medium.

    Raises:
        MediaError: "missing" if there is no such local file; "forbidden" if the policy does not allow the address;
            "unsupported" for any other kind of address.
    """
    scheme = scheme_of(uri)
    if scheme is None:
        return resolve_local(uri, policy)
    if scheme in ("http", "https"):
        return uri
    if scheme == SCHEME:
        return _resolve_stored(uri, policy)
    if scheme in OBJECT_STORES:
        if "::" in uri:
            raise MediaError("forbidden", f"{uri} chains addresses with '::'; use the address of the file itself")
        return uri
    raise MediaError(
        "forbidden" if scheme in ("data", "file") or "::" in uri else "unsupported",
        f"{uri[:200]} is a {scheme} address; use a path, http(s)://, s3://, gs:// or az://",
    )


def _resolve_stored(uri: str, policy: MediaPolicy) -> Path | str:
    if policy.stored_media is None:
        raise MediaError("forbidden", f"{uri[:200]} names a file inside a database; use the address of the file itself")
    location = find_stored(uri, policy.stored_media)
    if "://" in location:
        return location
    try:
        return resolve_local(location, replace(policy, root=Path(policy.stored_media), allow_anywhere=False))
    except MediaError as error:
        if error.reason != "missing":
            raise
        raise MediaError("missing", f"{uri} is no longer stored in the database; index its catalogue again") from error


def change_stamp(uri: str, policy: MediaPolicy) -> str:
    """Get a string that changes with the medium at an address. Never raise and never connect to a server.

    For a local file the string holds its size and modification time, or the reason why it cannot be read ("missing",
    "forbidden"). For a remote address it is always "remote": the address counts as the same bytes for ever, unless a
    run asks the servers (`MediaPolicy.refresh`). The address of a stored medium changes with its content.
    """
    if is_stored(uri):
        return SCHEME
    try:
        location = resolve(uri, policy)
        if isinstance(location, str):
            return "remote"
        status = location.stat()
    except MediaError as error:
        return error.reason
    except OSError:  # removed since `resolve`
        return "missing"
    return f"{status.st_size}-{status.st_mtime_ns}"


def scheme_of(uri: str) -> str | None:
    """The scheme of an address, lower case; None for a path, even one with a colon in a file name."""
    match = _SCHEME.match(uri)
    return (match.group(1) or match.group(2)).lower() if match else None


def host_of(uri: str) -> str | None:
    """The host or bucket of an address, lower case; None for a local path and for a stored medium."""
    if scheme_of(uri) in (None, SCHEME):
        return None
    try:
        return urlsplit(uri).netloc.lower()
    except ValueError:  # an unclosed bracket; `fetch` reports it
        return re.split("[/?#]", uri.partition("://")[2], maxsplit=1)[0].lower()
