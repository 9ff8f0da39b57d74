"""Answers with a file or a byte range of it (RFC 9110, section 14), so browsers can play videos from any second."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

CHUNK = 256 * 1024
"""Bytes per read and send."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class FileRangeResponse(StreamingResponse):
    """Sends an open file or a part of it, then closes it; also if the client disconnects."""

    def __init__(self, file: BinaryIO, first: int, length: int, status: int, headers: dict[str, str]) -> None:
        super().__init__(_read(file, first, length), status, headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer and close the file."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


def make_range_response(
    file: BinaryIO, *, media_type: str, etag: str, range_header: str | None = None, if_range: str | None = None
) -> Response:
    """Make the answer to a request for a file or one range of it.

    Args:
        file: file that is open for reading; the answer closes it.
        media_type: content type of the file.
        etag: quoted ETag of the file.
        range_header: the Range header. Several ranges, and units other than bytes, get the whole file, as the standard
            allows.
        if_range: the If-Range header. If it names another version, the answer is the whole file.

    Returns:
        200 with the whole file, 206 with the range, or 416 if the range starts past the end.
    """
    size = os.fstat(file.fileno()).st_size
    headers = {"content-type": media_type, "etag": etag, "accept-ranges": "bytes"}
    match = _RANGE.fullmatch(range_header.strip()) if range_header and if_range in (None, etag) else None
    if match is None or match.groups() == ("", ""):
        return FileRangeResponse(file, 0, size, 200, headers | {"content-length": str(size)})
    start, end = match.groups()
    first = int(start) if start else max(size - int(end), 0)
    last = min(int(end), size - 1) if start and end else size - 1
    if start and end and int(end) < int(start):  # an invalid range is ignored
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
        if not data:  # the file became shorter: the client sees the wrong length
            return
        length -= len(data)
        yield data
