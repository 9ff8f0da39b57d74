"""The service over the sample catalogue: in this process, and as a separate process on a free port."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from firstsight.encoders.base import Encoder
from firstsight.service.app import make_app
from firstsight.service.service_settings import ServiceSettings

StartService = Callable[..., "ServiceProcess"]


@contextmanager
def serving(settings: ServiceSettings) -> Iterator[TestClient]:
    """A client of an application in this process that has come up."""
    with TestClient(make_app(settings), base_url="http://127.0.0.1:8000") as client:
        until(lambda: client.app.state.service.databases.warm)  # type: ignore[attr-defined]
        yield client


def until(is_so: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Ask until something is so."""
    ends = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def client(sample_db: Path, starter: Encoder) -> Iterator[TestClient]:
    """A client of a service over the sample database, which is not to be written to."""
    with serving(ServiceSettings(db=str(sample_db), encoder=starter)) as client:
        yield client


@pytest.fixture
def own_db(sample_db: Path, tmp_path: Path) -> Path:
    """A copy of the sample database, to be written to."""
    return Path(shutil.copytree(sample_db, tmp_path / "db"))


@pytest.fixture
def writable_client(own_db: Path, starter: Encoder) -> Iterator[TestClient]:
    """A client of a service over a database of its own."""
    with serving(ServiceSettings(db=str(own_db), encoder=starter)) as client:
        yield client


class ServiceProcess:
    """`firstsight serve` in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "firstsight", "serve", *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"})
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until(lambda: bool(self._address()) or self.process.poll() is not None)
        self.address = self._address()
        assert self.address, self.log

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line.rstrip())

    def _address(self) -> str:
        told = next((line for line in self.log if "listening at http://" in line), "")
        return told.partition("listening at ")[2].partition(";")[0]

    def wait_ready(self, **how: Any) -> None:
        """Ask until it can answer."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log
            try:
                return httpx.get(f"{self.address}/ready", **how).status_code == 200
            except httpx.TransportError:
                return False

        until(ready)

    def end(self) -> None:
        """Take it down, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def start_service() -> Iterator[StartService]:
    """Starts `firstsight serve`; what is still running at the end of the test is killed."""
    started: list[ServiceProcess] = []

    def start(*arguments: str) -> ServiceProcess:
        started.append(ServiceProcess(*arguments))
        return started[-1]

    yield start
    for running in started:
        running.end()
