"""Measure fetching of remote pictures over loopback from a slow server that answers some requests with 503.

    python -m benchmarks.fetching     # a sequential httpx loop, the index run's loader, and its cache cold and warm

Each method fetches and decodes the same pictures. The server runs in its own process. Figures are medians of rounds
made in turn. The same pictures get a 503 at their first request in every method.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from benchmarks.catalogues import make_catalogue
from firstsight.errors import MediaError
from firstsight.indexer.index_settings import IndexSettings
from firstsight.indexer.media_loading.media_loader import MediaJob, MediaLoader
from firstsight.media.pictures import open_picture
from firstsight.media.policy import MediaPolicy

MIN_SIDE = 224


def serve(folder: Path, latency_s: float, failing: float) -> None:
    """Serve a folder's files at /ROUND/NAME until killed; print the port first."""
    failed: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(latency_s)
            drawn = int(hashlib.blake2b(self.path.split("/")[-1].encode(), digest_size=4).hexdigest(), 16) / 2**32
            if drawn < failing and self.path not in failed:
                failed.add(self.path)
                self._answer(503, b"")
                return
            body = (folder / self.path.rpartition("/")[2]).read_bytes()
            etag = f'"{len(body)}"'
            same = self.headers["If-None-Match"] == etag
            self._answer(304 if same else 200, b"" if same else body, etag)

        def _answer(self, status: int, body: bytes, etag: str = '""') -> None:
            head = f"HTTP/1.1 {status} x\r\nETag: {etag}\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.request_queue_size = 128
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def served(folder: Path, latency_s: float, failing: float) -> Iterator[str]:
    """Run the server in a process and yield its address."""
    command = [sys.executable, "-m", "benchmarks.fetching", "--serve", str(folder)]
    command += ["--latency", str(latency_s), "--failing", str(failing)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def sequential(urls: Sequence[str]) -> int:
    """Fetch one address after the other with an httpx client, without retries. Return the number of failures."""
    failed = 0
    with httpx.Client(timeout=30) as client:
        for url in urls:
            answer = client.get(url)
            if answer.status_code == 200:
                open_picture(answer.content, min_side=MIN_SIDE)
            else:
                failed += 1
    return failed


def loader(urls: Sequence[str], policy: MediaPolicy) -> int:
    """Fetch by the index run's loader. Return the number of failures."""
    jobs = [MediaJob("image", url) for url in urls]
    with MediaLoader(policy, IndexSettings(), MIN_SIDE) as loading:
        return sum(isinstance(loaded, MediaError) for _, loaded in loading.load_ahead(jobs))


def measure(pictures: int, side: int, rounds: int, latency_s: float, failing: float) -> bool:
    """Print seconds and failures of each method.

    Returns:
        Whether no picture is lost, and eight fetches at once are five times as fast as the sequential loop.
    """
    seconds: dict[str, list[float]] = {}
    failures: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_catalogue(folder / "media", pictures, side)
        files = sorted(path.name for path in (folder / "media").glob("*.jpg"))
        policy = MediaPolicy(allow_private=True)
        with served(folder / "media", latency_s, failing) as address:

            def timed(method: str, work: Callable[[], int]) -> None:
                began = time.perf_counter()
                failures[method] = failures.get(method, 0) + work()
                seconds.setdefault(method, []).append(time.perf_counter() - began)

            for round_ in range(rounds):
                urls = {key: [f"{address}/{round_}{key}/{file}" for file in files] for key in "abcd"}
                cached = replace(policy, cache_dir=folder / f"cache-{round_}")
                wide = replace(policy, fetches_per_host=32)
                timed("sequential httpx", lambda urls=urls: sequential(urls["a"]))  # type: ignore[misc]
                timed("loader, 8 at once", lambda urls=urls: loader(urls["b"], policy))  # type: ignore[misc]
                timed("loader, 32 at once", lambda urls=urls, wide=wide: loader(urls["c"], wide))  # type: ignore[misc]
                timed("loader, cache cold", lambda urls=urls, cached=cached: loader(urls["d"], cached))  # type: ignore[misc]
                timed("loader, cache warm", lambda urls=urls, cached=cached: loader(urls["d"], cached))  # type: ignore[misc]
    size = f"{pictures} pictures of {side} x {side}, {1000 * latency_s:g} ms latency, {failing:.0%} answered with 503"
    print(f"{size}; medians of {rounds}")
    for method, taken in seconds.items():
        print(f"{method:20} {statistics.median(taken):6.2f} s   {failures[method]} failed")
    ratio = statistics.median(seconds["sequential httpx"]) / statistics.median(seconds["loader, 8 at once"])
    lost = sum(failed for method, failed in failures.items() if method != "sequential httpx")
    print(f"times the sequential loop: {ratio:.1f} (goal: at least 5); pictures lost: {lost} (goal: none)")
    return ratio >= 5 and not lost


def main() -> None:
    """Measure, or run the server for a measuring process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--side", type=int, default=640, help="picture side in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--failing", type=float, default=0.02, help="share of pictures whose first answer is a 503")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.latency, options.failing)
    reached = measure(options.pictures, options.side, options.rounds, options.latency, options.failing)
    raise SystemExit(not reached)


if __name__ == "__main__":
    main()
