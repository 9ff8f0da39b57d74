"""Attack the service, and uvicorn without the guard, with clients that hold connections open; measure the guard's cost.

    python -m benchmarks.slow_clients attack       # 1,100 connections per attack: /health, descriptors and log
    python -m benchmarks.slow_clients throughput   # searches/s and 404 answers/s, with and without the guard
    python -m benchmarks.slow_clients attack --peers /path/to/python   # also hypercorn and granian

Linux only. Each server is a process with a limit of 1,024 open files, on a free port of this machine. A client with the
attacker's address requests /health four times per second, each time over a new connection and with 5 s to answer.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import random_models
from benchmarks.http_load import CheckedRequest, Load, keep_busy
from benchmarks.pipeline import goal
from benchmarks.service import Server, free_port, sample_index, search_request

LIMIT: Final = 1_024
GUARDED, PLAIN = "firstsight", "uvicorn"
HEAD: Final = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST: Final = (
    b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
)
ATTACKS: Final = {
    "silent": b"",
    "half heads": HEAD + b"X: ",
    "trickling heads": HEAD + b"X: ",
    "slow bodies": POST + b"{",
    "unread answers": b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 20,
    "idle": HEAD + b"\r\n",
}
"""Name and first bytes of each attack."""

UNFILTERED_LOG: Final = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"firstsight.service": {"level": "INFO"}},
}


def start(stack: ExitStack, work: Path, name: str, python: str, *, limit: int = LIMIT) -> tuple[Server, Path]:
    """Start a server on the sample database; return it with its log file."""
    port, db = free_port(), str(sample_index(work))
    if name == GUARDED:
        command = [python, "-m", "firstsight", "serve", "--db", db, "--port", str(port)]
    elif name == PLAIN:
        command = [python, "-m", "benchmarks.slow_clients", "serve", "--db", db, "--port", str(port)]
    else:
        app = ["--factory"] if name == "granian" else []
        target = "benchmarks.slow_clients:make_peer_app" + ("" if name == "granian" else "()")
        binding = (
            ["--interface", "asgi", "--host", "127.0.0.1", "--port", str(port)]
            if name == "granian"
            else ["--bind", f"127.0.0.1:{port}"]
        )
        command = [python, "-m", name, *app, *binding, target]
        os.environ["SLOW_CLIENTS_DB"] = db
    log = work / f"slow-clients-{name}.log"
    server = Server(["prlimit", f"--nofile={limit}:{limit}", *command], port, "/ready", log)
    stack.callback(server.close)
    return server, log


def make_peer_app() -> object:
    """Make the application for servers that take the name of a factory."""
    from firstsight.service.app import make_app
    from firstsight.service.service_settings import ServiceSettings

    return make_app(ServiceSettings(os.environ["SLOW_CLIENTS_DB"]))


def serve(db: str, port: int) -> None:
    """Run the application without the guard."""
    import uvicorn

    from firstsight.service.app import make_app
    from firstsight.service.service_settings import ServiceSettings
    from firstsight.service.serving import SERVER_OPTIONS

    options = SERVER_OPTIONS | {"http": "h11", "port": port, "log_config": UNFILTERED_LOG}
    uvicorn.run(make_app(ServiceSettings(db)), **options)


class Attack:
    """Connections that have sent the first bytes of an attack."""

    def __init__(self, port: int, name: str, count: int) -> None:
        self.name = name
        self._connections = []
        for _ in range(count):
            connection = socket.socket()
            connection.settimeout(2)
            if name == "unread answers":  # a small receive buffer, so that answers stay in the server
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            try:
                connection.connect(("127.0.0.1", port))
                connection.setblocking(False)
                connection.send(ATTACKS[name])
            except OSError:  # refused, or closed already
                pass
            self._connections.append(connection)

    def trickle(self) -> None:
        """Send one more byte on each connection if the attack is a slow one."""
        for connection in self._connections if self.name in ("trickling heads", "slow bodies") else ():
            with suppress(OSError):
                connection.send(b" ")

    def held(self) -> int:
        """Count the connections that the service has not closed."""
        return sum(map(_open, self._connections))

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


def _open(connection: socket.socket) -> bool:
    try:
        while connection.recv(1 << 20):
            pass
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def health_s(port: int) -> float:
    """Seconds until /health is answered; infinity after 5 s without an answer."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        if connection.getresponse().status != 200:
            return float("inf")
    except (OSError, http.client.HTTPException):
        return float("inf")
    finally:
        connection.close()
    return time.perf_counter() - began


