"""A picture or video whose bytes are in the catalogue itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EmbeddedMedium:
    """Bytes of a picture or video, with its file name in the catalogue."""

    data: bytes
    name: str | None = None  # for messages
