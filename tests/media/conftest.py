"""Fixtures: real media made by the test, and a real HTTP server that misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
import pytest

Route = Callable[[BaseHTTPRequestHandler], None]


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: these tests close connections early on purpose."""


class Server:
    """An HTTP server on 127.0.0.1. A function per path writes the whole answer."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.requests: list[dict[str, str]] = []
        self.released = threading.Event()  # set at the end of the test; slow routes wait for it
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.requests.append({name.lower(): value for name, value in self.headers.items()})
                try:
                    server.routes[self.path.partition("?")[0]](self)
                except (BrokenPipeError, ConnectionResetError):  # the client closed the connection
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = _QuietServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._http.server_port}{path}"

    def answer(self, path: str, body: bytes = b"", *, status: int = 200, **headers: str) -> str:
        """Serve a fixed answer; header names take _ for -. Returns its address."""

        def route(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            fields = {
                "Content-Length": str(len(body)),
                **{k.replace("_", "-"): v for k, v in headers.items()},
            }
            for name, value in fields.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body)

        self.routes[path] = route
        return self.url(path)

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class MakeVideo(Protocol):
    def __call__(
        self,
        name: str,
        *,
        frames: int = 24,
        size: tuple[int, int] = (64, 48),
        codec: str = "mpeg4",
        pixels: str = "yuv420p",
    ) -> Path: ...


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """Write a video at 10 frames per second. Frame i of n has the grey level 255 * i / n."""

    def make(
        name: str,
        *,
        frames: int = 24,
        size: tuple[int, int] = (64, 48),
        codec: str = "mpeg4",
        pixels: str = "yuv420p",
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=10)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = size
            stream.pix_fmt = pixels
            for i in range(frames):
                grey = np.full((size[1], size[0], 3), 255 * i // frames, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
            container.mux(stream.encode())
        return path

    return make
