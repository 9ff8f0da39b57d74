"""HTTP client for addresses in an untrusted catalogue: guarded, limited, without state between requests.

This module imports httpcore, so `fetched_media` imports it only for remote addresses.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpcore

from firstsight.errors import FailureReason, MediaError
from firstsight.media.fetch.http_requests import make_pool, read_headers, send_get
from firstsight.media.fetch.network_guard import GuardedBackend, deadline

_CHUNK: Final = 1 << 16
_HEADERS: Final = {
    "User-Agent": "firstsight",
    "Accept": "image/*, video/*, */*;q=0.5",
    "Accept-Encoding": "identity",  # media are compressed already; see `_decoded` for servers that ignore it
}
_PHRASES: Final = frozenset(HTTPStatus)


class RetryableError(MediaError):
    """A failure that the next try may not have: 429, 5xx, a timeout or a dropped connection.

    Attributes:
        retry_after_s: seconds to wait according to the server (Retry-After), or None.
    """

    def __init__(self, reason: FailureReason, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason, message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class SourceResponse:
    """A server's answer: the whole file (200), the rest of it (206), or not modified (304)."""

    status: int
    headers: Mapping[str, str]  # by their names in lower case
    chunks: Iterator[bytes]  # each at most 64 KiB; any content encoding is removed


class HttpSource:
    """Reads http(s) addresses over one pool of connections. Several threads may use it at the same time."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        # callers limit all fetches and the fetches per host
        self._pool = make_pool(backend, max_connections=64, max_idle=32)

    def close(self) -> None:
        """Close the pooled connections."""
        self._pool.close()

    @contextmanager
    def stream(
        self, url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Iterator[SourceResponse]:
        """Send one request and give an iterator over the decoded bytes of the answer.

        Args:
            url: an http or https address.
            timeout_s: seconds for the whole request, including redirects and the body. Connecting may take a third
                of it and each wait for bytes a half, which leaves time for another try.
            headers: additional request headers. With a Range the answer may be 206, with a condition 304.

        Raises:
            MediaError: "missing" for 404 and 410; "forbidden" if an address is not public or not http(s);
                "unreachable" if the file is not sent; "timeout" after `timeout_s`; "unsupported" for an unknown content
                encoding. Iterating raises these too. `RetryableError` if another try may succeed.
        """
        timeouts = {"connect": timeout_s / 3, "read": timeout_s / 2, "write": timeout_s / 2, "pool": timeout_s}
        sent = headers or {}
        with _errors_as_media_errors(url), deadline(timeout_s):
            answer = send_get(self._pool, url, {**_HEADERS, **sent}, timeouts)
            try:
                received = read_headers(answer)
                _require_file(answer.status, received, url, sent)
                yield SourceResponse(answer.status, received, _decoded(answer, received, url))
            finally:
                answer.close()


_shared: Final[dict[bool, HttpSource]] = {}
_shared_lock: Final = threading.Lock()


def shared_source(allow_private: bool) -> HttpSource:
    """The process's source for each setting: connections made without the address check are never reused with it."""
    with _shared_lock:
        if allow_private not in _shared:
            _shared[allow_private] = HttpSource(GuardedBackend(allow_private=allow_private))
        return _shared[allow_private]


def close_shared_sources() -> None:
    """Close the process's pooled connections. The next fetch opens new ones."""
    with _shared_lock:
        while _shared:
            _shared.popitem()[1].close()


def _require_file(status: int, received: Mapping[str, str], url: str, sent: Mapping[str, str]) -> None:
    """Check that an answer has the requested file.

    Args:
        received: headers of the answer.
        sent: headers of the request.
    """
    conditional = "If-None-Match" in sent or "If-Modified-Since" in sent
    if status == 200 or (status == 206 and "Range" in sent) or (status == 304 and conditional):
        return
    phrase = f"{status} {HTTPStatus(status).phrase}" if status in _PHRASES else str(status)
    if status in (404, 410):
        raise MediaError("missing", f"{url} does not exist (the server answered {phrase}); correct the address")
    message = f"{url} was not sent (the server answered {phrase}); try again later"
    if status == 429 or status >= 500:
        raise RetryableError("unreachable", message, _retry_after(received.get("retry-after", "")))
    raise MediaError("unreachable", message)


def _retry_after(value: str) -> float | None:
    """Seconds to wait according to a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3)."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _decoded(answer: httpcore.Response, headers: Mapping[str, str], url: str) -> Iterator[bytes]:
    """The body with gzip or deflate removed in small chunks, so that a limit on bytes stops a bomb early."""
    encodings = headers.get("content-encoding", "identity").lower()
    if encodings in ("", "identity"):
        for piece in answer.iter_stream():
            for start in range(0, len(piece), _CHUNK):
                yield piece[start : start + _CHUNK]
        return
    if encodings not in ("gzip", "x-gzip", "deflate"):
        raise MediaError("unsupported", f"{url} has content encoding {encodings!r}; serve it without one")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # | 32: gzip or zlib, by the header
    for piece in answer.iter_stream():
        while piece and not inflater.eof:
            yield inflater.decompress(piece, _CHUNK)
            piece = inflater.unconsumed_tail
    yield inflater.flush()
    if not inflater.eof:
        raise MediaError("unreachable", f"{url} ended before its {encodings} encoding was complete; try again")


@contextmanager
def _errors_as_media_errors(url: str) -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise RetryableError("timeout", f"{url} exceeded the time limit; raise it (--timeout) or try again") from error
    except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
        detail = str(error) or type(error).__name__
        raise RetryableError("unreachable", f"{url} could not be fetched ({detail}); try again") from error
    except (httpcore.ProtocolError, zlib.error) as error:
        raise MediaError("unreachable", f"{url} could not be fetched ({error}); try again") from error
