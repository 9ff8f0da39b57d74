"""The table of open connections, the limit of descriptors, and the filter of log lines."""

from __future__ import annotations

import asyncio
import json
import logging
import logging.config
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.service.metrics import Metrics
from firstsight.service.protocol.connection_table import ConnectionLimits, Connections, Phase, address_group
from firstsight.service.protocol.descriptor_limit import BACKLOG, RESERVED, raise_descriptor_limit, share_descriptors
from firstsight.service.protocol.flood_filter import FloodFilter
from firstsight.service.service_settings import ServiceSettings
from firstsight.service.serving import LOG_CONFIG

ONE, OTHER = "192.0.2.1", "192.0.2.2"


class Clock:
    """Seconds that a test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class RecordingConnection:
    """A connection that notes whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def abort(self) -> None:
        self.closed = True


def in_loop(test: Callable[[Connections, Clock], None], **limits: int) -> None:
    """Run a test on a table inside an event loop."""

    async def run() -> None:
        clock = Clock()
        test(Connections(ConnectionLimits(**limits), clock=clock), clock)

    asyncio.run(run())


def admitted(table: Connections, address: str | None, phase: Phase = Phase.HEAD) -> RecordingConnection:
    line = RecordingConnection()
    assert table.admit(line, address)
    table.move(line, phase)
    return line


def test_a_full_address_closes_its_oldest_unfinished_head() -> None:
    def test(table: Connections, clock: Clock) -> None:
        elsewhere = admitted(table, OTHER)
        lines = [admitted(table, ONE) for _ in range(5)]
        assert [line.closed for line in lines] == [True, True, False, False, False]
        assert not elsewhere.closed
        assert len(table) == 4

    in_loop(test, per_address=3, total=10)


def test_a_full_table_closes_the_oldest_unfinished_head_of_any_address() -> None:
    def test(table: Connections, clock: Clock) -> None:
        lines = [admitted(table, f"192.0.2.{n}") for n in range(6)]
        assert [line.closed for line in lines] == [True, True, True, False, False, False]

    in_loop(test, per_address=3, total=3)


def test_room_is_made_by_those_who_wait_for_their_client_and_never_by_work() -> None:
    def test(table: Connections, clock: Clock) -> None:
        lines = [
            admitted(table, ONE, phase)
            for phase in (Phase.WORKING, Phase.BODY, Phase.UNREAD, Phase.IDLE, Phase.IDLE, Phase.HEAD)
        ]
        work, body, unread, idle, later_idle, head = lines
        clock.now = 2.0
        for expected in (head, idle, later_idle, unread, body):
            before = [line for line in lines if line.closed]
            table.move(admitted(table, ONE), Phase.WORKING)
            assert [line for line in lines if line.closed and line not in before] == [expected]
        assert not table.admit(RecordingConnection(), ONE)
        assert not work.closed
        assert table.admit(RecordingConnection(), OTHER)

    in_loop(test, per_address=6, total=20)


@pytest.mark.parametrize("phase", [Phase.BODY, Phase.UNREAD])
def test_bodies_and_answers_under_way_are_given_a_second(phase: Phase) -> None:
    def test(table: Connections, clock: Clock) -> None:
        line = admitted(table, ONE, phase)
        clock.now = 0.9
        assert not table.admit(RecordingConnection(), ONE)
        clock.now = 1.0
        assert table.admit(RecordingConnection(), ONE)
        assert line.closed

    in_loop(test, per_address=1)


def test_a_connection_that_ended_leaves_its_place() -> None:
    def test(table: Connections, clock: Clock) -> None:
        for _ in range(10):
            line = admitted(table, ONE, Phase.WORKING)
            table.remove(line)
            table.remove(line)
        assert len(table) == 0
        assert not line.closed

    in_loop(test, per_address=1, total=1)


def test_a_peer_without_an_address_counts_in_the_total_alone() -> None:
    def test(table: Connections, clock: Clock) -> None:
        lines = [admitted(table, None) for _ in range(4)]
        assert [line.closed for line in lines] == [True, False, False, False]

    in_loop(test, per_address=1, total=3)


