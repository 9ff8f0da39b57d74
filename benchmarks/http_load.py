"""Load clients for a service: each client sends its next request when the last one is answered."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class CheckedRequest:
    """One request, with a check of its answer."""

    path: str
    body: bytes  # JSON
    check: Callable[[bytes], bool]  # whether the body of a 200 answer is right


@dataclass
class Load:
    """Counts and latencies of a load."""

    seconds: float
    sent: int = 0
    wrong: int = 0  # status 200, but the check failed
    failed: list[str] = field(default_factory=list)  # other status, or no answer
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return len(self.latencies_ms)

    @property
    def rate(self) -> float:
        """Right answers per second."""
        return (self.answered - self.wrong) / self.seconds

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.latencies_ms, share))


def send_request(connection: http.client.HTTPConnection, request: CheckedRequest) -> tuple[int, bytes]:
    """Send one request over an open connection; return (status, body)."""
    connection.request("POST", request.path, request.body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def keep_busy(port: int, requests: Sequence[CheckedRequest], clients: int, seconds: float) -> Load:
    """Send requests for some seconds from several threads, each with a connection; wait for the last answers."""
    load = Load(seconds)
    lock = threading.Lock()
    start = threading.Barrier(clients + 1)

    def work(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        start.wait()
        end = time.perf_counter() + seconds
        position = number
        while (began := time.perf_counter()) < end:
            request = requests[position % len(requests)]
            position += clients
            with lock:
                load.sent += 1
            try:
                status, body = send_request(connection, request)
            except (OSError, http.client.HTTPException) as error:
                with lock:
                    load.failed.append(type(error).__name__)
                connection.close()
                continue
            took = (time.perf_counter() - began) * 1e3
            right = status == 200 and request.check(body)
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
