"""Thumbnails of shots, read from their videos at the time of an export."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.fetch.fetched_media import fetch_file
from firstsight.media.policy import MediaPolicy
from firstsight.media.stored_media import is_stored_name, media_location, open_address

THUMBNAIL_SIDE: Final = 160
"""Longer side of a thumbnail in pixels."""


@dataclass(frozen=True)
class ShotFrame:
    """The frame that represents a shot."""

    time_s: float
    stored: bytes | None  # JPEG that the database keeps, of a frame of a live stream


class ShotThumbnails:
    """Reads thumbnails in decoding children, each video once. A context manager; any number of threads may share it.

    Attributes:
        unreadable: number of videos that could not be read.

    Args:
        db: address of the database.
        policy: limits of media; `root` is the folder of each item's catalogue.
        workers: number of decoding children.
    """

    def __init__(self, db: str, policy: MediaPolicy, workers: int) -> None:
        self._db = db
        self._policy = policy
        self._sampler = VideoSampler(workers=workers, timeout_s=policy.timeout_s, max_pixels=policy.max_pixels)
        self._unreadable: list[str] = []  # appending is atomic

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sampler.close()

    @property
    def unreadable(self) -> int:
        return len(self._unreadable)

    def read(self, uri: str, catalog_dir: str, frames: Sequence[ShotFrame]) -> list[bytes | None]:
        """Read the frames of a video as JPEGs; None for frames of a video that cannot be read.

        Args:
            uri: of the video, as in the catalogue.
            catalog_dir: folder that relative paths start from.
        """
        jpegs = [None if frame.stored is None else _shrink(frame.stored) for frame in frames]
        missing = [n for n, jpeg in enumerate(jpegs) if jpeg is None]
        if not missing:
            return jpegs
        try:
            with fetch_file(open_address(uri, self._db), self._policy_for(uri, catalog_dir)) as path:
                found = self._sampler.frames_at(path, [frames[n].time_s for n in missing], min_side=THUMBNAIL_SIDE)
        except (MediaError, OSError):
            self._unreadable.append(uri)
            return jpegs
        for n, frame in zip(missing, found, strict=True):
            jpegs[n] = _jpeg(frame.picture)
        return jpegs

    def _policy_for(self, uri: str, catalog_dir: str) -> MediaPolicy:
        folder = media_location(self._db) if is_stored_name(uri) else catalog_dir
        return replace(self._policy, root=Path(folder) if folder and "://" not in folder else None)


def _shrink(jpeg: bytes) -> bytes:
    with Image.open(io.BytesIO(jpeg)) as picture:  # written by a watch of this database
        return _jpeg(picture.convert("RGB"))


def _jpeg(picture: Image.Image) -> bytes:
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
