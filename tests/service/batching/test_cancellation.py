"""Searches whose client disconnected, searches past their deadline, and searches that wait for slow servers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from firstsight.encoders.base import Encoder
from firstsight.media.policy import MediaPolicy
from firstsight.service.app import make_app
from firstsight.service.batching.batching_encoder import BatchSettings
from firstsight.service.database_pool import MAX_WAITING_THREADS
from firstsight.service.service_settings import ServiceSettings
from tests.conftest import SAMPLE_CATALOGUE
from tests.media.conftest import Server
from tests.service.batching.test_embedding_load import PausedEncoder
from tests.service.live_server import LiveServer

PATIENCE = MediaPolicy(allow_private=True, timeout_s=60, tries=1)


@pytest.fixture
def paused(starter: Encoder) -> Iterator[PausedEncoder]:
    paused = PausedEncoder(starter)
    yield paused
    paused.door.set()


class SilentServer:
    """A server that takes connections and says nothing, until it hangs up."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}/a"

    def hang_up(self) -> None:
        self._socket.close()


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    silent = SilentServer()
    yield silent
    silent.hang_up()


def served(db: Path, encoder: Encoder, **settings: Any) -> LiveServer:
    return LiveServer(make_app(ServiceSettings(str(db), encoder=encoder, **settings)))


def search(service: LiveServer, **query: Any) -> httpx.Response:
    return httpx.post(f"{service.url}/search", json=query, timeout=60)


def in_flight(service: LiveServer) -> float:
    figures = httpx.get(f"{service.url}/metrics").text
    return float(figures.partition("\nfirstsight_requests_in_flight ")[2].split()[0])


def hang_up_after(service: LiveServer, path: str, body: object, reached: Any) -> None:
    """Send a request, and close the connection once something is so."""
    host, port = service.url.removeprefix("http://").split(":")
    sent = json.dumps(body).encode()
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (path.encode(), len(sent), sent)
        )
        service.until(reached)


def test_a_search_past_its_deadline_is_504(sample_db: Path, paused: PausedEncoder) -> None:
    with served(sample_db, paused, batching=BatchSettings(timeout_s=0.2)) as service:
        answer = search(service, text="late")
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline")
        paused.door.set()


def test_a_search_of_a_client_that_hung_up_is_dropped(sample_db: Path, paused: PausedEncoder) -> None:
    with served(sample_db, paused, threads=1) as service:
        first = threading.Thread(target=search, args=(service,), kwargs={"text": "first"})
        first.start()
        assert paused.busy.wait(20)
        queue = service.searches._queues["searches"]
        hang_up_after(service, "/search", {"text": "unwanted"}, lambda: queue.rows == 1)
        service.until(lambda: all(request.future.cancelled() for request in queue.requests))
        paused.door.set()
        first.join()
    assert paused.seen == ["first"]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["images", "videos"])
def test_slow_servers_hold_up_no_other_search(
    sample_db: Path, starter: Encoder, silent: SilentServer, what: str
) -> None:
    with served(sample_db, starter, policy=PATIENCE, threads=2, batching=BatchSettings(timeout_s=60)) as service:
        slow = [
            threading.Thread(target=search, args=(service,), kwargs={what: [f"{silent.address}{n}"] * 4})
            for n in range(40)
        ]
        for thread in slow:
            thread.start()
        service.until(lambda: in_flight(service) >= 40)
        assert search(service, text="shoes").status_code == 200
        assert in_flight(service) >= 40
        silent.hang_up()
        for thread in slow:
            thread.join()


@pytest.mark.slow
def test_writes_that_wait_hold_up_no_search(own_db: Path, starter: Encoder) -> None:
    with served(own_db, starter, max_wait_s=60, threads=2) as service:
        databases = service._app.state.service.databases
        body = {"items": [{"item_id": "a", "title": "a"}]}
        posts: list[httpx.Response] = []
        with databases.writing():
            writers = [
                threading.Thread(target=lambda: posts.append(httpx.post(f"{service.url}/items", json=body, timeout=60)))
                for _ in range(90)
            ]
            for writer in writers:
                writer.start()
            service.until(lambda: len(posts) >= 90 - MAX_WAITING_THREADS)  # sent away at once
            assert {(post.status_code, post.headers["retry-after"]) for post in posts} == {(503, "1")}
            assert search(service, text="shoes").status_code == 200
            assert len(posts) < 90  # the others wait still
        for writer in writers:
            writer.join()
        assert [post.status_code for post in posts].count(200) == 90 - [post.status_code for post in posts].count(503)
        assert httpx.post(f"{service.url}/items", json=body, timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [("/search", {"images": ["{}"] * 16}), ("/search", {"videos": ["{}"] * 2}),
     ("/v1/embeddings", {"input": [{"image": "{}"}] * 40})],
)  # fmt: skip
def test_addresses_that_do_not_answer_are_waited_for_until_the_deadline(
    sample_db: Path, starter: Encoder, silent: SilentServer, path: str, body: object
) -> None:
    with served(sample_db, starter, policy=PATIENCE, batching=BatchSettings(timeout_s=0.5)) as service:
        answer = httpx.post(
            f"{service.url}{path}", content=json.dumps(body).replace("{}", silent.address),
            headers={"content-type": "application/json"}, timeout=60,
        )  # fmt: skip
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline")
        silent.hang_up()  # a service that ends waits for its threads


@pytest.mark.slow
def test_a_video_at_an_address_is_searched_by(sample_db: Path, starter: Encoder, server: Server) -> None:
    clip = SAMPLE_CATALOGUE.parent / "clips" / "kitchen-haul.mp4"
    address = server.answer("/clip.mp4", clip.read_bytes(), Content_Type="video/mp4")
    broken = server.answer("/broken.mp4", clip.read_bytes()[:3_000], Content_Type="video/mp4")
    with served(sample_db, starter, policy=MediaPolicy(allow_private=True)) as service:
        found = search(service, videos=[address], k=1).json()["results"][0]
        assert found["item_id"] == "video-kitchen-haul"
        told = search(service, videos=[broken])
        assert told.status_code == 422
        assert "/tmp" not in told.text
        assert len(server.requests) == 2
