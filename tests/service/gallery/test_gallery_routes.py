"""The page's other routes: static files, the map, columns and failures."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import firstsight
from firstsight.api.items import Failure
from firstsight.database import open_tables
from firstsight.service.api_keys import KeyFile
from firstsight.service.gallery import gallery_data
from firstsight.service.gallery.gallery_data import AnswerCache, failures
from firstsight.service.gallery.static_files import static_files
from firstsight.service.json_responses import strip_local_folders
from firstsight.storage.store import Store
from tests.service.gallery.conftest import Serving, view

# ---- the page and its files


def test_the_page_runs_only_its_own_scripts(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=", page.text)


def test_every_file_that_the_page_names_is_served(client: TestClient) -> None:
    named = set(re.findall(r'(?:src|href)="(static/[^"#]+)', client.get("/").text))
    for name, file in static_files().items():
        if name.endswith(".js"):
            named |= {f"static/{one}" for one in re.findall(r"from '\./([^']+)'", file.body.decode())}
    assert {"static/app.js", "static/search.js", "static/style.css"} <= named
    for path in named:
        answer = client.get(f"/{path}")
        assert answer.status_code == 200, path
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = client.get(f"/{path}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_page_asks_nothing_of_another_host() -> None:
    for name, file in static_files().items():
        addresses = set(re.findall(rb"https?://[^\s'\"`)]+", file.body))
        assert addresses <= {b"http://www.w3.org/2000/svg"}, name


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e%2fapp.py",
        "/static/..%5capp.py",
        "/static//etc/passwd",
        "/static/",
    ],
)
def test_no_other_file_is_served_as_static(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


# ---- who may see what


@pytest.fixture
def moderated(sample_db: Path, tmp_path: Path) -> Path:
    """A copy of the sample database in which sneakers-red is blocked and violin in review."""
    db = Path(shutil.copytree(sample_db, tmp_path / "db"))
    store = open_tables(firstsight.open(db))
    scores = {"safety_scores": '{"weapons": 0.9, "alcohol": 0.2}', "safety_policy_version": "1", "safety_min_age": None}
    with store.writing():
        store.write_safety(
            {"sneakers-red": {"safety_decision": "block", **scores}, "violin": {"safety_decision": "review", **scores}}
        )
    return db


def test_media_and_points_of_blocked_items_are_for_moderators(moderated: Path, serving: Serving) -> None:
    keys = KeyFile(moderated / ".keys.json")
    tokens = {name: keys.add(name, scopes)[1] for name, scopes in [("reader", ["read"]), ("mod", ["read", "moderate"])]}
    with serving(moderated) as client:
        assert client.get("/").status_code == 200  # the page asks for a key itself
        assert client.get("/media?item_id=violin").status_code == 401
        for name, status, there in [("reader", 404, False), ("mod", 200, True)]:
            client.headers["X-API-Key"] = tokens[name]
            assert client.get("/media?item_id=sneakers-red").status_code == status
            assert client.get(view("sneakers-red#image-0")).status_code == status
            made = client.get("/map?method=pca").json()
            assert ("sneakers-red" in {point[2] for point in made["points"]}) is there
            assert {len(one["codes"]) for one in made["colourings"]} == {len(made["points"])}
            assert client.get("/media?item_id=violin").status_code == 200


def test_a_large_map_holds_up_no_search(sample_db: Path, serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    busy, door = threading.Event(), threading.Event()
    real = gallery_data.map_data

    def slow(store: Store, **how: Any) -> dict[str, Any]:
        busy.set()
        assert door.wait(20)
        return real(store, **how)

    with serving(sample_db, threads=1) as client, ThreadPoolExecutor(3) as pool:
        client.get("/map?method=tsne&sample=5")
        monkeypatch.setattr(gallery_data, "map_data", slow)
        maps = [pool.submit(client.get, f"/map?method=tsne&sample={n}") for n in (10, 10, 11)]
        assert busy.wait(20)
        try:
            assert client.post("/search", json={"text": "shoes"}).status_code == 200
            assert client.get("/map?method=tsne&sample=5").status_code == 200  # one that is there already
        finally:
            door.set()
        assert [len(one.result().json()["points"]) for one in maps] == [10, 10, 11]


def test_the_map_is_coloured_by_columns_decision_and_policy(moderated: Path, serving: Serving) -> None:
    with serving(moderated) as client:
        made = client.get("/map?method=pca").json()
        places = {point[2]: n for n, point in enumerate(made["points"])}
        by = {one["column"]: one for one in made["colourings"]}
        assert made["colourings"][0]["column"] == "category"
        assert {"kind", "decision", "policy"} <= by.keys()
        assert not {"safety_scores", "safety_decision"} & by.keys()
        for column, item, label in [
            ("kind", "video-cat", "video"),
            ("decision", "violin", "review"),
            ("policy", "violin", "weapons"),
            ("policy", "hiking-boot", "none"),
        ]:
            assert by[column]["labels"][by[column]["codes"][places[item]]] == label
        assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y, *_ in made["points"])
        assert len(client.get("/map?method=pca&sample=10").json()["points"]) == 10


def test_an_answer_over_all_items_is_made_once_until_they_change_and_a_minute_has_passed(moderated: Path) -> None:
    store, made = open_tables(firstsight.open(moderated)), [0]

    def reading() -> AbstractContextManager[Store]:
        return nullcontext(store)

    def make(_: Store) -> int:
        made[0] += 1
        return made[0]

    kept, hasty = AnswerCache(), AnswerCache(fresh_s=0)
    assert [kept.get((key,), reading, make) for key in "aab"] == [1, 1, 2]
    before = hasty.get(("a",), reading, make)
    with store.writing():
        store.write_safety({})
        store.items.update(where="item_id = 'violin'", values={"title": "A violin"})
    store.refresh()
    assert kept.get(("a",), reading, make) == 1
    assert hasty.get(("a",), reading, make) == before + 1


def test_an_item_that_is_blocked_leaves_the_map_at_once(moderated: Path, serving: Serving) -> None:
    keys = KeyFile(moderated / ".keys.json")
    reader, moderator = (keys.add(name, scopes)[1] for name, scopes in [("r", ["read"]), ("m", ["read", "moderate"])])
    with serving(moderated) as client:
        client.headers["X-API-Key"] = moderator
        client.get("/map?method=pca")  # kept for a minute
        decision = {"action": "block", "policies": ["weapons"], "reason": "a test"}
        assert client.post("/safety/items/violin/decision", json=decision).status_code == 200
        assert "violin" in {point[2] for point in client.get("/map?method=pca").json()["points"]}
        client.headers["X-API-Key"] = reader
        assert "violin" not in {point[2] for point in client.get("/map?method=pca").json()["points"]}


def test_what_is_in_review_is_told_and_what_is_blocked_to_moderators_alone(moderated: Path, serving: Serving) -> None:
    keys = KeyFile(moderated / ".keys.json")
    reader, moderator = (keys.add(name, scopes)[1] for name, scopes in [("r", ["read"]), ("m", ["read", "moderate"])])
    with serving(moderated) as client:
        for token, there in [(reader, ["violin"]), (moderator, ["sneakers-red", "violin"])]:
            client.headers["X-API-Key"] = token
            asked = {"item_id": ["violin", "hiking-boot", "sneakers-red", "no such item"]}
            assert client.get("/veiled", params=asked).json() == {"veiled": there}


def test_who_waits_for_a_map_holds_no_database_that_a_search_needs(moderated: Path) -> None:
    store, held, began, go_on = open_tables(firstsight.open(moderated)), [0], threading.Event(), threading.Event()
    answers = AnswerCache()

    @contextmanager
    def reading() -> Iterator[Store]:
        held[0] += 1
        yield store
        held[0] -= 1

    def make(_: Store) -> str:
        began.set()
        assert go_on.wait(10)
        return "made"

    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(answers.get, ("map",), reading, make) for _ in range(3)]
        assert began.wait(10)
        time.sleep(0.1)  # the others had the time to come
        assert held == [1]
        go_on.set()
        assert [one.result() for one in asked] == ["made"] * 3


# ---- columns and failures


def test_the_catalogue_tells_what_to_filter_by(client: TestClient) -> None:
    held = client.get("/catalogue").json()
    assert (held["items"], held["encoder"]) == (75, "starter")
    assert held["kinds"] == ["product", "video", "live"]
    by = {column["name"]: column for column in held["columns"]}
    assert "shoes" in by["category"]["values"]
    assert by["price"] == {"name": "price", "kind": "number", "values": []}


def test_failures_are_told_with_their_reasons(client: TestClient) -> None:
    told = client.get("/failures").json()
    assert told["reasons"] == {"corrupt": 1}
    assert told["failures"][0] | {"last_seen": "", "message": ""} == {
        "item_id": "teapot-blue",
        "uri": "pictures/broken-teapot.jpg",
        "stage": "decode",
        "reason": "corrupt",
        "attempts": 1,
        "message": "",
        "last_seen": "",
    }
    assert client.get("/failures?reason=missing").json()["failures"] == []
    assert client.get("/failures?reason=other").status_code == 422


def test_what_failed_of_a_blocked_item_is_for_moderators(moderated: Path, serving: Serving) -> None:
    keys = KeyFile(moderated / ".keys.json")
    reader, moderator = (keys.add(name, scopes)[1] for name, scopes in [("r", ["read"]), ("m", ["read", "moderate"])])
    with serving(moderated) as client:
        client.headers["X-API-Key"] = moderator
        (failed,) = client.get("/failures").json()["failures"]
        decision = {"action": "block", "policies": ["weapons"], "reason": "a test"}
        assert client.post(f"/safety/items/{failed['item_id']}/decision", json=decision).status_code == 200
        assert client.get("/failures").json()["total"] == 1
        client.headers["X-API-Key"] = reader
        assert client.get("/failures").json()["total"] == 0


def test_failures_come_page_by_page_the_last_seen_first() -> None:
    rows = [
        Failure(
            item_id=str(n),
            uri=f"/srv/shop/{n}.jpg",
            stage="fetch",
            reason="missing",
            message=f"'/srv/shop/{n}.jpg' does not exist; check the path",
            attempts=1,
            last_seen=datetime(2026, 1, n + 1, tzinfo=UTC),
        )
        for n in range(5)
    ]
    page = failures(rows, reason=None, offset=1, k=2)
    assert [row["item_id"] for row in page["failures"]] == ["3", "2"]
    assert page["failures"][0]["uri"] == "…/3.jpg"
    assert page["failures"][0]["message"] == "'…/3.jpg' does not exist; check the path"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/ann/shop/a.jpg lies outside /srv/other/shop; allow it", "…/a.jpg lies outside …/shop; allow it"),
        ("https://example.com/a/b.jpg is gone", "https://example.com/a/b.jpg is gone"),
        ("pictures/a.jpg and/or ../b.jpg", "pictures/a.jpg and/or ../b.jpg"),
        (r"C:\Users\ann\a.jpg", "…/a.jpg"),
    ],
)
def test_folders_of_this_machine_are_not_told(text: str, told: str) -> None:
    assert strip_local_folders(text) == told
