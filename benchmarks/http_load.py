"""Clients that keep a service busy: each sends its next request as soon as the last one is answered."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Ask:
    """One request, and what its answer must be like."""

    path: str
    body: bytes  # JSON
    check: Callable[[bytes], bool]  # of the body of an answer with status 200


@dataclass
class Load:
    """What came of it."""

    seconds: float
    sent: int = 0
    wrong: int = 0  # answered 200, with what does not belong to the question
    failed: list[str] = field(default_factory=list)  # other answers, and none
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return len(self.latencies_ms)

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return (self.answered - self.wrong) / self.seconds

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.latencies_ms, share))


def ask_once(connection: http.client.HTTPConnection, ask: Ask) -> tuple[int, bytes]:
    """Send one request over a connection that stays open; (status, body)."""
    connection.request("POST", ask.path, ask.body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def keep_busy(port: int, asks: Sequence[Ask], clients: int, seconds: float) -> Load:
    """Ask in turn from so many threads, a connection each, for so long; what is under way at the end is waited for."""
    load = Load(seconds)
    lock = threading.Lock()
    start = threading.Barrier(clients + 1)

    def work(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        start.wait()
        ends = time.perf_counter() + seconds
        turn = number
        while (began := time.perf_counter()) < ends:
            ask = asks[turn % len(asks)]
            turn += clients
            with lock:
                load.sent += 1
            try:
                status, body = ask_once(connection, ask)
            except (OSError, http.client.HTTPException) as error:
                with lock:
                    load.failed.append(type(error).__name__)
                connection.close()
                continue
            took = (time.perf_counter() - began) * 1e3
            right = status == 200 and ask.check(body)
            with lock:
                if status == 200:
                    load.latencies_ms.append(took)
                    load.wrong += not right
                else:
                    load.failed.append(f"{status} {body[:200]!r}")
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    load.seconds = time.perf_counter() - began
    return load
