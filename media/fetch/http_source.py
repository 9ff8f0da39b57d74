"""HTTP client for addresses in an untrusted catalogue: guarded, limited, without state between requests.

This module imports httpx, so `fetched_media` imports it only for remote addresses.
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
    "Accept-Encoding": "identity",  # media are compressed already; see `_decoded` for servers that ignore it
}


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
    headers: Mapping[str, str]  # names ignore case
    chunks: Iterator[bytes]  # each at most 64 KiB; any content encoding is removed


class HttpSource:
    """Reads http(s) addresses over one pool of connections. Several threads may use it at the same time.

    It uses no proxies, cookies, netrc or credentials: untrusted servers learn nothing about this machine.
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


class _PoolTransport(httpx.BaseTransport):
    """An httpx transport over an httpcore pool: httpx's own transport accepts no network backend."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=64,  # callers limit all fetches and the fetches per host
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
        raise MediaError("forbidden", f"{url} leads to {address.scheme!r}; use an http or https address")
    if address.userinfo:
        raise MediaError("forbidden", f"{address.host}: the address contains a user name or password; remove it")


def _require_file(response: httpx.Response, url: str, sent: Mapping[str, str]) -> None:
    status = response.status_code
    conditional = "If-None-Match" in sent or "If-Modified-Since" in sent
    if status == 200 or (status == 206 and "Range" in sent) or (status == 304 and conditional):
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
    """Seconds to wait according to a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3)."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _decoded(response: httpx.Response, url: str) -> Iterator[bytes]:
    """The body with gzip or deflate removed in small chunks, so that a limit on bytes stops a bomb early."""
    encodings = response.headers.get("content-encoding", "identity").lower()
    if encodings in ("", "identity"):
        for piece in response.iter_raw():
            for start in range(0, len(piece), _CHUNK):
                yield piece[start : start + _CHUNK]
        return
    if encodings not in ("gzip", "x-gzip", "deflate"):
        raise MediaError("unsupported", f"{url} has content encoding {encodings!r}; serve it without one")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # | 32: gzip or zlib, by the header
    for piece in response.iter_raw():
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
    except (
        httpx.InvalidURL,
        httpx.UnsupportedProtocol,
        httpx.RemoteProtocolError,
        httpcore.UnsupportedProtocol,
    ) as error:
        raise MediaError("unreachable", f"{url} is not a valid address ({error}); correct it") from error
