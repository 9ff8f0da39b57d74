"""The embedding routes under overload: full queues, deadlines, cancelled requests."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from firstsight.encoders.base import Encoder, EncoderSpec, ImageInput, Vectors
from firstsight.service.app import make_app
from firstsight.service.batching.batching_encoder import BatchSettings
from firstsight.service.service_settings import ServiceSettings
from tests.service.live_server import LiveServer

MEDIA = Path(__file__).parents[3] / "sample_media" / "pictures"
PICTURES = [path for path in sorted(MEDIA.glob("*.jpg")) if "broken" not in path.name][:2]


def post(service: LiveServer, path: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{service.url}{path}", json=body, timeout=60)


class PausedEncoder:
    """The real encoder, which answers texts once it may; counts what reaches it."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.busy, self.door = threading.Event(), threading.Event()
        self.seen: list[str] = []

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if texts == ["warm"]:  # the service's own
            return self._encoder.encode_texts(texts)
        self.seen += texts
        self.busy.set()
        assert self.door.wait(20)
        return self._encoder.encode_texts(texts)


@pytest.fixture
def paused(starter: Encoder) -> Iterator[PausedEncoder]:
    paused = PausedEncoder(starter)
    yield paused
    paused.door.set()


def served(paused: PausedEncoder, tmp_path: Path, batching: BatchSettings) -> LiveServer:
    return LiveServer(make_app(ServiceSettings(str(tmp_path / "db"), encoder=paused, batching=batching)))


def in_background(service: LiveServer, text: str) -> threading.Thread:
    thread = threading.Thread(target=post, args=(service, "/v1/embeddings"), kwargs={"input": text})
    thread.start()
    return thread


def test_a_full_queue_is_429_with_the_time_to_come_back(paused: PausedEncoder, tmp_path: Path) -> None:
    with served(paused, tmp_path, BatchSettings(text_queue=1)) as service:
        first = in_background(service, "first")
        assert paused.busy.wait(20)
        second = in_background(service, "second")
        service.until(lambda: service.batcher._queues["texts"].rows == 1)
        third = post(service, "/v1/embeddings", input="third")
        assert (third.status_code, third.json()["code"]) == (429, "queue_full")
        assert 1 <= int(third.headers["retry-after"]) <= 60
        paused.door.set()
        first.join()
        second.join()


def test_past_the_deadline_is_504(paused: PausedEncoder, tmp_path: Path) -> None:
    with served(paused, tmp_path, BatchSettings(timeout_s=0.1)) as service:
        answer = post(service, "/v1/embeddings", input="late")
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline")
        paused.door.set()


def test_work_of_a_client_that_hung_up_is_dropped(paused: PausedEncoder, tmp_path: Path) -> None:
    with served(paused, tmp_path, BatchSettings()) as service:
        first = in_background(service, "first")
        assert paused.busy.wait(20)
        host, port = service.url.removeprefix("http://").split(":")
        body = b'{"input": "unwanted"}'
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            queue = service.batcher._queues["texts"]
            service.until(lambda: queue.rows == 1)
        service.until(lambda: all(request.future.cancelled() for request in queue.requests))
        paused.door.set()
        first.join()
    assert paused.seen == ["first"]


@pytest.mark.slow
def test_pictures_beyond_those_in_hand_are_refused_before_they_are_decoded(
    paused: PausedEncoder, tmp_path: Path
) -> None:
    with served(paused, tmp_path, BatchSettings(picture_queue=2)) as service:
        blocker = in_background(service, "first")
        assert paused.busy.wait(20)
        images = [{"image": base64.b64encode(path.read_bytes()).decode()} for path in PICTURES]
        waiting = threading.Thread(target=post, args=(service, "/v1/embeddings"), kwargs={"input": images})
        waiting.start()
        service.until(lambda: service.batcher._queues["pictures"].rows == 2)
        answer = post(service, "/v1/embeddings", input=images[:1])
        assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
        paused.door.set()
        waiting.join()
        blocker.join()
