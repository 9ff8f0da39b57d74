"""Bytes from http(s) addresses that a catalogue names: guarded, bounded, without state between calls.

This module imports httpx; `fetch` imports it only when a remote address is met.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpcore
import httpx

from firstsight.errors import MediaError
from firstsight.media.guard import GuardedBackend, deadline

MAX_REDIRECTS: Final = 5
_CHUNK: Final = 1 << 16
_HEADERS: Final = {
    "User-Agent": "firstsight",
    "Accept": "image/*, video/*, */*;q=0.5",
    "Accept-Encoding": "identity",  # media are compressed already; what comes anyway is undone in small steps
}


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
    def stream(self, url: str, *, timeout_s: float) -> Iterator[Iterator[bytes]]:
        """Open an address and iterate over its decoded bytes, in chunks of at most 64 KiB.

        Args:
            url: an http or https address.
            timeout_s: seconds for all of it, redirects and the whole body included.

        Raises:
            MediaError: "forbidden", "missing", "unreachable", "timeout" or "unsupported"; also while
                iterating.
        """
        with _errors_as_media_errors(url), deadline(timeout_s):
            response = self._open(url, timeout_s)
            try:
                yield _decoded(response, url)
            finally:
                response.close()

    def _open(self, url: str, timeout_s: float) -> httpx.Response:
        request = self._client.build_request("GET", url, timeout=timeout_s)
        for _ in range(MAX_REDIRECTS + 1):
            _require_plain_address(request.url, url)
            response = self._client.send(request, stream=True)
            following = response.next_request
            if following is None:
                _require_file(response, url)
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
            max_connections=32,
            max_keepalive_connections=16,
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


def _require_plain_address(address: httpx.URL, url: str) -> None:
    if address.scheme not in ("http", "https") or not address.host:
        raise MediaError("forbidden", f"{url} leads to {address.scheme!r}; media are fetched over http and https only")
    if address.userinfo:
        raise MediaError(
            "forbidden", f"{address.host}: an address with a user name or password is not fetched; remove it"
        )


def _require_file(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status == 200:
        return
    response.close()
    phrase = f"{status} {response.reason_phrase}".strip()
    if status in (404, 410):
        raise MediaError("missing", f"{url} does not exist (the server answered {phrase}); correct the address")
    raise MediaError("unreachable", f"{url} was not sent (the server answered {phrase}); try again later")


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
        raise MediaError(
            "timeout", f"{url} took longer than allowed; raise the time limit (--timeout) or try again"
        ) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, zlib.error) as error:
        detail = str(error) or type(error).__name__
        raise MediaError("unreachable", f"{url} could not be fetched ({detail}); try again") from error
    except (
        httpx.InvalidURL,
        httpx.UnsupportedProtocol,
        httpx.RemoteProtocolError,
        httpcore.UnsupportedProtocol,
    ) as error:
        raise MediaError("unreachable", f"{url} is not a valid address ({error}); correct it") from error
