"""Part of a file as an answer (RFC 9110, section 14): how a browser plays a video from the middle."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

CHUNK = 256 * 1024
"""Bytes read and sent at once."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class FileRangeResponse(StreamingResponse):
    """A file that is open, whole or in part; closed once it was sent or the client has gone."""

    def __init__(self, file: BinaryIO, first: int, length: int, status: int, headers: dict[str, str]) -> None:
        super().__init__(_read(file, first, length), status, headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


def make_range_response(
    file: BinaryIO, *, media_type: str, etag: str, range_header: str | None = None, if_range: str | None = None
) -> Response:
    """The answer to a request for a file or one range of it.

    Args:
        file: open for reading; the answer closes it.
        etag: of these bytes, quoted.
        range_header: the Range header. Several ranges, and units other than bytes, are answered with the whole file,
            as the standard allows.
        if_range: the If-Range header: another version gets the whole file.

    Returns:
        200 with all of it, 206 with a part, or 416 where the part lies past the end.
    """
    size = os.fstat(file.fileno()).st_size
    headers = {"content-type": media_type, "etag": etag, "accept-ranges": "bytes"}
    match = _RANGE.fullmatch(range_header.strip()) if range_header and if_range in (None, etag) else None
    if match is None or match.groups() == ("", ""):
        return FileRangeResponse(file, 0, size, 200, headers | {"content-length": str(size)})
    start, end = match.groups()
    first = int(start) if start else max(size - int(end), 0)
    last = min(int(end), size - 1) if start and end else size - 1
    if start and end and int(end) < int(start):  # no range at all: as if it were not there
        return FileRangeResponse(file, 0, size, 200, headers | {"content-length": str(size)})
    if first > last:
        file.close()
        return Response(status_code=416, headers={"content-range": f"bytes */{size}", "accept-ranges": "bytes"})
    length = last - first + 1
    headers |= {"content-range": f"bytes {first}-{last}/{size}", "content-length": str(length)}
    return FileRangeResponse(file, first, length, 206, headers)


def _read(file: BinaryIO, first: int, length: int) -> Iterator[bytes]:
    file.seek(first)
    while length > 0:
        data = file.read(min(CHUNK, length))
        if not data:  # it was cut short meanwhile: the client sees that the length is wrong
            return
        length -= len(data)
        yield data