def test_closed_connections_are_one_line_of_the_log_and_figures(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()

    async def run() -> None:
        table = Connections(ConnectionLimits(total=5, per_address=3), metrics)
        for _ in range(500):
            table.admit(RecordingConnection(), ONE)
        for line in list(table._open):
            table.move(line, Phase.WORKING)
        assert not table.admit(RecordingConnection(), ONE)
        while table._closed:
            await asyncio.sleep(0.01)

    with caplog.at_level(logging.WARNING, "firstsight.service"):
        asyncio.run(run())
    (record,) = caplog.records
    assert json.loads(record.message) == {
        "what": "connections closed by a limit",
        "open": 3,
        "made_room": 497,
        "refused": 1,
        "full": f"3 of {ONE} (--max-connections-per-address)",
    }
    text = metrics.text().decode()
    assert 'firstsight_connections_closed_total{reason="made_room"} 497.0' in text
    assert "firstsight_connections 3.0" in text


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_an_ipv6_client_counts_by_its_network(address: str, group: str) -> None:
    assert address_group(address) == group


def test_limits_are_shared_out_between_workers() -> None:
    settings = ServiceSettings(db="none", workers=3, max_connections=100, max_connections_per_address=2)
    limits = ConnectionLimits.of(settings)
    assert (limits.total, limits.per_address) == (33, 1)


@pytest.mark.parametrize(
    "wrong",
    [{"max_connections": 0}, {"max_connections_per_address": 0}, {"head_timeout_s": 0.0}, {"write_timeout_s": -1.0}],
)
def test_limits_that_admit_nobody_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ServiceSettings(db="none", **wrong)  # type: ignore[arg-type]


@given(limit=st.integers(16, 10**6), connections=st.integers(1, 10**5))
def test_connections_and_their_backlog_leave_descriptors_to_the_database(limit: int, connections: int) -> None:
    most, backlog = share_descriptors(limit, connections)
    assert 1 <= most <= connections
    assert 1 <= backlog <= BACKLOG
    assert most + backlog <= limit - min(RESERVED, limit // 2)


def test_a_large_limit_holds_what_the_settings_say() -> None:
    assert share_descriptors(RESERVED + BACKLOG + 1_000, 1_000) == (1_000, BACKLOG)


def test_the_soft_limit_is_raised_within_the_hard_one() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = RESERVED + BACKLOG + 1_000
    bound = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (bound - 1, hard))
    try:
        assert raise_descriptor_limit(1_000) == bound
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (bound, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def record_of(name: str, message: str, error: Exception | None = None) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    return logging.LogRecord(name, logging.ERROR, "", 0, message, None, info)


def test_a_message_that_clients_provoke_is_logged_once_a_second() -> None:
    clock = Clock()
    floods = FloodFilter(clock=clock)
    message = "socket.accept() out of system resource\nsocket: <TransportSocket fd=9>"
    records = [record_of("asyncio", message, OSError(24, "Too many open files")) for _ in range(2_000)]
    assert [floods.filter(record) for record in records] == [True] + [False] * 1_999
    clock.now = 1.0
    last = record_of("asyncio", message, OSError(24, "Too many open files"))
    assert floods.filter(last)
    assert logging.Formatter("%(message)s").format(last) == (
        "socket.accept() out of system resource: [Errno 24] Too many open files (1999 more since the last line)"
    )


def test_other_messages_are_all_logged() -> None:
    floods = FloodFilter(clock=Clock())
    for name, message in (("asyncio", "Task exception was never retrieved"), ("firstsight.service", "{}")):
        assert all(floods.filter(record_of(name, message)) for _ in range(3))


@pytest.fixture
def kept_logging() -> Iterator[None]:
    """Loggers as they were before, after a test that configures them."""
    loggers = [logging.getLogger(name) for name in LOG_CONFIG["loggers"]]
    kept = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, handlers, level, propagate in kept:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.mark.usefixtures("kept_logging")
def test_the_log_of_the_service_has_accept_errors_once(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(LOG_CONFIG)
    for _ in range(100):
        logging.getLogger("asyncio").error("socket.accept() out of system resource\nsocket: <TransportSocket fd=9>")
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 4)[3] for line in lines] == ["asyncio", "uvicorn.error"]
