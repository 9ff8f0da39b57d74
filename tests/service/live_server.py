"""Run an application on a real server, on a free port of this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

import httpx
import uvicorn
from fastapi import FastAPI

from firstsight.service.batching.batcher import Batcher
from firstsight.service.serving import SERVER_OPTIONS
from firstsight.service.state import Service

STARTS_IN_S = 120.0


class LiveServer:
    """A uvicorn server in a thread while the `with` block runs; `url` is its address."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", **SERVER_OPTIONS))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    @property
    def batcher(self) -> Batcher:
        """The queue of the application's encoder."""
        service = self._app.state.service
        assert isinstance(service, Service)
        return service.databases.batching._batcher

    @property
    def searches(self) -> Batcher:
        """The queue of the application's searches."""
        service = self._app.state.service
        assert isinstance(service, Service)
        return service.searches._batcher

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        ends = time.monotonic() + STARTS_IN_S
        while not condition():
            assert time.monotonic() < ends
            time.sleep(0.002)

    def __enter__(self) -> LiveServer:
        self._thread.start()
        try:
            self.until(lambda: self._app.state.service.databases.warm)
            # the socket listens already, so a request waits for the application
            httpx.get(f"{self.url}/health", timeout=STARTS_IN_S).raise_for_status()
        except BaseException as error:  # else the thread outlives the test and the interpreter waits for it
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
