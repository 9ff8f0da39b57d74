"""API keys: stored as digests, checked for each request, with scopes and a rate limit each."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from firstsight.encoders.base import Encoder
from firstsight.service.api_keys import ApiKey, KeyFile, KeyFileError
from firstsight.service.auth import ForbiddenError, Keyring, RateLimitedError, UnauthorizedError, required_scope
from firstsight.service.service_settings import ServiceSettings
from firstsight.service.serving import ListenError, require_key_if_public
from tests.service.conftest import serving


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def guarded(sample_db: Path, starter: Encoder, file: KeyFile) -> Iterator[TestClient]:
    """A service that needs keys: of its file there is one, `first`, that reads."""
    file.add("first")
    with serving(ServiceSettings(db=str(sample_db), encoder=starter, keys=file.path)) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_token_is_kept_as_its_digest_in_a_file_of_its_owner(file: KeyFile) -> None:
    key, token = file.add("shop", ["write", "read"])
    assert file.path is not None
    text = file.path.read_text()
    assert token not in text
    assert token.rpartition("_")[2] not in text
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.find(token) == key
    assert key.scopes == ("read", "write")


@pytest.mark.parametrize("token", ["", "fs_", "fs_00000000_" + "a" * 43, "é" * 50])
def test_a_token_that_was_not_made_is_no_key(file: KeyFile, token: str) -> None:
    _, made = file.add("shop")
    assert file.find(token) is None
    assert file.find(made[:-1] + ("a" if made[-1] != "a" else "b")) is None


def test_a_revoked_key_is_gone_in_every_process(file: KeyFile) -> None:
    other = KeyFile(file.path)
    key, token = file.add("shop")
    assert other.find(token) == key
    file.revoke("shop")
    assert other.find(token) is None
    with pytest.raises(KeyFileError, match="no key 'shop'"):
        file.revoke("shop")


def test_two_keys_are_not_called_alike_and_scopes_are_known(file: KeyFile) -> None:
    file.add("shop")
    with pytest.raises(KeyFileError, match="already"):
        file.add("shop")
    with pytest.raises(KeyFileError, match="no scope 'admin'"):
        file.add("other", ["admin"])


def test_a_broken_file_lets_nobody_in(file: KeyFile) -> None:
    ring = Keyring(file, required=False)
    file.add("shop")
    assert file.path is not None
    file.path.write_text('{"keys": [{}]}')
    with pytest.raises(KeyFileError):
        ring.admit(None, "read")
    file.path.unlink()
    ring = Keyring(KeyFile(file.path), required=True)
    with pytest.raises(UnauthorizedError):
        ring.admit(None, "read")


def test_keys_once_in_use_stay_so_when_the_file_is_emptied(file: KeyFile) -> None:
    ring = Keyring(file, required=False)
    assert ring.admit(None, "write") is None
    file.add("shop")
    with pytest.raises(UnauthorizedError):
        ring.admit(None, "write")
    file.revoke("shop")
    with pytest.raises(UnauthorizedError):
        ring.admit(None, "write")


def test_a_key_makes_so_many_requests_a_minute_as_it_may(file: KeyFile) -> None:
    now = [0.0]
    ring = Keyring(file, required=True, clock=lambda: now[0])
    _, token = file.add("slow", per_minute=2)
    _, free = file.add("free", per_minute=0)
    assert isinstance(ring.admit(token, "read"), ApiKey)
    ring.admit(token, "read")
    with pytest.raises(RateLimitedError) as refused:
        ring.admit(token, "read")
    assert refused.value.headers == {"Retry-After": "30"}
    now[0] = 30.0
    ring.admit(token, "read")
    for _ in range(100):
        ring.admit(free, "read")


def test_a_scope_does_not_contain_another(file: KeyFile) -> None:
    ring = Keyring(file, required=True)
    _, token = file.add("shop", ["write"])
    with pytest.raises(ForbiddenError, match="scope read"):
        ring.admit(token, "read")


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/", None),
        ("GET", "/static/app.js", None),
        ("GET", "/metrics", "read"),
        ("GET", "/media/a#image-0", "read"),
        ("HEAD", "/items/a", "read"),
        ("POST", "/search", "read"),
        ("POST", "/v1/embeddings", "read"),
        ("POST", "/items", "write"),
        ("DELETE", "/items/safety/x", "write"),
        ("POST", "/safety/items/a/appeal", "write"),
        ("POST", "/safety/items/a/decision", "moderate"),
        ("GET", "/safety/queue", "moderate"),
        ("PATCH", "/what/is/new", "write"),
        ("POST", "/searching", "write"),
        ("POST", "/health", "write"),
    ],
)
def test_what_is_not_listed_needs_a_scope(method: str, path: str, scope: str | None) -> None:
    assert required_scope(method, path) == scope


def test_every_route_but_a_few_refuses_who_has_no_key(guarded: TestClient) -> None:
    paths = guarded.get("/openapi.json").json()["paths"]
    calls = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    answers = {
        call: guarded.request(call[0], call[1].replace("{item_id}", "guitar-acoustic"), json={}) for call in calls
    }
    assert len(calls) >= 17
    refused = {call for call, answer in answers.items() if answer.status_code == 401}
    assert calls - refused == {("GET", "/health"), ("GET", "/ready"), ("POST", "/session"), ("DELETE", "/session")}
    assert all(answers[call].headers["www-authenticate"].startswith("Bearer") for call in refused)
    assert guarded.post("/session", json={"key": "wrong"}).status_code == 401


def test_a_key_opens_what_its_scopes_say(guarded: TestClient, file: KeyFile) -> None:
    _, reads = file.add("reader")
    _, moderates = file.add("moderator", ["moderate", "read"])
    query = {"text": "shoes", "k": 1}
    assert guarded.post("/search", json=query, headers=bearer(reads)).status_code == 200
    assert guarded.post("/search", json=query, headers={"X-API-Key": reads}).status_code == 200
    assert guarded.post("/items", json={"items": [{"item_id": "a"}]}, headers=bearer(reads)).status_code == 403
    assert guarded.get("/safety/queue", headers=bearer(reads)).status_code == 403
    assert guarded.get("/safety/queue", headers=bearer(moderates)).status_code == 200
    blocked = {**query, "include_blocked": True}
    assert guarded.post("/search", json=blocked, headers=bearer(reads)).json()["code"] == "forbidden"
    assert guarded.post("/search", json=blocked, headers=bearer(moderates)).status_code == 200
    logged = {"history": ["guitar-acoustic"], "log": True}
    assert guarded.post("/recommend", json=logged, headers=bearer(reads)).status_code == 403


def test_a_key_over_its_rate_is_told_when_to_come_back(guarded: TestClient, file: KeyFile) -> None:
    _, token = file.add("slow", per_minute=1)
    assert guarded.get("/items/guitar-acoustic", headers=bearer(token)).status_code == 200
    refused = guarded.get("/items/guitar-acoustic", headers=bearer(token))
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 0 < int(refused.headers["retry-after"]) <= 60


def test_the_page_sends_its_key_by_a_cookie_that_no_script_reads(guarded: TestClient, file: KeyFile) -> None:
    _, token = file.add("page")
    answer = guarded.post("/session", json={"key": token})
    assert answer.json() == {"scopes": ["read"]}
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert guarded.get("/items/guitar-acoustic").status_code == 200  # the client sends the cookie
    guarded.request("DELETE", "/session")
    assert guarded.get("/items/guitar-acoustic").status_code == 401


@pytest.mark.parametrize(("origin", "secure"), [("https://shop.example", True), ("http://shop.example", False)])
def test_the_cookie_of_a_page_that_came_by_tls_goes_by_tls_alone(
    guarded: TestClient, file: KeyFile, origin: str, secure: bool
) -> None:
    _, token = file.add("page")
    headers = {"Origin": origin, "Host": "shop.example"}
    cookie = guarded.post("/session", json={"key": token}, headers=headers).headers["set-cookie"].lower()
    assert ("; secure" in cookie) is secure


def test_who_brings_no_key_brings_no_large_body(guarded: TestClient, file: KeyFile) -> None:
    _, token = file.add("page")
    body = {"key": token + " " * 20_000}
    assert guarded.post("/session", json=body).json()["code"] == "body_too_large"
    assert guarded.request("GET", "/health", json=body).json()["code"] == "body_too_large"
    assert (
        guarded.post("/search", json={"text": "a", "k": 1, "images": ["?" * 20_000]}, headers=bearer(token))
        .json()["code"]
        .startswith("media_")
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "shop.example"])
def test_other_machines_are_not_listened_for_without_a_key(host: str, tmp_path: Path) -> None:
    settings = ServiceSettings(db=str(tmp_path), host=host)
    with pytest.raises(ListenError, match="firstsight keys add"):
        require_key_if_public(settings)
    KeyFile(settings.keys_file).add("shop")
    require_key_if_public(settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_alone_needs_no_key(host: str, tmp_path: Path) -> None:
    require_key_if_public(ServiceSettings(db=str(tmp_path), host=host))


def test_the_file_names_every_key_once(file: KeyFile) -> None:
    names = [f"key {n}" for n in range(5)]
    for name in names:
        file.add(name)
    assert file.path is not None
    assert [row["name"] for row in json.loads(file.path.read_text())["keys"]] == names
