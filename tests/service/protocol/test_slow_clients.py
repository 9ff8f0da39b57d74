"""Connections that clients hold open are closed; they delay neither other clients nor a stop."""

from __future__ import annotations

import asyncio
import json
import logging
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from firstsight.encoders.base import Encoder
from firstsight.service.app import make_app
from firstsight.service.protocol import guarded_protocol
from firstsight.service.protocol.connection_table import ConnectionLimits, Connections, Phase
from firstsight.service.protocol.guarded_protocol import STATE_KEY
from firstsight.service.service_settings import ServiceSettings
from firstsight.service.serving import SERVER_OPTIONS
from tests.service.conftest import StartService, until
from tests.service.live_server import LiveServer

LONG_S = 600.0
"""Of limits that must not be what ends a test."""

HEAD = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
WHOLE = HEAD + b"\r\n"
LARGE = b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
MEDIUM = b"GET /medium HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Guarded:
    """The guarded protocol on a socket, over an application whose answers the test controls."""

    def __init__(self, **limits: float) -> None:
        settings = {"head_timeout_s": LONG_S, "write_timeout_s": LONG_S, "keep_alive_s": LONG_S} | limits
        self.table = Connections(ConnectionLimits(**settings))  # type: ignore[arg-type]
        self.release = threading.Event()
        self.held = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = self._socket.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        options = SERVER_OPTIONS | {"timeout_keep_alive": LONG_S, "timeout_graceful_shutdown": LONG_S}
        self.server = uvicorn.Server(uvicorn.Config(self._app, interface="asgi3", log_level="warning", **options))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"][STATE_KEY] = self.table
            for kind in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{kind}"
                await send({"type": f"lifespan.{kind}.complete"})
            return
        if scope["path"] == "/hold":
            self.held += 1
            await asyncio.to_thread(self.release.wait)
        if scope["path"] == "/body":
            message: Message = {"more_body": True}
            while message.get("more_body"):
                message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/large":
            for _ in range(2_000):
                await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})
        body = bytes(60_000) if scope["path"] == "/medium" else b"ok"
        await send({"type": "http.response.body", "body": body})

    def connect(self, *data: bytes) -> socket.socket:
        """A connection that has sent something; closed with the server at the latest."""
        connection = socket.create_connection(self.address, timeout=60)
        for part in data:
            connection.sendall(part)
        return connection

    def healthy(self) -> bool:
        with self.connect(HEAD + b"Connection: close\r\n\r\n") as connection:
            return connection.recv(1_000).startswith(b"HTTP/1.1 200")


@contextmanager
def guarded(**limits: float) -> Iterator[Guarded]:
    found = Guarded(**limits)
    found.thread.start()
    try:
        yield found
    finally:
        found.release.set()
        found.server.should_exit = True
        found.thread.join(60)
        found._socket.close()
        assert not found.thread.is_alive()


def answer_of(connection: socket.socket) -> bytes:
    """All that comes until the service closes."""
    found = b""
    try:
        while part := connection.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def closed_while_sending(connection: socket.socket, byte: bytes, *, at_most: int = 10_000) -> bool:
    """Send byte by byte until the service closes; False where it took them all."""
    for _ in range(at_most):
        try:
            if select.select([connection], [], [], 0.02)[0] and connection.recv(65_536) == b"":
                return True
            connection.sendall(byte)
        except (ConnectionResetError, BrokenPipeError):
            return True
    return False


@pytest.mark.parametrize("sent", [b"", b"G", HEAD, b"GET /", WHOLE + HEAD, WHOLE + WHOLE + b"G"])
def test_a_head_that_does_not_come_is_not_waited_for(sent: bytes) -> None:
    with guarded(head_timeout_s=0.3) as service, service.connect(sent) as connection:
        answers = answer_of(connection)
        assert answers.count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")
        until(lambda: len(service.table) == 0)


@pytest.mark.parametrize("first", [b"", WHOLE])
def test_bytes_do_not_extend_the_time_of_a_head(first: bytes) -> None:
    with guarded(head_timeout_s=0.3) as service, service.connect(first) as connection:
        if first:
            assert connection.recv(1_000).startswith(b"HTTP/1.1 200")
        connection.sendall(HEAD + b"X: ")
        assert closed_while_sending(connection, b"a")


@pytest.mark.parametrize("chunk", [b"a", b"1\r\na\r\n"])
def test_a_body_that_goes_on_after_its_answer_is_not_waited_for(chunk: bytes) -> None:
    head = b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += b"Content-Length: 100000\r\n\r\n" if chunk == b"a" else b"Transfer-Encoding: chunked\r\n\r\n"
    with guarded(head_timeout_s=0.3) as service, service.connect(head) as connection:
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200")
        assert closed_while_sending(connection, chunk)


