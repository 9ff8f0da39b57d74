"""Streams for tests: clips of known pictures, an HLS folder filled in real time, a server that can stop and restart."""

from __future__ import annotations

import functools
import http.server
import shutil
import socket
import socketserver
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg command is not installed")

RATE = 10
"""Frames per second of a clip."""


def grey_clip(path: Path, seconds: int, *, key_every: int = 5, container: str = "mpegts", title: str = "") -> Path:
    """Make a clip of 64 x 48. Its grey level rises by 10 per second; it has a key frame every `key_every` frames."""
    levels = [10 * (n // RATE) for n in range(seconds * RATE)]
    return write_clip(path, [Image.new("RGB", (64, 48), (v, v, v)) for v in levels], key_every, container, title)


def write_clip(
    path: Path, pictures: Sequence[Image.Image], key_every: int = 5, container: str = "mpegts", title: str = ""
) -> Path:
    """Make a clip of these pictures, ten per second, in H.264 without B-frames."""
    with av.open(str(path), "w", format=container) as opened:
        opened.metadata.update({"title": title} if title else {})
        stream = opened.add_stream("libx264", rate=RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "g": str(key_every), "keyint_min": str(key_every), "sc_threshold": "0"}
        stream.codec_context.max_b_frames = 0
        for picture in pictures:
            opened.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), "rgb24")))
        opened.mux(stream.encode())
    return path


def grey(picture: Image.Image) -> int:
    """The grey level of a clip's frame, rounded to ten."""
    return 10 * round(float(np.asarray(picture).mean()) / 10)


def write_hls(folder: Path, clip: Path, *, ended: bool) -> Path:
    """A playlist of one segment, of a stream that has ended or goes on."""
    folder.mkdir(exist_ok=True)
    shutil.copy(clip, folder / "segment.ts")
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", "#EXTINF:1.0,", "segment.ts"]
    playlist = folder / "live.m3u8"
    playlist.write_text("\n".join([*lines, *(["#EXT-X-ENDLIST"] if ended else []), ""]))
    return playlist


@contextmanager
def hls_in_real_time(clip: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start ffmpeg, which writes a clip to a folder in real time. Return when the playlist exists."""
    folder.mkdir(exist_ok=True)
    how = ["-c", "copy", "-f", "hls", "-hls_time", "0.5", "-hls_list_size", "4", str(folder / "live.m3u8")]
    with ffmpeg("-re", "-i", str(clip), *how) as process:
        while not (folder / "live.m3u8").exists():
            assert process.poll() is None, process.returncode
        yield process


@contextmanager
def ffmpeg(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A running ffmpeg that ends with the block."""
    process = subprocess.Popen(["ffmpeg", "-nostdin", "-v", "error", *arguments])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class FolderServer:
    """An HTTP server for a folder on 127.0.0.1 that can stop and restart at the same port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start serving, at the same port as before."""
        handler = functools.partial(_Quiet, directory=str(self._folder))
        self._http = _Server(("127.0.0.1", self.port), handler)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections and close the open ones."""
        self._http.shutdown()
        self._http.server_close()
        for connection in self._http.open:
            connection.close()
        self._thread.join()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self.open: list[socket.socket] = []
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: these tests close connections on purpose."""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class RtspServer:
    """A small RTSP server (RFC 2326) on 127.0.0.1 that plays one MPEG-TS clip (RFC 2250) over the same connection."""

    def __init__(self, clip: Path) -> None:
        packets = clip.read_bytes()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while line := self.rfile.readline().decode().strip():
                    fields = {}
                    while header := self.rfile.readline().decode().strip():
                        name, _, value = header.partition(":")
                        fields[name.lower()] = value.strip()
                    method = line.split()[0]
                    self._answer(method, fields["cseq"])
                    if method == "PLAY":
                        self._play()
                        return

            def _answer(self, method: str, cseq: str) -> None:
                body, more = "", ""
                if method == "OPTIONS":
                    more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY\r\n"
                elif method == "DESCRIBE":
                    fields = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=clip", "t=0 0", "m=video 0 RTP/AVP 33"]
                    body = "".join(f"{field}\r\n" for field in [*fields, "a=control:track"])
                    more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
                elif method == "SETUP":
                    more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
                answer = f"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 1\r\n{more}\r\n{body}"
                self.wfile.write(answer.encode())

            def _play(self) -> None:
                for n, start in enumerate(range(0, len(packets), 7 * 188)):
                    body = packets[start : start + 7 * 188]
                    rtp = struct.pack(">BBHII", 0x80, 33, n & 0xFFFF, 90 * n, 1) + body
                    self.wfile.write(struct.pack(">cBH", b"$", 0, len(rtp)) + rtp)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self._server.server_address[1]}/clip"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
