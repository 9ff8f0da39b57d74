"""Pictures of requests: data URIs, base64, uploads and http(s) addresses, decoded in child processes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio.to_thread import run_sync
from PIL import Image

from firstsight.errors import FirstsightError, MediaError
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.fetch.fetched_media import fetch, fetch_bytes
from firstsight.media.policy import MediaPolicy
from firstsight.service.service_settings import ServiceSettings

MAX_CONCURRENT_MEDIA: Final = 16
"""Maximum media that are fetched at the same time; the same number is decoded. Others wait without a thread, so slow
servers delay neither searches nor pictures that came inside their requests."""

MAX_VIDEO_BYTES: Final = 256 * 2**20
"""Maximum bytes of a video in a query."""

_HTTP: Final = re.compile(r"https?://", re.IGNORECASE)
_DATA: Final = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)


def is_http_url(text: str) -> bool:
    """Whether a text is an http(s) address; requests may use no other addresses."""
    return _HTTP.match(text) is not None


class PictureReader:
    """Thread-safe reader of the pictures of requests, within the limits of the service."""

    def __init__(self, settings: ServiceSettings) -> None:
        # never read local files, however a request names them
        self.policy: MediaPolicy = replace(settings.policy, root=None, allow_anywhere=False)
        self._decoder = PictureDecoder(workers=settings.decoders, max_pixels=settings.max_pixels)
        self._fetching, self._reading = (
            anyio.CapacityLimiter(MAX_CONCURRENT_MEDIA),
            anyio.CapacityLimiter(MAX_CONCURRENT_MEDIA),
        )

    def read(self, picture: str | bytes) -> bytes:
        """Return the bytes of a picture file.

        Args:
            picture: bytes of an upload, a data URI, base64, or an http(s) address, which is fetched under the policy.

        Raises:
            MediaError: reason "forbidden", "unreachable", "timeout", "too_large", "corrupt" or "unsupported".
        """
        if isinstance(picture, bytes):
            return picture
        if is_http_url(picture):
            return fetch_bytes(picture, self.policy)
        head = _DATA.match(picture)
        if head is None and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", picture):
            raise MediaError(
                "forbidden", f"{picture[:80]} cannot be fetched; give an http(s) address, a data URI or base64"
            )
        if head is not None and ";base64" not in head.group(2).lower():
            raise MediaError("unsupported", "the data URI of a picture has no ;base64; encode the file in base64")
        try:
            return base64.b64decode(picture[head.end() if head else 0 :], validate=True)
        except (binascii.Error, ValueError):
            raise MediaError(
                "corrupt", f"{picture[:40]!r} is neither base64 nor an http(s) address; send the file in base64"
            ) from None

    def open(self, picture: str | bytes, *, min_side: int | None = None) -> Image.Image:
        """Decode a picture to upright RGB.

        Args:
            picture: as in `read`.
            min_side: minimum pixels of the shorter side, as in `firstsight.media.pictures.open_picture`.

        Raises:
            MediaError: the picture cannot be read or decoded.
        """
        return self._decoder.open(self.read(picture), min_side=min_side)

    async def open_all(
        self, pictures: Sequence[str | bytes], *, min_side: int | None = None
    ) -> list[Image.Image | FirstsightError]:
        """Open pictures in threads; return a picture or an error for each, in order."""
        opened: list[Image.Image | FirstsightError] = [MediaError("unreachable", "not opened") for _ in pictures]

        async def open_one(place: int, picture: str | bytes) -> None:
            remote = isinstance(picture, str) and is_http_url(picture)
            try:
                opened[place] = await run_sync(
                    partial(self.open, picture, min_side=min_side), limiter=self._fetching if remote else self._reading
                )
            except FirstsightError as error:
                opened[place] = error

        async with (
            anyio.create_task_group() as group
        ):  # when cancelled, it waits for its threads, which hold their slots
            for place, picture in enumerate(pictures):
                group.start_soon(open_one, place, picture)
        return opened

    @asynccontextmanager
    async def fetch_video(self, address: str) -> AsyncIterator[Path]:
        """Fetch a video from an http(s) address; give its file until the block ends.

        Raises:
            MediaError: the address is not http(s), the policy forbids it, or the video cannot be fetched.
        """
        if not is_http_url(address):
            raise MediaError(
                "forbidden", f"{address[:80]} is not an http(s) address; give the http(s) address of the video"
            )
        policy = replace(self.policy, max_video_bytes=min(self.policy.max_video_bytes, MAX_VIDEO_BYTES))
        fetched = await run_sync(partial(fetch, address, policy, "video"), limiter=self._fetching)
        try:
            yield fetched.path()
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(fetched.close)

    def close(self) -> None:
        """Wait for running decodes and stop the child processes."""
        self._decoder.close()
