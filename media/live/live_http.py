"""HTTP client that FFmpeg uses for live streams: FFmpeg itself opens no connection.

A playlist names further addresses, and these may name more (variants, segments, keys). FFmpeg opens each of them
through `LiveHttp.open`. All connections and redirects pass the same guard as other media (`network_guard`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import httpcore

from firstsight.errors import MediaError
from firstsight.media.fetch.http_requests import make_pool, read_headers, send_get

_HEADERS: Final = {"User-Agent": "firstsight", "Accept": "*/*", "Accept-Encoding": "identity"}


class LiveHttp:
    """Opens the addresses of one stream over one pool of connections. For one thread.

    Args:
        backend: opens the connections; a `network_guard.GuardedBackend`.
        wait_s: seconds to connect, and for each wait for bytes. A whole body may take any time.
    """

    def __init__(self, backend: httpcore.NetworkBackend, *, wait_s: float) -> None:
        self._timeouts = dict.fromkeys(("connect", "read", "write", "pool"), wait_s)
        self._pool = make_pool(backend, max_connections=8)
        self.first: LiveBody | None = None
        """The body of the stream's own address; None before it is open."""

    def open(self, url: str, flags: int = 0, options: object = None) -> LiveBody:
        """Open an address; `av.open` calls this as its `io_open`.

        Raises:
            MediaError: "missing" for 404 and 410; "forbidden" if an address is not public or not http(s);
                "unreachable" for other failures; "timeout" after `wait_s` seconds without bytes; "unsupported" for a
                compressed body. Reading the body raises these too.
        """
        with _errors_as_media_errors(url):
            body = LiveBody(send_get(self._pool, url, _HEADERS, self._timeouts), url)
        self.first = self.first or body
        return body

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class LiveBody:
    """A response's body as a file for FFmpeg. It cannot seek."""

    def __init__(self, answer: httpcore.Response, url: str) -> None:
        self.name = url
        self._answer = answer
        headers = read_headers(answer)
        try:
            _require_stream(answer.status, headers, url)
        except MediaError:
            answer.close()
            raise
        self._chunks: Iterator[bytes] = answer.iter_stream()
        self._left = b""
        self.length_known = "content-length" in headers or "transfer-encoding" in headers
        """Whether the server announces where the body ends. If not, an end may be a lost connection."""

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes, as soon as any arrive; empty at the end.

        Raises:
            MediaError: as for `LiveHttp.open`.
        """
        with _errors_as_media_errors(self.name):
            while not self._left:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return b""
                self._left = chunk
        data, self._left = self._left[:size], self._left[size:]
        return data

    def close(self) -> None:
        """Release the connection."""
        self._answer.close()


def _require_stream(status: int, headers: Mapping[str, str], url: str) -> None:
    if status in (404, 410):
        raise MediaError("missing", f"{url} does not exist (the server answered {status}); correct the address")
    if status != 200:
        raise MediaError("unreachable", f"{url} was not sent (the server answered {status}); try again later")
    if headers.get("content-encoding", "identity") not in ("", "identity"):
        raise MediaError("unsupported", f"{url} is compressed; serve it uncompressed")


@contextmanager
def _errors_as_media_errors(url: str) -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise MediaError("timeout", f"{url} sent nothing for too long; check that it is running") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        detail = str(error) or type(error).__name__
        raise MediaError("unreachable", f"{url} could not be fetched ({detail}); check that it is running") from error
