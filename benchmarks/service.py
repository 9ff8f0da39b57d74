"""Compare the service with direct library calls, with itself without batching, and with another embedding server.

    python -m benchmarks.service latency       # text search over HTTP and as a library call, alternating
    python -m benchmarks.service load          # 64 clients search for 60 s: errors, lost answers, p95
    python -m benchmarks.service batching      # 32 clients with one picture each, batching on and off
    python -m benchmarks.service peer --python infinity=peers/bin/python

Each server is a process on a free port of this machine; the clients share its cores. Contenders take turns in rounds,
and a contender is stopped while another one is measured. A figure is the median of its rounds, a ratio the median of
the rounds' ratios. Each answer is compared with the expected vector. Models other than starter have random weights (see
random_models); the speed does not depend on the weights.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

import firstsight
from benchmarks import random_models
from benchmarks.http_load import CheckedRequest, Load, keep_busy, send_request
from benchmarks.pipeline import goal
from firstsight.encoders.base import Encoder, Vector
from firstsight.media.pictures import open_picture

ROOT = Path(__file__).parent.parent
CATALOGUE = ROOT / "sample_media" / "catalogue.csv"
WARM = 12
BATCHED, ALONE = "batching", "no batching"


class Server:
    """A server process; it is stopped (SIGSTOP) while another one is measured."""

    def __init__(self, command: Sequence[str], port: int, ready: str, log: Path) -> None:
        self.port = port
        self._log = log.open("w")
        offline = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=self._log, stderr=self._log, env={**os.environ, **offline}
        )
        deadline = time.monotonic() + 180
        while not self._answers(ready):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"{command[0]} did not start; see {log}")
            time.sleep(0.1)

    def _answers(self, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.resume()
        self._process.terminate()
        self._process.wait(60)
        self._log.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def start_ours(stack: ExitStack, work: Path, db: Path, encoder: str, *, batched: bool = True) -> Server:
    """Start the service on a database in a process."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.service", "serve", "--db", str(db), "--encoder", encoder]
    command += ["--port", str(port)] + ([] if batched else ["--alone"])
    server = Server(command, port, "/v1/models", work / f"service-{'batched' if batched else 'alone'}.log")
    stack.callback(server.close)
    return server


def serve(db: str, encoder: str, port: int, *, alone: bool) -> None:
    """Run the application; `start_ours` starts this command."""
    import uvicorn

    from firstsight.service.app import make_app
    from firstsight.service.batching.batching_encoder import BatchSettings
    from firstsight.service.service_settings import ServiceSettings

    unbatched = BatchSettings(text_batch=1, picture_batch=1, max_wait_s=0, cached_texts=0)
    settings = ServiceSettings(db, encoder=encoder, port=port, batching=unbatched if alone else BatchSettings())
    uvicorn.run(make_app(settings), host="127.0.0.1", port=port, log_level="warning", access_log=False)


def sample_index(work: Path) -> Path:
    """Index the sample catalogue with starter; return the database."""
    db = work / "service-sample"
    if not db.exists():
        firstsight.open(db).index(CATALOGUE)
    return db


def search_request(text: str) -> CheckedRequest:
    return CheckedRequest(
        "/search", json.dumps({"text": text, "k": 10}).encode(), lambda body: len(json.loads(body)["results"]) == 10
    )


def picture_request(path: Path, expected: Vector, *, tolerance: float = 0.999) -> CheckedRequest:
    """A request with one picture; its answer must be the vector that the library computes."""
    uri = "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()
    body = {"model": "clip", "input": [uri], "modality": "image", "encoding_format": "base64"}
    return CheckedRequest(
        "/v1/embeddings", json.dumps(body).encode(), lambda answer: _close(answer, expected, tolerance)
    )


def text_request(text: str, expected: Vector, *, tolerance: float = 0.999) -> CheckedRequest:
    body = {"model": "clip", "input": [text], "encoding_format": "base64"}
    return CheckedRequest(
        "/v1/embeddings", json.dumps(body).encode(), lambda answer: _close(answer, expected, tolerance)
    )


def _close(answer: bytes, expected: Vector, tolerance: float) -> bool:
    (data,) = json.loads(answer)["data"]
    vector = np.frombuffer(base64.b64decode(data["embedding"]), "<f4")
    return float(vector @ expected) / float(np.linalg.norm(vector)) > tolerance


