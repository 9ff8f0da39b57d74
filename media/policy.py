"""What media a run may touch and how much of it: one frozen set of limits for every fetcher and decoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_MAX_PIXELS: Final = 100_000_000
"""Pixels of one picture or frame: above every camera on sale, 300 MB once decoded to RGB."""


@dataclass(frozen=True)
class MediaPolicy:
    """Where media may come from and how large and slow they may be.

    Media addresses come from catalogues and are untrusted: the defaults let a catalogue reach files inside
    its own folder and public servers, nothing else. The addresses of object stores (s3://, gs://, az://) are
    read with the credentials of whoever runs the process.
    """

    root: Path | None = None
    """Folder of the catalogue, where relative paths start and local files must lie. None: no local files."""

    allow_private: bool = False
    """Let http(s) addresses reach loopback, private and other addresses that are not public."""

    allow_anywhere: bool = False
    """Let local files lie outside `root`; without a root, relative paths start at the working directory."""

    max_picture_bytes: int = 100 * 2**20
    """Size of one encoded picture, after any content encoding is undone."""

    max_video_bytes: int = 4 * 2**30
    """Size of one encoded video, after any content encoding is undone."""

    max_pixels: int = DEFAULT_MAX_PIXELS
    """Pixels (width x height) of one picture or video frame."""

    timeout_s: float = 30.0
    """Seconds for fetching one medium, redirects and all, and as many again for decoding a video."""