def attack(work: Path, python: str, peers: str, count: int, seconds: float, names: Sequence[str]) -> bool:
    """Print the effect of each attack on each server."""
    reached = True
    servers = {GUARDED: python, PLAIN: python} | ({"hypercorn": peers, "granian": peers} if peers else {})
    for server_name, interpreter in servers.items():
        for name in names:
            with ExitStack() as stack:
                server, log = start(stack, work, server_name, interpreter)
                before, descriptors, latencies = log.stat().st_size, 0, []
                attacking = Attack(server.port, name, count)
                stack.callback(attacking.close)
                end = time.perf_counter() + seconds
                while time.perf_counter() < end:
                    latencies.append(health_s(server.port))
                    descriptors = max(descriptors, open_descriptors(server))
                    attacking.trickle()
                    time.sleep(0.25)
                held = attacking.held()
                failed = sum(latency == float("inf") for latency in latencies)
                worst = max((latency for latency in latencies if latency < float("inf")), default=float("nan"))
                logged = (log.stat().st_size - before) / 1e6
                print(
                    f"{server_name}, {name}: /health {failed} of {len(latencies)} without an answer, worst of the "
                    f"others {worst:.2f} s; {descriptors} descriptors, {logged:.3f} MB of log, "
                    f"{held} of {count} still held after {seconds:.0f} s"
                )
                if server_name == GUARDED and name != "unread answers":  # those are requests in progress
                    reached &= goal(f"{name}: unanswered /health", failed, 1)
    return reached


def open_descriptors(server: Server) -> int:
    """Maximum open descriptors of the process and its children (granian and hypercorn serve in a child)."""
    processes = [str(server.pid), *Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]
    return max(sum(1 for _ in Path(f"/proc/{process}/fd").iterdir()) for process in processes)


def throughput(work: Path, python: str, clients: int, seconds: float, rounds: int) -> bool:
    """Print requests/s and CPU time per request with and without the guard, in turns, and their ratios."""
    searches = [search_request(f"{text} {number}") for number, text in enumerate(random_models.made_titles(20_000))]
    # a 404: almost all of its work is HTTP
    refused = [CheckedRequest("/nowhere", b"{}", lambda body: True)]
    with ExitStack() as stack:
        servers = {name: start(stack, work, name, python, limit=20_000)[0] for name in (GUARDED, PLAIN)}
        for what, requests in (("searches", searches), ("answers of 404", refused)):
            rate_ratios, cpu_ratios = [], []
            for turn in range(rounds + 1):
                rates, cpu_ms = {}, {}
                for name in sorted(servers, reverse=bool(turn % 2)):
                    for other, server in servers.items():
                        server.resume() if other == name else server.pause()
                    before = cpu_s(servers[name])
                    load = keep_busy(servers[name].port, requests, clients, seconds)
                    rates[name] = answered(load)
                    cpu_ms[name] = (cpu_s(servers[name]) - before) * 1e3 / (rates[name] * load.seconds)
                if turn:  # the first round warms up
                    rate_ratios.append(rates[GUARDED] / rates[PLAIN])
                    cpu_ratios.append(cpu_ms[GUARDED] / cpu_ms[PLAIN])
                    for name in servers:
                        print(f"{what}, {name}: {rates[name]:.0f}/s, {cpu_ms[name]:.2f} ms of CPU each")
            for of, ratios in (("rate", rate_ratios), ("CPU time", cpu_ratios)):
                spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
                print(f"{what}: {of} with the guard to without {median(ratios):.2f} ({spread})")
        for server in servers.values():
            server.resume()
    return True


def cpu_s(server: Server) -> float:
    """CPU seconds of a process so far; other load on the machine changes it less than it changes rates."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answered(load: Load) -> float:
    """Answers per second, including 404."""
    return (load.answered + sum(reason.startswith("404") for reason in load.failed)) / load.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["attack", "throughput", "serve"])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "firstsight-service")
    parser.add_argument("--count", type=int, default=1_100, help="connections of an attack")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--attacks", nargs="+", choices=list(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--peers", default="", help="interpreter with hypercorn and granian installed")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    for name in ("--db", "--port"):
        parser.add_argument(name, help="option of `serve`")
    options = parser.parse_args()
    if options.what == "serve":
        serve(options.db, int(options.port))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    if options.what == "attack":
        seconds = options.seconds or 20
        reached = attack(options.work, sys.executable, options.peers, options.count, seconds, options.attacks)
    else:
        reached = throughput(options.work, sys.executable, options.clients, options.seconds or 5, options.rounds)
    sys.exit(not reached)


if __name__ == "__main__":
    main()
