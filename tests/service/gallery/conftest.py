"""The gallery over the sample database: its routes in this process, its page in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page

from firstsight.encoders.base import Encoder
from firstsight.service.app import make_app
from firstsight.service.service_settings import ServiceSettings
from tests.service.gallery.browser import chromium, new_page, serve_in_thread

Serving = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture(scope="module")
def serving(starter: Encoder) -> Serving:
    """Serve a database in this process."""

    @contextmanager
    def serve(db: Path, **settings: Any) -> Iterator[TestClient]:
        app = make_app(ServiceSettings(db=str(db), encoder=starter, **settings))
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            yield client

    return serve


@pytest.fixture(scope="module")
def client(serving: Serving, sample_db: Path) -> Iterator[TestClient]:
    with serving(sample_db) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(sample_db: Path, starter: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service over a copy of the sample database, scored, with two items in review by hand and one appeal."""
    db = Path(shutil.copytree(sample_db, tmp_path_factory.mktemp("page") / "db"))
    with serve_in_thread(ServiceSettings(db=str(db), encoder=starter)) as address:
        with httpx.Client(base_url=address, timeout=60) as client:
            post(client, "/safety/score", {})
            for item, action in [("video-cat", "review"), ("guitar-acoustic", "review"), ("sneakers-red", "block")]:
                decision = {"action": action, "policies": ["tobacco"], "reason": "looks odd"}
                post(client, f"/safety/items/{item}/decision", decision)
            post(client, "/safety/items/sneakers-red/appeal", {"reason": "These are shoes, nothing else."})
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with new_page(browser) as page:
        yield page


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def view(view_id: str, more: str = "") -> str:
    """Return the path of the media of a view, followed by `more`."""
    return f"/media/{quote(view_id, safe='')}{more}"