def latency(work: Path, count: int) -> bool:
    """Print the time that HTTP adds to a text search; all queries differ, so that no cache answers."""
    texts = random_models.made_titles(4 * count)
    texts = [f"{text} {number}" for number, text in enumerate(texts)]
    with ExitStack() as stack:
        server = start_ours(stack, work, sample_index(work), "starter")
        db = firstsight.open(sample_index(work))
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        times: dict[str, list[float]] = {"library": [], "HTTP": [], "HTTP, known text": []}
        for number in range(WARM + count):
            library_text, http_text = texts[2 * number : 2 * number + 2]
            began = time.perf_counter()
            db.search(text=library_text, k=10)
            middle = time.perf_counter()
            first = send_request(connection, search_request(http_text))
            end = time.perf_counter()
            again = send_request(connection, search_request(http_text))
            last = time.perf_counter()
            assert first[0] == again[0] == 200, (first, again)
            if number >= WARM:
                for name, took in zip(times, (middle - began, end - middle, last - end), strict=True):
                    times[name].append(took * 1e3)
        connection.close()
    for name, taken in times.items():
        print(f"{name}: p50 {np.percentile(taken, 50):.1f} ms, p95 {np.percentile(taken, 95):.1f} ms")
    for share in (50, 95):
        added = np.percentile(times["HTTP"], share) - np.percentile(times["library"], share)
        print(f"added by HTTP at p{share}: {added:.1f} ms")
    return True


def load(work: Path, clients: int, seconds: float) -> bool:
    """Print errors and latencies under many clients; all queries differ."""
    requests = [search_request(f"{text} {number}") for number, text in enumerate(random_models.made_titles(20_000))]
    with ExitStack() as stack:
        server = start_ours(stack, work, sample_index(work), "starter")
        keep_busy(server.port, requests[-WARM:], clients, 1.0)
        result = keep_busy(server.port, requests, clients, seconds)
    print(
        f"{clients} clients, {result.seconds:.0f} s: {result.sent} sent, {result.answered} answered, "
        f"{result.wrong} wrong, {len(result.failed)} failed {sorted(set(result.failed))[:3]}"
    )
    print(f"{result.rate:.0f} searches/s, p50 {result.percentile(50):.0f} ms, p95 {result.percentile(95):.0f} ms")
    return goal("errors and lost answers", result.sent - result.answered + result.wrong, 1)


def load_in_turns(
    servers: dict[str, Server], requests: Sequence[CheckedRequest], clients: int, seconds: float, rounds: int
) -> list[dict[str, Load]]:
    """Load the servers in turn for several rounds; return the results of each round by server."""
    for server in servers.values():
        server.resume()
        keep_busy(server.port, requests, clients, 2.0)
        server.pause()
    results = []
    for turn in range(rounds):
        by_server: dict[str, Load] = {}
        for name in itertools.islice(itertools.cycle(servers), turn % len(servers), turn % len(servers) + len(servers)):
            servers[name].resume()
            by_server[name] = keep_busy(servers[name].port, requests, clients, seconds)
            servers[name].pause()
        results.append(by_server)
    return results


def report(what: str, rounds: Sequence[dict[str, Load]], first: str, second: str) -> float:
    """Print the rate of each contender; return the median ratio of the first to the second."""
    for name in rounds[0]:
        rates = [loads[name].rate for loads in rounds]
        worst = max(loads[name].percentile(95) for loads in rounds)
        failed = [reason for loads in rounds for reason in loads[name].failed]
        wrong = sum(loads[name].wrong for loads in rounds)
        print(
            f"{what}, {name}: {median(rates):.1f}/s ({min(rates):.1f} to {max(rates):.1f}), p95 {worst:.0f} ms, "
            f"{wrong} wrong, {len(failed)} failed {sorted(set(failed))[:2]}"
        )
    return median(loads[first].rate / loads[second].rate for loads in rounds)


