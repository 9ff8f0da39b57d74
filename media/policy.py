"""Limits on media: allowed addresses, sizes and times, the same for every fetcher and decoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firstsight.errors import MediaError

DEFAULT_MAX_PIXELS: Final = 100_000_000
"""Largest picture or frame, in pixels: more than any camera on sale has; 300 MB once decoded to RGB."""


@dataclass(frozen=True)
class MediaPolicy:
    """Sources that media may come from, and limits on their size and time.

    Media addresses come from catalogues and are untrusted. By default a catalogue can only reach files inside its own
    folder and public servers. Object stores (s3://, gs://, az://) are read with the credentials of the user who runs
    the process.

    Raises:
        ValueError: `tries`, `fetches` or `fetches_per_host` is below 1, or `backoff_s` or `cache_bytes` is negative.
    """

    root: Path | None = None
    """Folder of the catalogue. Relative paths start here, and local files must be inside it. None: no local files."""

    allow_private: bool = False
    """Allow http(s) addresses on loopback, private and other hosts that are not public."""

    allow_anywhere: bool = False
    """Allow local files outside `root`. Without a root, relative paths start at the working directory."""

    max_picture_bytes: int = 100 * 2**20
    """Largest picture file in bytes, after removal of any HTTP content encoding."""

    max_video_bytes: int = 4 * 2**30
    """Largest video file in bytes, after removal of any HTTP content encoding."""

    max_pixels: int = DEFAULT_MAX_PIXELS
    """Largest picture or video frame in pixels (width x height)."""

    timeout_s: float = 30.0
    """Seconds to fetch one medium, with all redirects and tries; also the seconds to decode one video."""

    tries: int = 4
    """Maximum tries for an http(s) address. Only 429, 5xx, timeouts and dropped connections are tried again."""

    backoff_s: float = 0.5
    """Longest wait before the second try, in seconds. It doubles with every try. A server's Retry-After replaces
    it."""

    fetches: int = 32
    """Remote media that an index run fetches at the same time."""

    fetches_per_host: int = 8
    """Remote media fetched at the same time from one host."""

    cache_dir: Path | None = None
    """Folder that caches files fetched over http(s). A file is downloaded again only if it changed. None: no cache."""

    cache_bytes: int = 10 * 2**30
    """Maximum total size of the cached files in bytes. The least recently used files are removed first."""

    stored_media: str | None = None
    """Folder or object-store address of the media that the database itself stores; an index run sets it."""

    refresh: bool = False
    """Ask servers whether indexed media have changed. If False, an address always counts as the same bytes."""

    def __post_init__(self) -> None:
        for name in ("tries", "fetches", "fetches_per_host"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; use 1 or more")
        for name in ("backoff_s", "cache_bytes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; use 0 or more")


def check_frame_size(name: str, width: int, height: int, max_pixels: int, remedy: str = "make it smaller") -> None:
    """Check the size of a video's frames against a limit in pixels.

    Raises:
        MediaError: "too_large" if width x height is above `max_pixels`; the message ends with `remedy`.
    """
    if width * height > max_pixels:
        raise MediaError(
            "too_large", f"{name} has frames of {width} x {height} pixels, above the limit of {max_pixels:,}; {remedy}"
        )


def too_large_error(uri: str, limit: int) -> MediaError:
    """The error for a file that is larger than `limit` bytes."""
    return MediaError("too_large", f"{uri} is larger than the limit of {limit:,} bytes; make the file smaller")
