"""Pictures and videos of stored views. Requests name views, never paths, and the media policy always applies."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.fetch.addresses import change_stamp
from firstsight.media.fetch.fetched_media import fetch
from firstsight.media.file_formats import SNIFF_BYTES, VIDEO_FORMATS, sniff
from firstsight.media.local_files import open_regular
from firstsight.media.policy import MediaPolicy
from firstsight.media.stored_media import is_stored_name, media_location, open_address
from firstsight.service.gallery.remote_video_cache import RemoteVideoCache
from firstsight.storage.live_pictures import read_live_pictures
from firstsight.storage.sql.conditions import quote
from firstsight.storage.store import Store

SIZES = (96, 192, 384, 768, 1280)
"""Longer sides of thumbnails in pixels. The set is small, so that the cache serves most requests."""

CACHE_BYTES = 64 * 2**20
"""Memory of the thumbnail cache."""

_COLUMNS = ("view_id", "item_id", "part", "uri", "time_s", "version")
_TYPES = {"MP4": "video/mp4", "Matroska": "video/webm", "Ogg": "video/ogg", "MPEG-TS": "video/mp2t"}


@dataclass(frozen=True)
class StoredView:
    """A picture or video frame, as stored in the index."""

    view_id: str
    item_id: str
    part: str
    uri: str  # as in the catalogue; of a stored medium, its path or object-store address
    time_s: float | None  # second of a frame; None for a picture
    version: str  # of a remote medium when it was encoded; empty if its server sent none
    catalog_dir: str  # base of relative paths, or the folder of stored media; local files must be inside it
    blocked: bool  # whether a safety decision blocks its item
    stored: bytes | None = None  # JPEG of a frame of a live stream, which the database keeps


def find_view(store: Store, view_id: str) -> StoredView | None:
    """Find a view with a picture or video by its id; None if there is none."""
    return _find_first(store, view_id.rpartition("#")[0], [f"view_id = {quote(view_id)}"])


def find_item_picture(store: Store, item_id: str) -> StoredView | None:
    """Find the first picture of an item, else the first frame of its videos; None if it has neither."""
    return _find_first(store, item_id, [])


class ViewMedia:
    """Thread-safe source of thumbnails and video files of stored views.

    Args:
        policy: limits in bytes, pixels and seconds, and access to private addresses. `root` and `allow_anywhere` have
            no effect: after following links, local files must be inside the folder of the item's catalogue.
        workers: child processes that decode pictures; the same number decodes videos.
        cache_bytes: memory of the thumbnail cache.
    """

    def __init__(self, policy: MediaPolicy, *, workers: int = 2, cache_bytes: int = CACHE_BYTES) -> None:
        self._policy = policy
        limits: dict[str, Any] = {"workers": workers, "timeout_s": policy.timeout_s, "max_pixels": policy.max_pixels}
        self._pictures = PictureDecoder(**limits)
        self._videos = VideoSampler(**limits)
        self._remote_videos = RemoteVideoCache()
        self._thumbnails = _ThumbnailCache(cache_bytes)

    def close(self) -> None:
        """Stop the child processes and remove copies of remote videos."""
        self._pictures.close()
        self._videos.close()
        self._remote_videos.close()

    def etag(self, view: StoredView, size: int = 0) -> str:
        """Return a quoted ETag, which changes when the medium changes."""
        state = change_stamp(view.uri, self._policy_for(view))
        stored = hashlib.blake2b(view.stored or b"", digest_size=12).hexdigest()  # a later watch reuses the id
        parts = (view.view_id, view.uri, view.catalog_dir, view.version, state, str(size), stored)
        return f'"{hashlib.blake2b(chr(0).join(parts).encode(), digest_size=12).hexdigest()}"'

    def thumbnail(self, view: StoredView, size: int) -> bytes:
        """Make a JPEG of a view; small pictures are not enlarged.

        Args:
            view: the view to show.
            size: pixels of the longer side, rounded up to one of `SIZES`.

        Raises:
            MediaError: the medium cannot be read now, or the policy forbids it.
        """
        side = thumbnail_side(size)
        key = self.etag(view, side)
        thumbnail = self._thumbnails.get(key)
        if thumbnail is None:
            thumbnail = _jpeg(self._picture(view, side), side)
            self._thumbnails.put(key, thumbnail)
        return thumbnail

    def open_video(self, view: StoredView) -> tuple[BinaryIO, str]:
        """Open the video file of a frame; return the open file and its media type.

        Raises:
            MediaError: the view is a picture, the file cannot be read or is not a video, or the policy forbids it.
        """
        if view.time_s is None:
            raise MediaError("unsupported", f"view {view.view_id} is a picture; request its thumbnail")
        _refuse_live_frame(view)
        with self._remote_videos.hold(view.uri, self._policy_for(view)) as path:
            file = open_regular(path)  # an open file stays readable even if the copy is removed
        file_format = sniff(file.read(SNIFF_BYTES))
        if file_format not in VIDEO_FORMATS:  # the address may now serve a page or script, which must not be passed on
            file.close()
            raise MediaError("unsupported", f"the file of view {view.view_id} is no longer a video")
        return file, _TYPES.get(file_format, "application/octet-stream")

    def _picture(self, view: StoredView, side: int) -> Image.Image:
        policy = self._policy_for(view)
        if view.stored is not None:
            return self._pictures.open(view.stored, min_side=side)
        _refuse_live_frame(view)
        if view.time_s is None:
            with fetch(view.uri, policy, "picture") as fetched:
                return self._pictures.open(fetched.read(), min_side=side)
        with self._remote_videos.hold(view.uri, policy) as path:
            return self._videos.frame_at(path, view.time_s, min_side=side).picture

    def _policy_for(self, view: StoredView) -> MediaPolicy:
        root = Path(view.catalog_dir) if view.catalog_dir else None
        return replace(self._policy, root=root, allow_anywhere=False)


class _ThumbnailCache:
    """JPEGs by key, up to a number of bytes; the least recently used are dropped first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: str, value: bytes) -> None:
        with self._lock:
            self._bytes += len(value) - len(self._kept.pop(key, b""))
            self._kept[key] = value
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1])


