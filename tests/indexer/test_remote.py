"""Remote media in an index run: slow and fast hosts, servers that are down, pictures that change."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firstsight
from firstsight.errors import MediaError
from firstsight.indexer.assembly import LoadedMedium
from firstsight.indexer.index_settings import IndexSettings
from firstsight.indexer.media_loading.fetch_queue import BufferedBytes, FetchQueue
from firstsight.indexer.media_loading.media_loader import MediaJob, MediaLoader
from firstsight.media.policy import MediaPolicy
from firstsight.storage import tables
from firstsight.storage.facts.view_fact_table import read_view_facts
from firstsight.storage.store import Store
from tests.indexer.shop import ColourEncoder, contents, picture, write_jsonl
from tests.media.conftest import Server

POLICY = MediaPolicy(allow_private=True, allow_anywhere=True, timeout_s=20.0, backoff_s=0.01, tries=2)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "db"


def job(uri: str, medium: Any = "image") -> MediaJob:
    return MediaJob(medium, uri)


def serve_png(request: BaseHTTPRequestHandler, seed: int = 0) -> None:
    body = picture(seed)
    request.send_response(200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


class GatedRoute:
    """A route that delays its requests until it is opened, and counts the delayed requests."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.open = threading.Event()
        self.most = 0
        self._held = 0
        self._lock = threading.Lock()

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self._held += 1
            self.most = max(self.most, self._held)
        self.open.wait(15)
        with self._lock:
            self._held -= 1
        serve_png(request)


def test_a_slow_host_is_overtaken_and_holds_only_its_share(server: Server) -> None:
    gate = GatedRoute(server)
    server.routes |= {"/slow.png": gate, "/fast.png": serve_png}
    slow = [server.url(f"/slow.png?{n}") for n in range(12)]
    fast = [server.url(f"/fast.png?{n}").replace("127.0.0.1", "localhost") for n in range(12)]
    policy = MediaPolicy(allow_private=True, timeout_s=20.0, fetches=5, fetches_per_host=3)
    with MediaLoader(policy, IndexSettings(), 32) as loader:
        results = loader.load_ahead([job(uri) for uri in slow + fast])
        first = [next(results) for _ in fast]  # while all requests to the slow host are delayed
        assert sorted(done.uri for done, _ in first) == sorted(fast)
        assert all(isinstance(loaded, LoadedMedium) for _, loaded in first)
        assert gate.most == 3
        gate.open.set()
        assert sorted(done.uri for done, _ in results) == sorted(slow)
    assert gate.most == 3


def test_fetching_overlaps_decoding(server: Server, tmp_path: Path) -> None:
    """All remote pictures arrive while the run has only taken the first local one."""
    asked = [threading.Event() for _ in range(4)]

    def route(request: BaseHTTPRequestHandler) -> None:
        asked[int(request.path.partition("?")[2])].set()
        serve_png(request)

    server.routes["/a.png"] = route
    (tmp_path / "local.png").write_bytes(picture(1))
    local = [str(tmp_path / "local.png")] * 4
    jobs = [job(uri) for uri in local + [server.url(f"/a.png?{n}") for n in range(4)]]
    with MediaLoader(POLICY, IndexSettings(pictures_ahead=8), 32) as loader:
        results = loader.load_ahead(jobs)
        next(results)
        assert all(event.wait(10) for event in asked)
        assert len(list(results)) == 7


@pytest.mark.slow
def test_local_media_keep_their_order(tmp_path: Path) -> None:
    names = []
    for n in range(40):
        names.append(str(tmp_path / f"{n}.png"))
        side = 2000 if n % 7 == 0 else 16  # large pictures take longer
        Path(names[-1]).write_bytes(picture(n, side=side))
    settings = IndexSettings(pictures_ahead=5, decode_threads=4)
    with MediaLoader(POLICY, settings, 8) as loader:
        assert [done.uri for done, _ in loader.load_ahead(job(name) for name in names)] == names


