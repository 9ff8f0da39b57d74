"""The page's own files: read once, known by name, so that no request can name another; and the headers they go with."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib import resources

PAGE = "index.html"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy of the page: nothing inline, nothing from elsewhere."""

HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # asked for again each time, answered with 304: an upgrade is seen at once
}


@dataclass(frozen=True)
class StaticFile:
    """A file of the page."""

    body: bytes
    media_type: str
    etag: str


@cache
def static_files() -> dict[str, StaticFile]:
    """Every file in `service/static`, by name."""
    folder = resources.files("firstsight.service").joinpath("static")
    return {one.name: _read(one.name, one.read_bytes()) for one in folder.iterdir() if one.is_file()}


def _read(name: str, body: bytes) -> StaticFile:
    # what a registry of the operating system says of .js differs from machine to machine
    known = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
    extension = name[name.rfind(".") :]
    kind = known.get(extension) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    charset = "; charset=utf-8" if kind.startswith("text/") else ""
    return StaticFile(body, kind + charset, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')
