"""HTTP client that FFmpeg uses for live streams: FFmpeg itself opens no connection.

A playlist names further addresses, and these may name more (variants, segments, keys). FFmpeg opens each of them
through `LiveHttp.open`. All connections and redirects pass the same guard as other media (`network_guard`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx

from firstsight.errors import MediaError

MAX_REDIRECTS: Final = 5
_HEADERS: Final = (("User-Agent", "firstsight"), ("Accept", "*/*"), ("Accept-Encoding", "identity"))
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class LiveHttp:
    """Opens the addresses of one stream over one pool of connections. For one thread.

    Args:
        backend: opens the connections; a `network_guard.GuardedBackend`.
        wait_s: seconds to connect, and for each wait for bytes. A whole body may take any time.
    """

    def __init__(self, backend: httpcore.NetworkBackend, *, wait_s: float) -> None:
        self._wait_s = wait_s
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=8,
            keepalive_expiry=15.0,
            network_backend=backend,
        )
        self.first: LiveBody | None = None
        """The body of the stream's own address; None before it is open."""

    def open(self, url: str, flags: int = 0, options: object = None) -> LiveBody:
        """Open an address; `av.open` calls this as its `io_open`.

        Raises:
            MediaError: "missing" for 404 and 410; "forbidden" if an address is not public or not http(s);
                "unreachable" for other failures; "timeout" after `wait_s` seconds without bytes; "unsupported" for a
                compressed body. Reading the body raises these too.
        """
        address = url
        with _errors_as_media_errors(url):
            for _ in range(MAX_REDIRECTS + 1):
                _require_http_address(address)
                answer = self._send(address)
                if answer.status not in _REDIRECTS:
                    body = LiveBody(answer, url)
                    self.first = self.first or body
                    return body
                answer.close()
                following = urljoin(address, _header(answer, b"location"))
                if address.startswith("https:") and not following.startswith("https:"):
                    raise MediaError("forbidden", f"{url} redirects from https to {following}; use the new address")
                address = following
        raise MediaError("unreachable", f"{url} redirects more than {MAX_REDIRECTS} times; use the final address")

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _send(self, url: str) -> httpcore.Response:
        # encode spaces and similar characters: players accept them in playlists
        plain = re.sub(r"[^!-~]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), url)
        headers: list[tuple[bytes | str, bytes | str]] = [("Host", urlsplit(plain).netloc), *_HEADERS]
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), self._wait_s)
        return self._pool.handle_request(
            httpcore.Request("GET", plain.partition("#")[0], headers=headers, extensions={"timeout": timeout})
        )


class LiveBody:
    """A response's body as a file for FFmpeg. It cannot seek."""

    def __init__(self, answer: httpcore.Response, url: str) -> None:
        self.name = url
        self._answer = answer
        try:
            _require_stream(answer, url)
        except MediaError:
            answer.close()
            raise
        self._chunks: Iterator[bytes] = answer.iter_stream()
        self._left = b""
        self.length_known = bool(_header(answer, b"content-length") or _header(answer, b"transfer-encoding"))
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


def _require_http_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MediaError("forbidden", f"{url[:200]} is not an http(s) address; live streams may only use these")
    if parts.username is not None or parts.password is not None:
        raise MediaError("forbidden", f"{parts.hostname}: the address contains a user name or password; remove it")


def _require_stream(answer: httpcore.Response, url: str) -> None:
    if answer.status in (404, 410):
        raise MediaError("missing", f"{url} does not exist (the server answered {answer.status}); correct the address")
    if answer.status != 200:
        raise MediaError("unreachable", f"{url} was not sent (the server answered {answer.status}); try again later")
    if _header(answer, b"content-encoding") not in ("", "identity"):
        raise MediaError("unsupported", f"{url} is compressed; serve it uncompressed")


def _header(answer: httpcore.Response, name: bytes) -> str:
    return next((value.decode("latin-1").strip() for key, value in answer.headers if key.lower() == name), "")


@contextmanager
def _errors_as_media_errors(url: str) -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise MediaError("timeout", f"{url} sent nothing for too long; check that it is running") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, ValueError) as error:
        detail = str(error) or type(error).__name__
        raise MediaError("unreachable", f"{url} could not be fetched ({detail}); check that it is running") from error