def test_decoding_ahead_stops_at_its_limit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that arrive in any order wait as bytes until a decoder slot is free."""
    decoded: list[str] = []
    plain = MediaLoader._open_picture

    def noted(self: MediaLoader, job: MediaJob, fetched: Any) -> LoadedMedium:
        decoded.append(job.uri)
        return plain(self, job, fetched)

    monkeypatch.setattr(MediaLoader, "_open_picture", noted)
    served = threading.Semaphore(0)

    def route(request: BaseHTTPRequestHandler) -> None:
        serve_png(request)
        served.release()

    server.routes["/a.png"] = route
    uris = [server.url(f"/a.png?{n}") for n in range(50)]
    with MediaLoader(POLICY, IndexSettings(pictures_ahead=4), 32) as loader:
        results = loader.load_ahead([job(uri) for uri in uris])
        for taken in range(1, 51):
            next(results)
            if taken == 1:
                assert all(
                    served.acquire(timeout=10) for _ in uris
                )  # all are fetched, although no other result was taken
            assert len(decoded) <= taken + 4
        assert next(results, None) is None
    assert sorted(decoded) == sorted(uris)


def test_a_bad_medium_does_not_affect_others(server: Server, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    server.routes["/a.png"] = serve_png
    bad = [str(tmp_path / "broken.png"), server.answer("/gone.png", status=404), "http://127.0.0.1:1/x", "ftp://x/y"]
    uris = [uri for n in range(8) for uri in (server.url(f"/a.png?{n}"), bad[n % 4])]
    policy = MediaPolicy(allow_private=True, allow_anywhere=True, timeout_s=20.0, tries=1)
    with MediaLoader(policy, IndexSettings(), 32) as loader:
        found = {(done.uri, isinstance(loaded, MediaError)) for done, loaded in loader.load_ahead(map(job, uris))}
    assert found == {(uri, uri in bad) for uri in uris}


@pytest.mark.slow
def test_an_early_end_leaves_no_file_and_no_fetch(server: Server, tmp_path: Path) -> None:
    server.routes["/a.png"] = serve_png
    jobs = [job(server.url(f"/a.png?{n}")) for n in range(100)]
    with pytest.raises(KeyError), MediaLoader(POLICY, IndexSettings(pictures_ahead=2), 32) as loader:  # noqa: PT012
        next(loader.load_ahead(jobs))
        raise KeyError
    with MediaLoader(POLICY, IndexSettings(), 32) as loader:  # nothing is blocked
        assert len(list(loader.load_ahead(jobs[:3]))) == 3


def test_the_queue_stops_at_its_limit_of_bytes() -> None:
    begun: list[int] = []
    changed = threading.Condition()

    def fetch(number: int) -> BufferedBytes:
        with changed:
            begun.append(number)
            changed.notify()
        return BufferedBytes(memory=60)

    queue = FetchQueue[int](fetch, at_once=1, per_host=1, ahead=BufferedBytes(100, 1))
    for number in range(6):
        queue.put(number, "host")
    for released in range(5):
        with changed:
            assert changed.wait_for(lambda: len(begun) == released + 2, timeout=10)  # noqa: B023
        queue.release(BufferedBytes(memory=60))
    queue.close(wait=True)
    assert begun == list(range(6))


def test_hosts_take_turns() -> None:
    begun: list[str] = []
    start = threading.Event()
    done = threading.Semaphore(0)

    def fetch(name: str) -> BufferedBytes:
        start.wait(10)
        begun.append(name)
        done.release()
        return BufferedBytes()

    queue = FetchQueue[str](fetch, at_once=1, per_host=1, ahead=BufferedBytes(1, 1))
    for name in ("a1", "a2", "a3", "b1", "c1"):
        queue.put(name, name[0])
    start.set()
    assert all(done.acquire(timeout=10) for _ in range(5))
    queue.close(wait=True)
    assert begun == ["a1", "a2", "b1", "c1", "a3"]


# ---- servers that are down, pictures that change


class Shop:
    """A catalogue of two items with one picture each, on a server that the test changes."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self.requests: list[tuple[str, int]] = []  # path, status
        self.status: dict[str, int] = {}
        self.pictures = {"/0.png": 0, "/1.png": 1}
        self.etags = True
        for path in self.pictures:
            server.routes[path] = self._answer
        self.rows = [
            {"item_id": f"item-{n}", "title": f"thing {n}", "images": [server.url(f"/{n}.png")]} for n in range(2)
        ]
        self.path = folder / "c.jsonl"

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        status = self.status.get(request.path, 200)
        etag = f'"{self.pictures[request.path]}"'
        if status == 200 and request.headers["If-None-Match"] == etag and self.etags:
            status = 304
        self.requests.append((request.path, status))
        body = picture(self.pictures[request.path]) if status == 200 else b""
        request.send_response(status)
        if self.etags:
            request.send_header("ETag", etag)
        if status != 304:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def index(self, db: Path, *, retry: bool = False, **how: Any) -> firstsight.IndexReport | None:
        self.requests.clear()
        write_jsonl(self.path, self.rows)
        policy = MediaPolicy(allow_private=True, timeout_s=5.0, backoff_s=0.01, tries=2, **how)
        database = firstsight.open(db, encoder=ColourEncoder(), policy=policy)
        if retry:
            return next(iter(database.indexing.retry()), None)
        return database.index(self.path)


