"""HTTP/1.1 protocol for uvicorn with time limits, so that clients cannot hold connections open."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from firstsight.service.protocol.connection_table import Connections, Phase, address_group

STATE_KEY: Final = "connections"
"""Key of the `Connections` in the state that an application yields from its lifespan."""

_STALLED_S: Final = 1.0
"""After this many seconds without a read by the client, a stop of the service does not wait for it."""


class GuardedProtocol(H11Protocol):
    """uvicorn's h11 protocol with limits on connections and time.

    uvicorn limits the bytes of a head (16 kB, by h11) but not its time. It never closes a client that does not read,
    and the first byte of any data ends the keep-alive timeout. Here every phase that waits for the client has a time
    limit (see `ConnectionLimits.timeout_s`). The time of a head counts from accept, or from the first byte of a further
    request; more bytes do not extend it.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._table: Connections = app_state[STATE_KEY]
        self._phase: Phase | None = None  # None: not in the table
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = None
        if self.client is not None:
            address = address_group(self.client[0])
        elif _is_ip(transport):  # the client disconnected before its address was read
            transport.abort()
            return
        if self._table.admit(self, address):
            self._enter(Phase.HEAD)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_phase()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._update_phase()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._update_phase()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._update_phase()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._update_phase()

    def shutdown(self) -> None:
        """Close unless a request is in progress; do not wait for a client that does not read."""
        if self._phase is Phase.UNREAD and self.loop.time() - self._since >= _STALLED_S:
            self.abort()
        elif not self.transport.is_closing():
            super().shutdown()
            self._update_phase()

    def abort(self) -> None:
        """Close at once, without sending buffered data."""
        self._leave()
        self.transport.abort()

    def _update_phase(self) -> None:
        """Enter the current phase of the connection if it changed."""
        if self._phase is None:
            return
        phase = self._current_phase()
        if phase is not self._phase:
            self._table.move(self, phase)
            self._enter(phase)

    def _current_phase(self) -> Phase:
        if self.transport.is_closing() or self.flow.write_paused:
            return Phase.UNREAD
        if self.cycle is not None and not self.cycle.response_complete:
            return Phase.BODY if self.cycle.more_body else Phase.WORKING
        if self.cycle is None or self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]:
            return Phase.HEAD
        return Phase.IDLE

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since = self.loop.time()
        if self._timer is not None:
            self._timer.cancel()
        timeout_s = self._table.limits.timeout_s(phase)
        self._timer = None if timeout_s is None else self.loop.call_later(timeout_s, self._time_out)

    def _leave(self) -> None:
        self._phase = None
        self._table.remove(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        if self._phase is Phase.IDLE:
            self.timeout_keep_alive_handler()
            return
        self._table.note_closed("head_timeout" if self._phase is Phase.HEAD else "write_timeout")
        self.abort()


def _is_ip(transport: asyncio.Transport) -> bool:
    sock = transport.get_extra_info("socket")
    return sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6)