def test_a_connection_whose_body_came_after_its_answer_is_idle() -> None:
    head = b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\n"
    with guarded(keep_alive_s=0.3) as service, service.connect(head) as connection:
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"late")  # uvicorn alone waits for good from here on
        assert answer_of(connection) in (b"", b"ok", b"2\r\nok\r\n0\r\n\r\n", b"0\r\n\r\n")


def test_requests_that_come_in_time_are_answered_over_one_connection() -> None:
    with guarded(head_timeout_s=LONG_S) as service, httpx.Client(base_url=service.url) as client:
        for _ in range(20):
            assert client.get("/health").text == "ok"
            assert client.post("/body", content=b"a" * 200_000).text == "ok"
        assert len(service.table) == 1


@pytest.mark.parametrize("sent", [LARGE, MEDIUM * 400])
def test_a_client_that_does_not_read_is_let_go_of(sent: bytes) -> None:
    with guarded(write_timeout_s=0.3) as service, service.connect() as connection:
        connection.setblocking(False)
        left = memoryview(sent)

        def closed() -> bool:
            nonlocal left
            try:
                left = left[connection.send(left) :] if left else left
            except BlockingIOError:
                pass
            except OSError:
                return True
            return not left and len(service.table) == 0

        until(closed)
        until(lambda: len(service.table) == 0)


def test_a_full_address_answers_a_newcomer_at_once() -> None:
    with guarded(per_address=10, total=100) as service:
        slow = [service.connect(HEAD) for _ in range(15)]
        assert all(service.healthy() for _ in range(5))
        until(lambda: len(service.table) <= 10)
        assert answer_of(slow[0]) == b""
        idle = [service.connect(WHOLE) for _ in range(15)]
        assert service.healthy()
        for connection in slow + idle:
            connection.close()


def test_work_is_not_closed_for_a_newcomer() -> None:
    with guarded(per_address=3, total=100) as service:
        hold = b"GET /hold HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        held = [service.connect(hold) for _ in range(3)]
        until(lambda: service.held == 3)
        with service.connect() as refused:
            assert answer_of(refused) == b""
        service.release.set()
        for connection in held:
            assert answer_of(connection).startswith(b"HTTP/1.1 200")
            connection.close()
        assert service.healthy()


@pytest.mark.parametrize(
    "sent",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        HEAD + b"X: " + b"a" * 70_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10,
        b"\r\n" * 1_000,
    ],
)
def test_bytes_that_are_no_request_close_the_connection(sent: bytes) -> None:
    with guarded() as service, service.connect(sent) as connection:
        assert b"HTTP/1.1 400" in answer_of(connection)
        until(lambda: len(service.table) == 0)


def test_an_upgrade_is_answered_by_http() -> None:
    upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    with guarded(keep_alive_s=0.3) as service, service.connect(HEAD + upgrade) as connection:
        assert answer_of(connection).startswith(b"HTTP/1.1 200")
        until(lambda: len(service.table) == 0)


def test_a_stop_waits_for_no_slow_client(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(guarded_protocol, "_STALLED_S", 0.0)
    with caplog.at_level(logging.WARNING), guarded() as service:
        slow = [service.connect(sent) for sent in (b"", HEAD, WHOLE + HEAD, WHOLE, LARGE)]
        expected = [Phase.HEAD, Phase.HEAD, Phase.HEAD, Phase.IDLE, Phase.UNREAD]
        until(
            lambda: (
                sorted((phase for _, phase in list(service.table._open.values())), key=list(Phase).index) == expected
            )
        )
    assert caplog.records == []
    for connection in slow:
        connection.close()


def test_a_body_that_does_not_come_ends_its_connection(sample_db: Path, starter: Encoder) -> None:
    settings = ServiceSettings(db=str(sample_db), encoder=starter, max_wait_s=0.3)
    post = (
        b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    with LiveServer(make_app(settings)) as served:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(post)
            answer = answer_of(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "body_timeout"


@pytest.mark.slow
def test_a_service_under_attack_answers_and_stops(start_service: StartService, own_db: Path) -> None:
    running = start_service(
        "--db", str(own_db), "--port", "0", "--head-timeout", "600", "--max-connections-per-address", "20"
    )
    host, port = running.address.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port)), timeout=60) for _ in range(100)]
    for connection in slow:
        connection.sendall(HEAD)
    running.wait_ready()
    figures = httpx.get(f"{running.address}/metrics").text
    assert "firstsight_connections 20.0" in figures
    assert 'firstsight_connections_closed_total{reason="made_room"}' in figures
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) in (0, -signal.SIGTERM)
    for connection in slow:
        connection.close()