@pytest.fixture
def shop(server: Server, tmp_path: Path) -> Shop:
    return Shop(server, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("status", [503, 429, 403])
def test_an_unreachable_server_removes_no_views(status: int, shop: Shop, db: Path) -> None:
    shop.index(db)
    before = contents(db)
    shop.rows[0]["title"] = "another thing"  # so that the item is encoded again
    shop.status["/0.png"] = status
    report = shop.index(db)
    assert report is not None
    assert report.reasons == {"unreachable": 1}
    after = contents(db)
    assert after["views"].keys() == before["views"].keys()
    view = after["views"]["item-0#image-0"]
    assert view["vector"] == before["views"]["item-0#image-0"]["vector"]
    assert view["version"] == 'etag "0"'
    title = np.array(after["views"]["item-0#title"]["vector"])
    both = title + np.array(view["vector"])
    np.testing.assert_allclose(after["items"]["item-0"]["vector"], both / np.linalg.norm(both), atol=1e-5)
    (failure,) = after["failures"].values()
    assert failure["message"].endswith("its earlier views stay in the index")


def test_facts_of_an_unreachable_picture_move_with_its_view(shop: Shop, db: Path) -> None:
    images = [row["images"][0] for row in shop.rows]
    shop.rows = [{"item_id": "a", "title": "a", "images": images}]
    shop.index(db)
    before = read_view_facts(Store.open(db), ["a"])
    colours = firstsight.open(db, encoder=ColourEncoder()).get("a").facts
    assert before["a#image-0"] != before["a#image-1"]
    images.reverse()
    shop.status = {"/0.png": 503, "/1.png": 503}
    shop.index(db)
    after = read_view_facts(Store.open(db), ["a"])
    assert after == {"a#image-0": before["a#image-1"], "a#image-1": before["a#image-0"]}
    images.pop(0)  # the view of the other picture gets the number 0
    shop.index(db)
    assert read_view_facts(Store.open(db), ["a"]) == {"a#image-0": before["a#image-0"]}
    item = firstsight.open(db, encoder=ColourEncoder()).get("a")
    assert item.facts.keys() == colours.keys()
    assert [view.facts for view in item.views if view.part == "image"] == [
        {"colours": before["a#image-0"]["colours"]["value"]}
    ]
    assert firstsight.open(db, encoder=ColourEncoder()).facts.update().counts.updated == 0


@pytest.mark.slow
def test_a_retry_succeeds_once_the_server_is_back(shop: Shop, db: Path) -> None:
    shop.index(db)
    shop.rows[0]["title"] = "another thing"
    shop.status["/0.png"] = 503
    shop.index(db)
    shop.status.clear()
    shop.pictures["/0.png"] = 7
    report = shop.index(db, retry=True)
    assert report is not None
    assert report.counts.encoded == 1
    after = contents(db)
    assert after["failures"] == {}
    assert after["views"]["item-0#image-0"]["version"] == 'etag "7"'


@pytest.mark.slow
def test_a_picture_that_is_gone_loses_its_view(shop: Shop, db: Path) -> None:
    shop.index(db)
    shop.rows[0]["title"] = "another thing"
    shop.status["/0.png"] = 404
    shop.index(db)
    assert "item-0#image-0" not in contents(db)["views"]


@pytest.mark.slow
def test_a_new_address_does_not_keep_the_old_ones_view(shop: Shop, db: Path, server: Server) -> None:
    shop.index(db)
    shop.rows[0]["images"] = [server.answer("/new.png", status=503)]
    shop.index(db)
    assert "item-0#image-0" not in contents(db)["views"]


@pytest.mark.slow
def test_a_kept_view_moves_with_its_picture(shop: Shop, db: Path, server: Server) -> None:
    shop.index(db)
    before = contents(db)["views"]["item-0#image-0"]["vector"]
    shop.rows[0]["images"] = [shop.rows[1]["images"][0], *shop.rows[0]["images"]]
    shop.status["/0.png"] = 503
    shop.index(db)
    views = contents(db)["views"]
    assert views["item-0#image-1"]["vector"] == before
    assert views["item-0#image-0"]["uri"] == shop.rows[1]["images"][0]


def test_without_refresh_no_server_is_asked(shop: Shop, db: Path) -> None:
    shop.index(db)
    shop.pictures["/0.png"] = 7
    report = shop.index(db)
    assert report is not None
    assert report.counts.unchanged == 2
    assert shop.requests == []


@pytest.mark.slow
def test_refresh_encodes_media_that_changed_at_their_address(shop: Shop, db: Path) -> None:
    shop.index(db)
    shop.pictures["/0.png"] = 7
    report = shop.index(db, refresh=True)
    assert report is not None
    assert (report.counts.encoded, report.counts.unchanged) == (1, 1)
    assert ("/1.png", 304) in shop.requests
    assert contents(db)["views"]["item-0#image-0"]["version"] == 'etag "7"'
    again = shop.index(db, refresh=True)
    assert again is not None
    assert again.counts.unchanged == 2


def test_refresh_keeps_unreachable_media_and_drops_missing_ones(shop: Shop, db: Path) -> None:
    shop.index(db)
    shop.status |= {"/0.png": 503, "/1.png": 404}
    report = shop.index(db, refresh=True)
    assert report is not None
    assert (report.counts.encoded, report.counts.unchanged) == (1, 1)
    views = contents(db)["views"]
    assert "item-0#image-0" in views
    assert "item-1#image-0" not in views


@pytest.mark.slow
def test_refresh_encodes_again_if_a_server_gives_no_versions(shop: Shop, db: Path) -> None:
    shop.etags = False
    shop.index(db)
    report = shop.index(db, refresh=True)
    assert report is not None
    assert report.counts.encoded == 2


@pytest.mark.slow
def test_an_earlier_database_gets_the_versions(shop: Shop, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(tables, "CURRENT_LAYOUT", 1)
        shop.index(db)
    store = Store.open(db)
    store.views.drop_columns(["version"])
    report = shop.index(db, refresh=True)
    assert report is not None
    assert report.counts.encoded == 2
    assert contents(db)["views"]["item-0#image-0"]["version"] == 'etag "0"'
