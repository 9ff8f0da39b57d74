"""Requests from pages of other sites, under rebound names, or with oversized bodies are refused."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from firstsight.encoders.base import Encoder
from firstsight.errors import (
    DatabaseBusyError,
    FirstsightError,
    MediaError,
    MissingDatabaseError,
    SafetyError,
    StoreError,
)
from firstsight.media.fetch import network_guard
from firstsight.service.app import make_app
from firstsight.service.batching.queue_errors import StoppedError
from firstsight.service.gate import Gate
from firstsight.service.service_errors import OverloadedError
from firstsight.service.service_settings import ServiceSettings
from tests.media.conftest import Server
from tests.service.conftest import serving

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def small(sample_db: Path, starter: Encoder) -> Iterator[TestClient]:
    """A service that takes few bytes."""
    with serving(ServiceSettings(db=str(sample_db), encoder=starter, max_body_bytes=1_000)) as client:
        yield client


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "", "10.0.0.1:8000"])
def test_a_name_that_was_rebound_to_this_machine_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/items/guitar-acoustic", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host")


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000"])
def test_every_name_of_this_machine_is_known(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


def test_a_name_that_was_told_is_known(sample_db: Path, starter: Encoder) -> None:
    settings = ServiceSettings(db=str(sample_db), encoder=starter, names=("shop.example",))
    with serving(settings) as client:
        assert client.get("/health", headers={"Host": "shop.example:443"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_page_of_another_site_changes_nothing(client: TestClient, method: str, headers: dict[str, str]) -> None:
    answer = client.request(method, "/items/guitar-acoustic", json={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert client.get("/items/guitar-acoustic").status_code == 200


def test_a_page_of_this_service_may(client: TestClient) -> None:
    headers = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/search", json={"text": "shoes"}, headers=headers).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "text/plain;application/json"])
def test_a_body_that_a_form_can_send_is_not_read(client: TestClient, kind: str) -> None:
    answer = client.post("/search", content=b'{"text": "a"}', headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_type")


def test_a_form_with_files_needs_a_header_that_no_form_sends(client: TestClient) -> None:
    files = [("query", (None, '{"text": "shoes"}'))]
    assert client.post("/search", files=files).status_code == 403
    answer = client.post("/search", files=files, headers={"X-Requested-With": "a"})
    assert answer.status_code == 200


def test_no_other_site_may_read_an_answer(client: TestClient) -> None:
    answer = client.get("/items/guitar-acoustic", headers={"Origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    preflight = client.options("/items", headers={"Origin": "http://e", "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 405


@pytest.mark.parametrize("path", ["/health", "/nowhere", "/items/guitar-acoustic"])
def test_every_answer_has_the_headers_that_browsers_heed(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"


def test_a_body_of_too_many_bytes_is_refused_by_its_length(small: TestClient) -> None:
    answer = small.post("/search", json={"text": "a" * 2_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_body_that_does_not_tell_its_length_is_counted(small: TestClient) -> None:
    answer = small.post("/search", content=(b"a" * 100 for _ in range(1_000)), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    settings = ServiceSettings(db=str(tmp_path / "none"), max_wait_s=0.05)
    told: list[Message] = []

    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def tell(message: Message) -> None:
        told.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/search", "headers": headers, "query_string": b""}
    asyncio.run(make_app(settings)(scope, never, tell))
    assert told[0]["status"] == 408
    assert b"body_timeout" in told[1]["body"]


def test_bodies_of_many_requests_fill_no_memory(tmp_path: Path) -> None:
    app = make_app(ServiceSettings(db=str(tmp_path / "none"), max_body_bytes=1_000, max_wait_s=30))
    gate = Gate(app, settings=app.state.service.settings, keyring=app.state.service.keyring)
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]

    async def ask(size: int, *, ends: bool) -> Message:
        told: list[Message] = []
        parts: list[Message] = [{"type": "http.request", "body": b" " * size, "more_body": not ends}]

        async def receive() -> Message:
            if parts:
                return parts.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def tell(message: Message) -> None:
            told.append(message)

        scope = {"type": "http", "method": "POST", "path": "/session", "headers": headers, "query_string": b""}
        await gate(scope, receive, tell)
        return told[0]

    async def crowd() -> None:
        sending = [asyncio.create_task(ask(999, ends=False)) for _ in range(16)]
        while gate._bytes_held < 16 * 999:
            await asyncio.sleep(0)
        refused = await ask(999, ends=True)
        assert refused["status"] == 503
        assert (b"retry-after", b"5") in refused["headers"]
        assert (await ask(10, ends=True))["status"] == 422  # what still fits
        for one in sending:
            one.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        assert gate._bytes_held == 0

    asyncio.run(crowd())


def test_a_request_keeps_its_id_and_has_one_line_of_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("firstsight.service")
    with caplog.at_level(logging.INFO, logger.name):
        answer = client.get("/items/nobody", headers={"X-Request-ID": "abc-1"})
        made = client.get("/health", headers={"X-Request-ID": "bad id\t"}).headers["x-request-id"]
    assert answer.headers["x-request-id"] == "abc-1"
    assert len(made) == 16
    lines = [record.message for record in caplog.records if "abc-1" in record.message]
    assert len(lines) == 1
    assert '"status": 404' in lines[0]
    assert '"code": "not_found"' in lines[0]


def test_what_goes_wrong_inside_is_not_told(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object, **how: object) -> None:
        raise ZeroDivisionError("secret of the inside")

    monkeypatch.setattr("firstsight.database.Database.search_many", fail)
    answer = client.post("/search", json={"text": "a"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in answer.json()["detail"]
    assert "secret of the inside" in caplog.text
    monkeypatch.undo()
    assert client.post("/search", json={"text": "a"}).status_code == 200


def test_the_figures_tell_requests_failures_encoder_and_store(client: TestClient) -> None:
    client.post("/search", json={"text": "a text that nobody asked for"})
    client.post("/search", json={})
    text = client.get("/metrics").text
    assert 'firstsight_requests_total{method="POST",route="/search",status="200"}' in text
    assert 'firstsight_failures_total{code="query"}' in text
    assert 'firstsight_encoder_seconds_count{input="texts"}' in text
    assert 'firstsight_batch_rows_count{input="texts"}' in text
    assert "firstsight_store_seconds_count" in text
    assert 'firstsight_request_seconds_bucket{le="0.001",route="/search"}' in text


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (StoppedError("stopping"), "5"),
        (StoreError("/srv/db is broken"), "5"),
        (MissingDatabaseError("nothing"), "5"),
        (DatabaseBusyError("busy"), "5"),
        (OverloadedError("no thread", {"Retry-After": "1"}), "1"),
    ],
)
def test_what_may_be_tried_again_says_when(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, error: FirstsightError, waits: str
) -> None:
    def fail(*args: object, **how: object) -> None:
        raise error

    monkeypatch.setattr("firstsight.database.Database.search_many", fail)
    answer = client.post("/search", json={"text": "a"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, waits)


def test_a_message_does_not_begin_a_line_of_the_log_or_name_folders(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raised: list[FirstsightError] = [
        StoreError("item a\n2026-01-01 INFO forged\x1b[0m"),
        MediaError("missing", "/srv/shop/a.jpg is gone"),
        SafetyError("/srv/shop/policies.yml has no policy"),
    ]

    def fail(*args: object, **how: object) -> None:
        raise raised.pop(0)

    monkeypatch.setattr("firstsight.database.Database.search_many", fail)
    answers = [client.post("/search", json={"text": "a"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 422, 422]
    assert not [answer.text for answer in answers if "/srv" in answer.text]
    assert "item a\\n2026-01-01 INFO forged\\x1b[0m" in caplog.text


# ---- addresses of this network, in every spelling

SPELLINGS = [
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/a.jpg",
    "http://0.0.0.0/a.jpg",
    "http://127.0.0.1/a.jpg",
    "http://127.1/a.jpg",
    "http://2130706433/a.jpg",
    "http://0x7f000001/a.jpg",
    "http://0x7f.1/a.jpg",
    "http://017700000001/a.jpg",
    "http://localhost/a.jpg",
    "http://[::ffff:127.0.0.1]/a.jpg",
    "http://[::ffff:a9fe:a9fe]/a.jpg",
    "http://[fe80::1]/a.jpg",
    "http://[fd00::1]/a.jpg",
    "http://10.0.0.1/a.jpg",
    "http://172.16.0.1/a.jpg",
    "http://192.168.0.1/a.jpg",
    "http://100.64.0.1/a.jpg",
    "http://168.63.129.16/a.jpg",
    "http://user@127.0.0.1/a.jpg",
]


@pytest.mark.parametrize("address", SPELLINGS)
def test_an_address_of_this_network_is_not_fetched(client: TestClient, address: str) -> None:
    answer = client.post("/search", json={"images": [address]})
    assert (answer.status_code, answer.json()["code"]) == (422, "media_forbidden"), answer.text


@pytest.mark.parametrize("address", SPELLINGS[:4])
def test_nor_is_a_video(client: TestClient, address: str) -> None:
    answer = client.post("/search", json={"videos": [address]})
    assert (answer.status_code, answer.json()["code"]) == (422, "media_forbidden"), answer.text


@pytest.mark.parametrize("target", ["http://127.0.0.2/a.jpg", "http://169.254.169.254/", "file:///etc/passwd"])
def test_nor_is_one_that_a_public_server_sends_on_to(
    client: TestClient, server: Server, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    # the server of this test passes for a public one; all else is judged as it is
    real = network_guard.is_public
    monkeypatch.setattr(network_guard, "is_public", lambda address: address == "127.0.0.1" or real(address))
    url = server.answer("/a.jpg", status=302, Location=target)
    answer = client.post("/search", json={"images": [url]})
    assert len(server.requests) == 1
    assert (answer.status_code, answer.json()["code"]) == (422, "media_forbidden"), answer.text


MALFORMED = [
    "http://[::1/a.mp4",
    "http://a]b/a.mp4",
    "http://\u2100/a.mp4",
    "http://[v1.x]/a",
    "http:///a",
    "http://a\0/",
]


@pytest.mark.parametrize("address", MALFORMED)
@pytest.mark.parametrize("name", ["images", "videos"])
def test_an_address_that_is_none_is_the_requests_fault(client: TestClient, name: str, address: str) -> None:
    answer = client.post("/search", json={name: [address]})
    assert answer.status_code == 422
    assert answer.json()["code"] in {"media_unreachable", "media_forbidden"}


def test_nor_is_a_redirect_to_none(client: TestClient, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_guard, "is_public", lambda address: True)
    url = server.answer("/a.jpg", status=302, Location="http://[::1/a.jpg")
    answer = client.post("/search", json={"images": [url]})
    assert answer.status_code == 422


def test_nor_is_a_name_that_resolves_to_one(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def resolve(host: object, port: object, *args: object, **how: object) -> object:
        return real("169.254.169.254" if host == "metadata.example" else host, port, *args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    answer = client.post("/search", json={"images": ["http://metadata.example/a.jpg"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "media_forbidden"), answer.text