def batching(work: Path, names: Sequence[str], clients: int, seconds: float, rounds: int, side: int) -> bool:
    """Print the gain of shared forward passes: for clients with one picture each, and for the encoder alone."""
    pictures = random_models.make_jpegs(work, 64, (side, side), random_models.pictures_in(None))
    reached = True
    for name in names:
        encoder = _named(name, work)
        loaded = firstsight.load_encoder(encoder)
        expected = loaded.encode_images(pictures)
        gain = median(bare_gain(loaded, [open_picture(path) for path in pictures[:32]]) for _ in range(rounds))
        print(f"{name}: the encoder alone is {gain:.2f} times as fast with 32 pictures at once as one by one")
        requests = [picture_request(path, vector) for path, vector in zip(pictures, expected, strict=True)]
        with ExitStack() as stack, tempfile.TemporaryDirectory() as empty:
            servers = {
                label: start_ours(stack, work, Path(empty, label), encoder, batched=label == BATCHED)
                for label in (BATCHED, ALONE)
            }
            found = load_in_turns(servers, requests, clients, seconds, rounds)
        ratio = report(f"{name}, {clients} clients with a picture of {side} x {side}", found, BATCHED, ALONE)
        reached &= goal(f"{name}: with batching to without", ratio, 3, at_least=True)
    return reached


def bare_gain(encoder: Encoder, pictures: Sequence[Image.Image]) -> float:
    """Speed-up of encoding decoded pictures in one batch over encoding them one by one."""
    began = time.perf_counter()
    encoder.encode_images(pictures)
    middle = time.perf_counter()
    for picture in pictures:
        encoder.encode_images([picture])
    return (time.perf_counter() - middle) / (middle - began)


def peer(work: Path, python: str, clients: int, seconds: float, rounds: int, side: int) -> bool:
    """Print pictures/s and texts/s of firstsight and Infinity, with the same weights, clients and endpoint."""
    folder = random_models.clip_folder(work)
    encoder = firstsight.load_encoder(f"transformers:{folder}")
    pictures = random_models.make_jpegs(work, 64, (side, side), random_models.pictures_in(None))
    titles = [f"{title} {number}" for number, title in enumerate(random_models.made_titles(20_000))]
    with ExitStack() as stack, tempfile.TemporaryDirectory() as empty:
        port = free_port()
        command = [str(Path(python).with_name("infinity_emb")), "v2", "--model-id", str(folder), "--engine", "torch"]
        command += ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port), "--served-model-name", "clip"]
        theirs = Server([*command, "--url-prefix", "/v1"], port, "/v1/models", work / "infinity-server.log")
        stack.callback(theirs.close)
        servers = {"firstsight": start_ours(stack, work, Path(empty, "db"), f"transformers:{folder}")}
        servers["infinity"] = theirs
        vectors = encoder.encode_images(pictures)
        for what, requests in (
            ("pictures", [picture_request(*pair, tolerance=0.99) for pair in zip(pictures, vectors, strict=True)]),
            ("texts", [text_request(*pair) for pair in zip(titles, encoder.encode_texts(titles[:2000]), strict=False)]),
        ):
            ratio = report(what, load_in_turns(servers, requests, clients, seconds, rounds), "firstsight", "infinity")
            print(f"{what}: firstsight to infinity {ratio:.2f}")
    return True


def _named(name: str, work: Path) -> str:
    if name == "starter":
        return name
    return f"open_clip:{random_models.ARCH}@{random_models.open_clip_checkpoint(work)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["latency", "load", "batching", "peer", "serve"])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "firstsight-service")
    parser.add_argument("--count", type=int, default=200, help="number of searches of `latency`")
    parser.add_argument("--clients", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=640, help="side of the pictures in pixels")
    parser.add_argument("--models", nargs="+", choices=["starter", "clip"], default=["starter", "clip"])
    parser.add_argument("--python", default="", help="interpreter of Infinity: infinity=PATH")
    for name in ("--db", "--encoder", "--port"):
        parser.add_argument(name, help="option of `serve`")
    parser.add_argument("--alone", action="store_true", help="`serve` without batching and cache")
    options = parser.parse_args()
    if options.what == "serve":
        serve(options.db, options.encoder, int(options.port), alone=options.alone)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    if options.what == "latency":
        reached = latency(options.work, options.count)
    elif options.what == "load":
        reached = load(options.work, options.clients or 64, options.seconds or 60)
    elif options.what == "batching":
        reached = batching(
            options.work, options.models, options.clients or 32, options.seconds or 12, options.rounds, options.side
        )
    else:
        python = options.python.removeprefix("infinity=")
        reached = peer(options.work, python, options.clients or 32, options.seconds or 12, options.rounds, options.side)
    sys.exit(not reached)


if __name__ == "__main__":
    main()
