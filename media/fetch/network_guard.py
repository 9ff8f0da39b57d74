"""Network guard: only connections to public addresses, within a deadline.

A catalogue's http addresses are untrusted, and a server may redirect anywhere. So the guard checks at the moment when a
socket is opened. It looks up a name once, checks every address of the answer, and connects to a checked address. A name
that changes its answer between check and use (DNS rebinding) has no effect.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

import httpcore

from firstsight.errors import MediaError

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""Looks up (host, port) and returns numeric addresses."""

# Some supported versions of Python count some of these as global. Azure's host agent (168.63.129.16) has a public
# address.
_REFUSED_IPV4: Final = tuple(
    map(ipaddress.IPv4Network, ("100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24"))
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
# Protocol assignments with Teredo, documentation, 6to4: the IPv4 address inside a tunnel would not be checked.
_REFUSED_IPV6: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

# Errors of the resolver that do not pass: a retry is useless.
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})

_deadline: ContextVar[float] = ContextVar("firstsight_fetch_deadline", default=float("inf"))


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limit the total time of this thread's guarded connections: name lookups, handshakes, headers and bodies.

    Of nested deadlines the earlier one applies.
    """
    token = _deadline.set(min(_deadline.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def time_left() -> float:
    """Seconds left until the deadline; negative when it has passed."""
    return _deadline.get() - time.monotonic()


def check_deadline() -> float:
    """Seconds left until the deadline.

    Raises:
        httpcore.ReadTimeout: the deadline has passed.
    """
    left = time_left()
    if left <= 0:
        raise httpcore.ReadTimeout("the time limit was reached")
    return left


def is_public(address: str) -> bool:
    """Tell whether a numeric IP address is a public unicast one.

    False for private, shared (carrier-grade NAT), loopback, link-local, multicast, reserved, documentation and tunnel
    addresses, and for text that is no address. For an IPv4 address inside an IPv6 address (mapped, NAT64) the IPv4
    address decides.
    """
    try:
        ip: IPAddress = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return False
        embedded = ip.ipv4_mapped
        if ip in _NAT64:
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is None:
            return ip in _GLOBAL_UNICAST and ip.is_global and not any(ip in net for net in _REFUSED_IPV6)
        ip = embedded
    return ip.is_global and not ip.is_multicast and not any(ip in net for net in _REFUSED_IPV4)


def look_up(host: str, port: int) -> list[str]:
    """Look up all addresses of a name by the system's resolver, which reads 2130706433 and 0x7f.1 as 127.0.0.1.

    Raises:
        OSError: the name cannot be looked up.
    """
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


class GuardedBackend(httpcore.NetworkBackend):
    """A network backend for httpcore that refuses addresses that are not public and enforces the deadline.

    Args:
        allow_private: enforce only the deadline and allow all addresses.
        resolve: looks up the addresses of a name.
        network: opens the sockets.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        resolve: Resolver = look_up,
        network: httpcore.NetworkBackend | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._network = network or httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Check all addresses of `host` and connect to the first one that answers.

        Raises:
            MediaError: "forbidden" if one of the addresses is not public, "unreachable" if the name does not exist.
            httpcore.ConnectError: the lookup failed for now, or no address accepts a connection.
            httpcore.ConnectTimeout: the lookup or the connection exceeds its time limit.
        """
        addresses = self._addresses(host, port, _smaller(timeout, check_deadline()))
        if not self._allow_private:
            self._require_public(host, addresses)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            left = check_deadline()
            try:
                stream = self._network.connect_tcp(
                    address, port, _smaller(timeout, left), local_address, list(socket_options or ())
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _TimedStream(stream)
        raise failure

    def _addresses(self, host: str, port: int, timeout: float | None) -> Sequence[str]:
        """Look up a name in a separate thread, because the system's resolver has no time limit."""
        answer: Future[Sequence[str]] = Future()

        def look() -> None:
            try:
                answer.set_result(self._resolve(host.strip("[]"), port))
            except BaseException as error:  # passed to the waiting thread
                answer.set_exception(error)

        threading.Thread(
            target=look, name="firstsight-dns", daemon=True
        ).start()  # daemon: a slow lookup never delays the exit
        try:
            return answer.result(timeout)
        except TimeoutError as error:
            if answer.done():  # an OSError of the resolver itself
                raise httpcore.ConnectError(f"{host} cannot be looked up: {error}") from error
            raise httpcore.ConnectTimeout(f"{host} was not looked up in time") from error
        except (OSError, UnicodeError) as error:
            if isinstance(error, UnicodeError) or error.errno in _NO_SUCH_NAME:
                raise MediaError(
                    "unreachable", f"{host} cannot be looked up ({error}); correct the address, or try again"
                ) from error
            raise httpcore.ConnectError(f"{host} cannot be looked up: {error}") from error

    def _require_public(self, host: str, addresses: Sequence[str]) -> None:
        for address in addresses:
            if not is_public(address):
                raise MediaError(
                    "forbidden",
                    f"{host} is at {address}, which is not a public address; allow it with --allow-private",
                )


class _TimedStream(httpcore.NetworkStream):
    """A stream that ends every wait at the thread's deadline, so that a server cannot delay it byte by byte."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _smaller(timeout, check_deadline()))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _smaller(timeout, check_deadline()))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        limit = _smaller(timeout, check_deadline())
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, limit))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _smaller(timeout: float | None, left: float) -> float | None:
    limit = left if timeout is None else min(timeout, left)
    return None if limit == float("inf") else limit
