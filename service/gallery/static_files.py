"""Static files of the page with their headers. They are read once into a table, so requests can reach no other file."""

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
"""Content-Security-Policy of the page: no inline scripts or styles, nothing from other hosts."""

HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # browsers revalidate each time (304), so an upgrade shows at once
}


@dataclass(frozen=True)
class StaticFile:
    """A static file: its bytes, content type and ETag."""

    body: bytes
    media_type: str
    etag: str


@cache
def static_files() -> dict[str, StaticFile]:
    """All files of `service/static` by name, and the painter that the map page of `firstsight map` also contains."""
    files = [file for file in resources.files("firstsight.service").joinpath("static").iterdir() if file.is_file()]
    files.append(resources.files("firstsight.retrieval.pages").joinpath("templates").joinpath("map_painter.js"))
    return {file.name: _read(file.name, file.read_bytes()) for file in files}


def _read(name: str, body: bytes) -> StaticFile:
    # fixed types: the operating system's type of .js differs between machines
    known = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
    extension = name[name.rfind(".") :]
    kind = known.get(extension) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    charset = "; charset=utf-8" if kind.startswith("text/") else ""
    return StaticFile(body, kind + charset, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')
