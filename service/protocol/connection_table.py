"""Table of the open connections of one process: limits, and the choice of the connection to close for a new one."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from firstsight.service.metrics import Metrics
from firstsight.service.service_errors import LOG
from firstsight.service.service_settings import ServiceSettings

KEEP_ALIVE_S: Final = 15
"""Seconds that a connection stays open between two requests."""

_LOG_EVERY_S: Final = 1.0


class Phase(Enum):
    """The state of a connection. All but `WORKING` wait for the client, in the order in which they make room."""

    HEAD = "head"
    """The head of a request is incomplete, or the body of a request that was answered early."""

    IDLE = "idle"
    """All requests are answered, and no byte of a further request has arrived."""

    UNREAD = "unread"
    """The client does not read its answer."""

    BODY = "body"
    """The head of a request is complete, its body is not."""

    WORKING = "working"
    """A request is being answered; such a connection is never closed to make room."""


_PATIENCE_S: Final = {Phase.HEAD: 0.0, Phase.IDLE: 0.0, Phase.UNREAD: 1.0, Phase.BODY: 1.0}
"""Seconds in a phase before a connection may be closed to make room. Answers and bodies in transfer get some time, so
that many large ones do not close each other."""


class ClientConnection(Protocol):
    """A connection of the table."""

    def abort(self) -> None:
        """Close at once, without sending buffered data."""


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of one process: connections, and seconds in a phase."""

    total: int = 1_000
    per_address: int = 100
    head_timeout_s: float = 10.0
    write_timeout_s: float = 30.0
    keep_alive_s: float = KEEP_ALIVE_S

    @classmethod
    def of(cls, settings: ServiceSettings) -> ConnectionLimits:
        """Make the limits of one process: the maximum counts are divided by `settings.workers`."""
        return cls(
            total=max(1, settings.max_connections // settings.workers),
            per_address=max(1, settings.max_connections_per_address // settings.workers),
            head_timeout_s=settings.head_timeout_s,
            write_timeout_s=settings.write_timeout_s,
        )

    def timeout_s(self, phase: Phase) -> float | None:
        """Return the maximum seconds in a phase; None for phases that other code limits (see `Gate`)."""
        return {
            Phase.HEAD: self.head_timeout_s,
            Phase.IDLE: self.keep_alive_s,
            Phase.UNREAD: self.write_timeout_s,
        }.get(phase)


class _Queues:
    """Connections by phase; in each phase, in order of entry."""

    def __init__(self) -> None:
        self._by_phase: dict[Phase, dict[ClientConnection, float]] = {phase: {} for phase in Phase}

    def __len__(self) -> int:
        return sum(map(len, self._by_phase.values()))

    def add(self, connection: ClientConnection, phase: Phase, now: float) -> None:
        self._by_phase[phase][connection] = now

    def remove(self, connection: ClientConnection, phase: Phase) -> None:
        del self._by_phase[phase][connection]

    def first_to_close(self, now: float) -> ClientConnection | None:
        for phase, patience_s in _PATIENCE_S.items():
            for connection, since in self._by_phase[phase].items():
                if now - since >= patience_s:
                    return connection
                break  # the others entered later
        return None


class Connections:
    """The open connections of one event loop. Only the thread of the loop may call this.

    Args:
        limits: limits of this process.
        metrics: counts open connections, and connections closed by a limit.
        clock: monotonic seconds.
    """

    def __init__(
        self, limits: ConnectionLimits, metrics: Metrics | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self._metrics = metrics
        self._clock = clock
        self._all = _Queues()
        self._by_address: dict[str, _Queues] = {}
        self._open: dict[ClientConnection, tuple[str | None, Phase]] = {}
        self._closed: Counter[str] = Counter()  # since the last log line
        self._full_address: str | None = None

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: ClientConnection, address: str | None) -> bool:
        """Count a new connection, in phase `HEAD`.

        If the address or the table is full, one connection is closed first: the one that waits longest for its client.
        Incomplete heads go before idle connections, and idle connections before the others (see `Phase`).

        Args:
            connection: the new connection.
            address: result of `address_group`; None counts only in the total.

        Returns:
            False if no connection can make room because all are being answered; the caller closes the new one.
        """
        now = self._clock()
        queues = self._by_address.get(address) if address is not None else None
        for full, limit in ((queues, self.limits.per_address), (self._all, self.limits.total)):
            if full is None or len(full) < limit:
                continue
            oldest = full.first_to_close(now)
            if oldest is None:
                self._full_address = address if full is queues else None
                self.note_closed("refused")
                return False
            self.note_closed("made_room")
            self.remove(oldest)
            oldest.abort()
        self._open[connection] = (address, Phase.HEAD)
        self._all.add(connection, Phase.HEAD, now)
        if address is not None:
            self._by_address.setdefault(address, _Queues()).add(connection, Phase.HEAD, now)
        self._count(1)
        return True

    def move(self, connection: ClientConnection, phase: Phase) -> None:
        """Record that a connection entered another phase; unknown connections are ignored."""
        if connection not in self._open:
            return
        now = self._clock()
        address, before = self._open[connection]
        self._open[connection] = (address, phase)
        for queues in self._queues_of(address):
            queues.remove(connection, before)
            queues.add(connection, phase, now)

    def remove(self, connection: ClientConnection) -> None:
        """Remove a connection; unknown connections are ignored."""
        if connection not in self._open:
            return
        address, phase = self._open.pop(connection)
        for queues in self._queues_of(address):
            queues.remove(connection, phase)
        if address is not None and not len(self._by_address[address]):
            del self._by_address[address]
        self._count(-1)

    def note_closed(self, reason: str) -> None:
        """Count a connection closed by a limit: head_timeout, write_timeout, made_room or refused.

        The log gets at most one line per second, with the counts, so that an attack cannot fill the disk.
        """
        if self._metrics is not None:
            self._metrics.connections_closed.labels(reason).inc()
        if not self._closed:
            asyncio.get_running_loop().call_later(_LOG_EVERY_S, self._log_closed)
        self._closed[reason] += 1

    def _log_closed(self) -> None:
        line: dict[str, object] = {"what": "connections closed by a limit", "open": len(self._open), **self._closed}
        if self._closed["refused"]:
            address, limits = self._full_address, self.limits
            line["full"] = (
                f"all {limits.total} (--max-connections)"
                if address is None
                else f"{limits.per_address} of {address} (--max-connections-per-address)"
            )
        LOG.warning(json.dumps(line))
        self._closed.clear()

    def _queues_of(self, address: str | None) -> tuple[_Queues, ...]:
        return (self._all,) if address is None else (self._all, self._by_address[address])

    def _count(self, more: int) -> None:
        if self._metrics is not None:
            self._metrics.connections.inc(more)


def address_group(address: str) -> str:
    """Return the unit for counting connections of one client: an IPv4 address, or the /64 network of an IPv6 address.

    An IPv6 client has a whole /64 network or more, so a limit per address would have no effect. An IPv4 address that an
    IPv6 socket shows as ::ffff:a.b.c.d counts as IPv4.

    Raises:
        ValueError: `address` is not a numeric address.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
