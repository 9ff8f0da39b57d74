"""Pictures that requests bring: data URIs, base64, uploads and public addresses; decoded in child processes."""

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
"""Pictures and videos that are fetched at once, and as many that are decoded: the others wait before they take a
thread, so that slow servers hold up no search, and no picture that came with its request."""

MAX_VIDEO_BYTES: Final = 256 * 2**20
"""Of a video in a query."""

_HTTP: Final = re.compile(r"https?://", re.IGNORECASE)
_DATA: Final = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)


def is_http_url(text: str) -> bool:
    """Whether it is an http(s) address, the only ones that a request may name."""
    return _HTTP.match(text) is not None


class PictureReader:
    """Opens the pictures of requests within the service's limits; for any number of threads."""

    def __init__(self, settings: ServiceSettings) -> None:
        # never a file of this machine, whatever a request calls it
        self.policy: MediaPolicy = replace(settings.policy, root=None, allow_anywhere=False)
        self._decoder = PictureDecoder(workers=settings.decoders, max_pixels=settings.max_pixels)
        self._fetching, self._reading = (
            anyio.CapacityLimiter(MAX_CONCURRENT_MEDIA),
            anyio.CapacityLimiter(MAX_CONCURRENT_MEDIA),
        )

    def read(self, picture: str | bytes) -> bytes:
        """The file's bytes of an upload, a data URI, base64, or an http(s) address, which is fetched through the guard.

        Raises:
            MediaError: "forbidden", "unreachable", "timeout", "too_large", "corrupt" or "unsupported".
        """
        if isinstance(picture, bytes):
            return picture
        if is_http_url(picture):
            return fetch_bytes(picture, self.policy)
        head = _DATA.match(picture)
        if head is None and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", picture):
            raise MediaError("forbidden", f"{picture[:80]} cannot be fetched; give http(s), a data URI or base64")
        if head is not None and ";base64" not in head.group(2).lower():
            raise MediaError("unsupported", "a data URI of a picture has to say ;base64; encode the file so")
        try:
            return base64.b64decode(picture[head.end() if head else 0 :], validate=True)
        except (binascii.Error, ValueError):
            raise MediaError(
                "corrupt", f"{picture[:40]!r} is neither base64 nor an http(s) address; send the file in base64"
            ) from None

    def open(self, picture: str | bytes, *, min_side: int | None = None) -> Image.Image:
        """Decode a picture to upright RGB.

        Args:
            min_side: as `firstsight.media.pictures.open_picture` takes it.

        Raises:
            MediaError: as `read`, and what the decoder says.
        """
        return self._decoder.open(self.read(picture), min_side=min_side)

    async def open_all(
        self, pictures: Sequence[str | bytes], *, min_side: int | None = None
    ) -> list[Image.Image | FirstsightError]:
        """As `open` for each, in threads, as soon as there are some; one bad picture costs the others nothing."""
        opened: list[Image.Image | FirstsightError] = [MediaError("unreachable", "not opened") for _ in pictures]

        async def open_one(place: int, picture: str | bytes) -> None:
            far = isinstance(picture, str) and is_http_url(picture)
            try:
                opened[place] = await run_sync(
                    partial(self.open, picture, min_side=min_side), limiter=self._fetching if far else self._reading
                )
            except FirstsightError as error:
                opened[place] = error

        async with anyio.create_task_group() as group:  # given up, it waits for its threads and keeps their places
            for place, picture in enumerate(pictures):
                group.start_soon(open_one, place, picture)
        return opened

    @asynccontextmanager
    async def fetch_video(self, address: str) -> AsyncIterator[Path]:
        """The file of a video at an http(s) address, until the block ends.

        Raises:
            MediaError: as `firstsight.media.fetch.fetched_media.fetch`, and for what is no such address.
        """
        if not is_http_url(address):
            raise MediaError("forbidden", f"{address[:80]} is no http(s) address; a query video is named by one")
        policy = replace(self.policy, max_video_bytes=min(self.policy.max_video_bytes, MAX_VIDEO_BYTES))
        fetched = await run_sync(partial(fetch, address, policy, "video"), limiter=self._fetching)
        try:
            yield fetched.path()
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(fetched.close)

    def close(self) -> None:
        """Wait for the pictures in hand and end the decoding children."""
        self._decoder.close()
