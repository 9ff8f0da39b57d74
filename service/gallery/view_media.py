"""Pictures and videos of stored views, for the page: never by a path of a request, always within the media policy."""

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
from firstsight.media.fetch.addresses import change_stamp, fetch
from firstsight.media.file_formats import SNIFF_BYTES, VIDEO_FORMATS, sniff
from firstsight.media.local_files import open_regular
from firstsight.media.policy import MediaPolicy
from firstsight.service.gallery.remote_video_cache import RemoteVideoCache
from firstsight.storage.conditions import quote
from firstsight.storage.store import Store

SIZES = (96, 192, 384, 768, 1280)
"""Longer sides of thumbnails, in pixels: few, so that a cache holds what is asked for."""

CACHE_BYTES = 64 * 2**20
"""Memory for thumbnails."""

_COLUMNS = ("view_id", "item_id", "part", "uri", "time_s", "version")
_TYPES = {"MP4": "video/mp4", "Matroska": "video/webm", "Ogg": "video/ogg", "MPEG-TS": "video/mp2t"}


@dataclass(frozen=True)
class StoredView:
    """A picture, or the frame of a video, as the index has it."""

    view_id: str
    item_id: str
    part: str
    uri: str  # as the catalogue has it
    time_s: float | None  # second of a frame
    version: str  # of a remote medium when it was encoded; empty where its server said nothing
    catalog_dir: str  # where a relative path starts, and what a local one must lie inside
    blocked: bool  # its item is kept out of search by a safety decision


def find_view(store: Store, view_id: str) -> StoredView | None:
    """A view with a medium, by its id; None where there is none."""
    return _find_first(store, view_id.rpartition("#")[0], [f"view_id = {quote(view_id)}"])


def find_item_picture(store: Store, item_id: str) -> StoredView | None:
    """What stands for an item: its first picture, else the first frame of its videos; None where it has neither."""
    return _find_first(store, item_id, [])


class ViewMedia:
    """Thumbnails and video files of stored views, for any number of threads.

    Args:
        policy: limits in bytes, pixels and seconds, and whether addresses may be private. Local files lie inside the
            folder of the item's catalogue, links followed first, whatever `root` and `allow_anywhere` say.
        workers: decoding children for pictures, and as many for videos.
    """

    def __init__(self, policy: MediaPolicy, *, workers: int = 2, cache_bytes: int = CACHE_BYTES) -> None:
        self._policy = policy
        limits: dict[str, Any] = {"workers": workers, "timeout_s": policy.timeout_s, "max_pixels": policy.max_pixels}
        self._pictures = PictureDecoder(**limits)
        self._videos = VideoSampler(**limits)
        self._kept = RemoteVideoCache()
        self._thumbnails = _ThumbnailCache(cache_bytes)

    def close(self) -> None:
        """End the decoding children and remove copies of remote videos."""
        self._pictures.close()
        self._videos.close()
        self._kept.close()

    def etag(self, view: StoredView, size: int = 0) -> str:
        """A quoted ETag: it changes when the medium does."""
        state = change_stamp(view.uri, self._policy_for(view))
        parts = (view.view_id, view.uri, view.catalog_dir, view.version, state, str(size))
        return f'"{hashlib.blake2b(chr(0).join(parts).encode(), digest_size=12).hexdigest()}"'

    def thumbnail(self, view: StoredView, size: int) -> bytes:
        """A JPEG of a view, its longer side the least of `SIZES` that is `size` or more; never enlarged.

        Raises:
            MediaError: the medium can no longer be read, or the policy forbids it.
        """
        side = thumbnail_side(size)
        key = self.etag(view, side)
        made = self._thumbnails.get(key)
        if made is None:
            made = _jpeg(self._picture(view, side), side)
            self._thumbnails.put(key, made)
        return made

    def open_video(self, view: StoredView) -> tuple[BinaryIO, str]:
        """The file of a frame's video, open for reading, and its media type.

        Raises:
            MediaError: it can no longer be read, the policy forbids it, or it is no video file.
        """
        if view.time_s is None:
            raise MediaError("unsupported", f"view {view.view_id} is a picture; ask for its thumbnail")
        _refuse_live_frame(view)
        with self._kept.hold(view.uri, self._policy_for(view)) as path:
            file = open_regular(path)  # once open it can be read, even if its copy goes
        found = sniff(file.read(SNIFF_BYTES))
        if found not in VIDEO_FORMATS:  # what an address holds may have changed: no page or script is ever passed on
            file.close()
            raise MediaError("unsupported", f"the video of view {view.view_id} is no video file any more")
        return file, _TYPES.get(found, "application/octet-stream")

    def _picture(self, view: StoredView, side: int) -> Image.Image:
        policy = self._policy_for(view)
        _refuse_live_frame(view)
        if view.time_s is None:
            with fetch(view.uri, policy, "picture") as fetched:
                return self._pictures.open(fetched.read(), min_side=side)
        with self._kept.hold(view.uri, policy) as path:
            return self._videos.frame_at(path, view.time_s, min_side=side).picture

    def _policy_for(self, view: StoredView) -> MediaPolicy:
        root = Path(view.catalog_dir) if view.catalog_dir else None
        return replace(self._policy, root=root, allow_anywhere=False)


class _ThumbnailCache:
    """JPEGs by key, up to so many bytes; what was not used for longest goes first."""

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
    """The least of `SIZES` that is `size` or more; the largest where none is."""
    return next((side for side in SIZES if side >= size), SIZES[-1])


def _find_first(store: Store, item_id: str, conditions: Sequence[str]) -> StoredView | None:
    rows = _rows(store, " AND ".join([f"item_id = {quote(item_id)}", *conditions]))
    if not rows:
        return None
    row = min(rows, key=_sort_key)
    decided = ["safety_decision"] if "safety_decision" in store.items.schema.names else []
    found = store.items.search().where(f"item_id = {quote(item_id)}").select(["catalog_dir", *decided]).limit(1)
    items = found.to_arrow().to_pylist()
    if not items:  # left by a run that died: search does not find it either
        return None
    return StoredView(
        **{name: row[name] for name in _COLUMNS if name != "version"},
        version=row.get("version") or "",
        catalog_dir=items[0]["catalog_dir"],
        blocked=items[0].get("safety_decision") == "block",
    )


def _rows(store: Store, condition: str) -> list[dict[str, Any]]:
    columns = [name for name in _COLUMNS if name in store.views.schema.names]
    found = store.views.search().where(f"uri IS NOT NULL AND {condition}").select(columns).limit(None)
    rows: list[dict[str, Any]] = found.to_arrow().to_pylist()
    return rows


def _sort_key(row: dict[str, Any]) -> tuple[bool, list[tuple[int, str]]]:
    """Pictures before frames, and the tenth after the second."""
    parts = re.split(r"([0-9]+)", row["view_id"])
    return row["part"] != "image", [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _jpeg(picture: Image.Image, side: int) -> bytes:
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _refuse_live_frame(view: StoredView) -> None:
    if view.uri.startswith("live+"):
        raise MediaError("missing", f"view {view.view_id} is a frame of a live stream, whose pictures are not kept")