def thumbnail_side(size: int) -> int:
    """Return the smallest of `SIZES` that is at least `size`, else the largest."""
    return next((side for side in SIZES if side >= size), SIZES[-1])


def _find_first(store: Store, item_id: str, conditions: Sequence[str]) -> StoredView | None:
    rows = _rows(store, " AND ".join([f"item_id = {quote(item_id)}", *conditions]))
    if not rows:
        return None
    row = min(rows, key=_sort_key)
    decided = ["safety_decision"] if "safety_decision" in store.items.schema.names else []
    query = store.items.search().where(f"item_id = {quote(item_id)}").select(["catalog_dir", *decided]).limit(1)
    items = query.to_arrow().to_pylist()
    if not items:  # a run that died left the view; search does not find it either
        return None
    shown = {name: row[name] for name in _COLUMNS if name != "version"}
    folder = items[0]["catalog_dir"]
    if is_stored_name(row["uri"]):
        shown["uri"], folder = open_address(row["uri"], store.uri), media_location(store.uri)
    return StoredView(
        **shown,
        version=row.get("version") or "",
        catalog_dir=folder,
        blocked=items[0].get("safety_decision") == "block",
        stored=read_live_pictures(store, [row["view_id"]]).get(row["view_id"]),
    )


def _rows(store: Store, condition: str) -> list[dict[str, Any]]:
    columns = [name for name in _COLUMNS if name in store.views.schema.names]
    query = store.views.search().where(f"uri IS NOT NULL AND {condition}").select(columns).limit(None)
    rows: list[dict[str, Any]] = query.to_arrow().to_pylist()
    return rows


def _sort_key(row: dict[str, Any]) -> tuple[bool, list[tuple[int, str]]]:
    """Sort pictures before frames, and numbers by value: 2 before 10."""
    parts = re.split(r"([0-9]+)", row["view_id"])
    return row["part"] != "image", [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _jpeg(picture: Image.Image, side: int) -> bytes:
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _refuse_live_frame(view: StoredView) -> None:
    if view.uri.startswith("live+"):
        raise MediaError("missing", f"view {view.view_id} is a frame of a live stream, and its picture was not stored")
