"""What media a run may touch and how much of it: one frozen set of limits for every fetcher and decoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firstsight.errors import MediaError

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
    """Seconds for fetching one medium, redirects, tries and all, and as many again for decoding a video."""

    tries: int = 4
    """Times an http(s) address is asked where a try may mend it: 429, 5xx, time-outs and dropped connections."""

    backoff_s: float = 0.5
    """Longest wait before the second try, in seconds; it doubles from try to try. A server's Retry-After goes
    before it."""

    fetches: int = 32
    """Remote media fetched at once by an index run."""

    fetches_per_host: int = 8
    """Of these, from one host."""

    cache_dir: Path | None = None
    """Folder that keeps what was fetched over http(s), to be asked for again only where it has changed. None: off."""

    cache_bytes: int = 10 * 2**30
    """Size of the files in that folder; those not used for longest go first."""

    refresh: bool = False
    """Ask the servers of media that are in the index whether they have changed; otherwise an address is taken to
    stand for the same bytes for ever."""

    def __post_init__(self) -> None:
        for name in ("tries", "fetches", "fetches_per_host"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.backoff_s < 0 or self.cache_bytes < 0:
            raise ValueError("backoff_s and cache_bytes must be 0 or more")


def too_large_error(uri: str, limit: int) -> MediaError:
    """The error for a file above a limit in bytes."""
    return MediaError("too_large", f"{uri} is larger than the limit of {limit:,} bytes; make the file smaller")
