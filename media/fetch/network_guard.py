"""Connections to public addresses only: the check is made on the very address that is then connected to.

A catalogue's http addresses are untrusted, and a server may redirect anywhere, so the guard sits where
sockets are opened. A name is looked up once, every answer is checked, and the connection goes to a checked
address: a name that changes its answer between check and use (DNS rebinding) gains nothing.
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
"""(host, port) to the numeric addresses it stands for."""

# Not every one of these is refused by `is_global` in every Python we support; Azure's host agent answers on a
# public one.
_REFUSED_IPV4: Final = tuple(
    map(ipaddress.IPv4Network, ("100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24"))
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
# Protocol assignments with Teredo, documentation, 6to4: tunnels carry an IPv4 address that nothing would
# check.
_REFUSED_IPV6: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

# Answers of the resolver that the next try would not change.
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})

_deadline: ContextVar[float] = ContextVar("firstsight_fetch_deadline", default=float("inf"))


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Bound all that this thread does over guarded connections: names, handshakes, headers and bodies together.

    Within another one the earlier of the two holds.
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
    """Seconds left until the deadline; raises httpcore.ReadTimeout when it has passed."""
    left = time_left()
    if left <= 0:
        raise httpcore.ReadTimeout("the time limit was reached")
    return left


def is_public(address: str) -> bool:
    """Tell whether a numeric IP address is a public unicast one.

    False for private, shared (carrier-grade NAT), loopback, link-local, multicast, reserved, documentation
    and tunnel addresses; IPv4 addresses inside IPv6 ones (mapped, NAT64) are judged by the IPv4 address.
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
    """Ask the system's resolver for all addresses of a name; it reads 2130706433 and 0x7f.1 as 127.0.0.1."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedBackend(httpcore.NetworkBackend):
    """A network backend for httpcore that refuses addresses that are not public and keeps the deadline.

    Args:
        allow_private: leave the check out, keep the deadline.
        resolve: what turns a name into addresses.
        network: what opens the sockets.
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
        """Connect to the first address of `host` that answers, after all of them passed the check.

        Raises:
            MediaError: "forbidden" when one of the addresses is not public, "unreachable" when there is no such name.
            httpcore.ConnectError, httpcore.ConnectTimeout: the name cannot be looked up now, or nobody answers.
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
        """Look a name up in a thread of its own: the system's resolver knows no time limit."""
        answer: Future[Sequence[str]] = Future()

        def look() -> None:
            try:
                answer.set_result(self._resolve(host.strip("[]"), port))
            except BaseException as error:  # handed to the thread that waits
                answer.set_exception(error)

        threading.Thread(target=look, name="firstsight-dns", daemon=True).start()  # daemon: never held up by it
        try:
            return answer.result(timeout)
        except TimeoutError as error:
            if answer.done():  # the resolver's own, an OSError
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
    """A stream whose every wait ends at the thread's deadline: a server that drips bytes cannot hold it."""

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
