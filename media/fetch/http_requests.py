"""GET requests to untrusted http(s) servers over an httpcore pool: addresses, headers and redirects.

A request has no cookies, credentials or proxies: servers learn nothing about this machine.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpcore

from firstsight.errors import MediaError

MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MAX_ADDRESS: Final = 1 << 16  # characters
_TO_ENCODE: Final = re.compile(r'[^!-~]|["<>\\^`{|}]')
"""Characters that an address may not contain (RFC 3986), but that browsers and players accept and encode."""


def make_pool(
    backend: httpcore.NetworkBackend, *, max_connections: int, max_idle: int | None = None
) -> httpcore.ConnectionPool:
    """Make a pool of connections.

    Args:
        backend: opens the connections.
        max_connections: maximum number of open connections.
        max_idle: maximum number of connections kept for later requests, 15 seconds each; None: all.
    """
    return httpcore.ConnectionPool(
        ssl_context=trusted_certificates(),
        max_connections=max_connections,
        max_keepalive_connections=max_idle,
        keepalive_expiry=15.0,
        network_backend=backend,
    )


def send_get(
    pool: httpcore.ConnectionPool, url: str, headers: Mapping[str, str], timeouts: Mapping[str, float]
) -> httpcore.Response:
    """Send a GET request and follow its redirects. The caller reads and closes the answer.

    Args:
        pool: from `make_pool`.
        url: an http or https address.
        headers: of the request.
        timeouts: seconds to "connect", "read", "write", and to wait for the "pool".

    Raises:
        MediaError: "forbidden" if an address is not http(s), has a password, or leaves https; "unreachable" if an
            address is invalid or there are too many redirects.
        httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException: the request failed.
    """
    address = url
    for _ in range(MAX_REDIRECTS + 1):
        target, host = _parse(address, url)
        fields = {"Host": host, **headers}
        request = httpcore.Request(
            "GET",
            target,
            headers=[(name.encode(), value.encode()) for name, value in fields.items()],
            extensions={"timeout": dict(timeouts)},
        )
        answer = pool.handle_request(request)
        location = read_headers(answer).get("location")
        if answer.status not in _REDIRECTS or location is None:
            return answer
        answer.close()
        address = resolve_redirect(address, location, url)
    raise MediaError("unreachable", f"{url} redirects more than {MAX_REDIRECTS} times; use the final address")


def read_headers(answer: httpcore.Response) -> dict[str, str]:
    """Return the headers of an answer by their names in lower case; values of a repeated name are joined by commas.

    Values are read as UTF-8, and as Latin-1 if they are not. Either way `send_get` accepts them.
    """
    headers: dict[str, str] = {}
    for key, value in answer.headers:
        try:
            text = value.decode().strip()
        except UnicodeDecodeError:
            text = value.decode("latin-1").strip()
        name = key.decode("latin-1").lower()
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


def resolve_redirect(address: str, location: str, url: str) -> str:
    """The address that a redirect leads to.

    Args:
        address: the redirected address.
        location: the Location header of the answer.
        url: the address before all redirects, for messages.

    Raises:
        MediaError: "forbidden" if the redirect leaves https, "unreachable" if the new address is invalid.
    """
    try:
        following = urljoin(address, location)
        scheme = urlsplit(following).scheme
    except ValueError as error:
        raise _invalid(url, error) from error
    if urlsplit(address).scheme == "https" and scheme != "https":
        raise MediaError("forbidden", f"{url} redirects from https to {scheme or 'no scheme'}; use the new address")
    return following


def trusted_certificates() -> ssl.SSLContext:
    """TLS that trusts the certificates of SSL_CERT_FILE and SSL_CERT_DIR, else those of the system and of certifi.

    They are read once: the pool itself would read them for each connection.
    """
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context()  # OpenSSL reads these variables
    return httpcore.default_ssl_context()


def _parse(address: str, url: str) -> tuple[httpcore.URL, str]:
    """Split an address for httpcore, and make its Host header. `url` is the address before redirects, for messages."""
    try:
        if len(address) > _MAX_ADDRESS:
            raise ValueError(f"it has more than {_MAX_ADDRESS:,} characters")
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in _DEFAULT_PORTS or not host:
            raise MediaError("forbidden", f"{url[:200]} leads to {parts.scheme!r}; use an http or https address")
        if parts.username is not None or parts.password is not None:
            raise MediaError("forbidden", f"{host[:200]}: the address contains a user name or password; remove it")
        if not host.isascii():
            host = host.encode("idna").decode()
        if not re.fullmatch("[!-~]+", host):
            raise ValueError(f"{host!r} is no host name")
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        target = _TO_ENCODE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), target)
    except ValueError as error:
        raise _invalid(url, error) from error
    name = f"[{host}]" if ":" in host else host
    default = port in (None, _DEFAULT_PORTS[parts.scheme])
    return httpcore.URL(scheme=parts.scheme, host=host, port=port, target=target), name if default else f"{name}:{port}"


def _invalid(url: str, error: ValueError) -> MediaError:
    return MediaError("unreachable", f"{url[:1000]} is not a valid address ({str(error)[:200]}); correct it")
