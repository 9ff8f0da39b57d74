"""Bytes from http(s) addresses that a catalogue names: guarded, bounded, without state between calls.

This module imports httpx; `fetch` imports it only when a remote address is met.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpcore
import httpx

from firstsight.errors import FailureReason, MediaError
from firstsight.media.fetch.network_guard import GuardedBackend, deadline

MAX_REDIRECTS: Final = 5
_CHUNK: Final = 1 << 16
_HEADERS: Final = {
    "User-Agent": "firstsight",
    "Accept": "image/*, video/*, */*;q=0.5",
    "Accept-Encoding": "identity",  # media are compressed already; what comes anyway is undone in small steps
}


class RetryableError(MediaError):
    """A failure that may be gone at the next try: 429, 5xx, a time-out or a dropped connection.

    Attributes:
        retry_after_s: seconds to wait that the server asked for (Retry-After), or None.
    """

    def __init__(self, reason: FailureReason, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason, message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class SourceResponse:
    """What a server sent: the whole file (200), the rest of it (206), or word that it has not changed (304)."""

    status: int
    headers: Mapping[str, str]  # names in any case
    chunks: Iterator[bytes]  # of at most 64 KiB, any content encoding undone


class HttpSource:
    """Reads http(s) addresses over one pool of connections; several threads may use it at once.

    No proxies, cookies, netrc or credentials: nothing of the machine's own reaches an untrusted server.
    """

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._client = httpx.Client(
            transport=_PoolTransport(backend),
            trust_env=False,
            follow_redirects=False,
            headers=_HEADERS,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        )

    def close(self) -> None:
        """Close the pooled connections."""
        self._client.close()

    @contextmanager
    def stream(
        self, url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Iterator[SourceResponse]:
        """Open an address, once, and iterate over its decoded bytes.

        Args:
            url: an http or https address.
            timeout_s: seconds for all of it, redirects and the whole body included. A connection gets a third of
                it and each wait for bytes a half, so that there is time for another try.
            headers: sent besides the usual ones; with a Range the answer may be a 206, with a condition a 304.

        Raises:
            MediaError: "forbidden", "missing", "unreachable", "timeout" or "unsupported"; also while
                iterating. `RetryableError` where another try may mend it.
        """
        with _errors_as_media_errors(url), deadline(timeout_s):
            response = self._open(url, timeout_s, headers or {})
            try:
                yield SourceResponse(response.status_code, response.headers, _decoded(response, url))
            finally:
                response.close()

    def _open(self, url: str, timeout_s: float, headers: Mapping[str, str]) -> httpx.Response:
        limits = httpx.Timeout(timeout_s / 2, connect=timeout_s / 3, pool=timeout_s)
        request = self._client.build_request("GET", url, headers=dict(headers), timeout=limits)
        for _ in range(MAX_REDIRECTS + 1):
            _require_http_address(request.url, url)
            response = self._client.send(request, stream=True)
            following = response.next_request
            if following is None:
                _require_file(response, url, headers)
                return response
            response.close()
            if request.url.scheme == "https" and following.url.scheme != "https":
                raise MediaError(
                    "forbidden", f"{url} redirects from https to {following.url.scheme}; use the new address"
                )
            request = following
        raise MediaError("unreachable", f"{url} redirects more than {MAX_REDIRECTS} times; use the final address")


_shared: Final[dict[bool, HttpSource]] = {}
_shared_lock: Final = threading.Lock()


def shared_source(allow_private: bool) -> HttpSource:
    """The process's one source per setting: a connection made without the check is never reused under it."""
    with _shared_lock:
        if allow_private not in _shared:
            _shared[allow_private] = HttpSource(GuardedBackend(allow_private=allow_private))
        return _shared[allow_private]


def close_shared_sources() -> None:
    """Close the process's pooled connections; the next fetch opens new ones."""
    with _shared_lock:
        while _shared:
            _shared.popitem()[1].close()


class _PoolTransport(httpx.BaseTransport):
    """httpx over an httpcore pool, since httpx's own transport takes no network backend."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=64,  # who fetches has a limit of its own, and of connections to one host
            max_keepalive_connections=32,
            keepalive_expiry=15.0,
            network_backend=backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_PooledBody(answer), extensions=answer.extensions
        )

    def close(self) -> None:
        self._pool.close()


class _PooledBody(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


def _require_http_address(address: httpx.URL, url: str) -> None:
    if address.scheme not in ("http", "https") or not address.host:
        raise MediaError("forbidden", f"{url} leads to {address.scheme!r}; media are fetched over http and https only")
    if address.userinfo:
        raise MediaError(
            "forbidden", f"{address.host}: an address with a user name or password is not fetched; remove it"
        )


def _require_file(response: httpx.Response, url: str, asked: Mapping[str, str]) -> None:
    status = response.status_code
    conditional = "If-None-Match" in asked or "If-Modified-Since" in asked
    if status == 200 or (status == 206 and "Range" in asked) or (status == 304 and conditional):
        return
    response.close()
    phrase = f"{status} {response.reason_phrase}".strip()
    if status in (404, 410):
        raise MediaError("missing", f"{url} does not exist (the server answered {phrase}); correct the address")
    message = f"{url} was not sent (the server answered {phrase}); try again later"
    if status == 429 or status >= 500:
        raise RetryableError("unreachable", message, _retry_after(response.headers.get("retry-after", "")))
    raise MediaError("unreachable", message)


def _retry_after(value: str) -> float | None:
    """Seconds that a Retry-After header asks for, given as seconds or as a date (RFC 9110, 10.2.3)."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _decoded(response: httpx.Response, url: str) -> Iterator[bytes]:
    """The body with gzip or deflate undone a chunk at a time, so that who counts bytes stops a bomb early."""
    encodings = response.headers.get("content-encoding", "identity").lower()
    if encodings in ("", "identity"):
        for piece in response.iter_raw():
            for start in range(0, len(piece), _CHUNK):
                yield piece[start : start + _CHUNK]
        return
    if encodings not in ("gzip", "x-gzip", "deflate"):
        raise MediaError("unsupported", f"{url} is sent with content encoding {encodings!r}; serve it without")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # | 32: gzip or zlib, by the header
    for piece in response.iter_raw():
        while piece and not inflater.eof:
            yield inflater.decompress(piece, _CHUNK)
            piece = inflater.unconsumed_tail
    yield inflater.flush()
    if not inflater.eof:
        raise MediaError("unreachable", f"{url} ended early, within its {encodings} encoding; try again")


@contextmanager
def _errors_as_media_errors(url: str) -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise RetryableError(
            "timeout", f"{url} took longer than allowed; raise the time limit (--timeout) or try again"
        ) from error
    except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
        detail = str(error) or type(error).__name__
        raise RetryableError("unreachable", f"{url} could not be fetched ({detail}); try again") from error
    except (httpcore.ProtocolError, zlib.error) as error:
        raise MediaError("unreachable", f"{url} could not be fetched ({error}); try again") from error
    except (
        httpx.InvalidURL,
        httpx.UnsupportedProtocol,
        httpx.RemoteProtocolError,
        httpcore.UnsupportedProtocol,
    ) as error:
        raise MediaError("unreachable", f"{url} is not a valid address ({error}); correct it") from error
