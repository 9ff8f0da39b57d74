"""The page's own routes: static files, thumbnails, videos by range, the map, columns and failures."""

from __future__ import annotations

import io
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from PIL import Image

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.media.policy import MediaPolicy
from firstsight.service.api_keys import KeyFile
from firstsight.service.app import make_app
from firstsight.service.gallery import gallery_data
from firstsight.service.gallery.gallery_data import AnswerCache, failures
from firstsight.service.gallery.static_files import static_files
from firstsight.service.json_responses import strip_local_folders
from firstsight.service.service_settings import ServiceSettings
from firstsight.storage.store import Store
from tests.conftest import SAMPLE_CATALOGUE
from tests.media.conftest import Server

Serving = Callable[..., AbstractContextManager[TestClient]]
CLIPS = SAMPLE_CATALOGUE.parent / "clips"


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


@pytest.fixture
def indexed(starter: Encoder, tmp_path: Path) -> Callable[..., Path]:
    """Index rows as a catalogue of a folder; returns the database."""

    def index(folder: Path, rows: str, policy: MediaPolicy | None = None) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / "catalogue.csv").write_text("item_id,kind,title,images,videos\n" + rows, encoding="utf-8")
        db = tmp_path / "db"
        firstsight.open(db, encoder=starter, policy=policy).index(folder / "catalogue.csv")
        return db

    return index


def view(view_id: str, more: str = "") -> str:
    return f"/media/{quote(view_id, safe='')}{more}"


def size_of(body: bytes) -> tuple[int, int]:
    picture = Image.open(io.BytesIO(body))
    assert picture.format == "JPEG"
    return picture.size


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


# ---- pictures


def test_a_stored_picture_is_answered_as_a_small_jpeg(client: TestClient) -> None:
    answer = client.get(view("sneakers-red#image-0", "?size=100"))
    assert answer.headers["content-type"] == "image/jpeg"
    assert max(size_of(answer.content)) == 192  # the least size that is as much
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_picture_that_has_not_changed_is_not_sent_again(client: TestClient) -> None:
    tag = client.get(view("sneakers-red#image-0")).headers["etag"]
    again = client.get(view("sneakers-red#image-0"), headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_a_frame_is_answered_as_a_picture_of_its_second(client: TestClient) -> None:
    frames = [v for v in client.get("/items/video-kitchen-haul").json()["views"] if v["part"] == "frame"]
    pictures = {client.get(view(frame["view_id"])).content for frame in frames}
    assert len(pictures) == len(frames) > 1
    assert max(size_of(pictures.pop())) <= 384


def test_a_picture_stands_for_an_item(client: TestClient) -> None:
    assert client.get("/media?item_id=sneakers-red").content == client.get(view("sneakers-red#image-0")).content
    assert client.get("/media?item_id=nothing").json()["code"] == "not_found"


@pytest.mark.parametrize(
    "view_id",
    ["sneakers-red#image-9", "sneakers-red#title", "../../etc/passwd", "/etc/passwd", "pictures/sneakers-red.jpg",
     "x' OR '1'='1", "file:///etc/passwd", "\x00"],
)  # fmt: skip
@pytest.mark.parametrize("what", ["", "/file"])
def test_only_stored_views_have_media(client: TestClient, view_id: str, what: str) -> None:
    answer = client.get(view(view_id, what))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.slow
def test_a_file_outside_the_catalogues_folder_is_never_served(
    indexed: Callable[..., Path], serving: Serving, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64), "red").save(secret)
    anywhere = MediaPolicy(allow_anywhere=True)
    db = indexed(tmp_path / "shop", f"a,product,a,{secret},\nb,product,b,../secret.png,\n", anywhere)
    with serving(db, policy=anywhere) as client:
        for item in ("a", "b"):
            assert [v["part"] for v in client.get(f"/items/{item}").json()["views"]] == ["image", "title"]
            answer = client.get(view(f"{item}#image-0"))
            assert (answer.status_code, answer.json()["code"]) == (422, "media_forbidden")


@pytest.mark.slow
def test_a_picture_that_became_a_link_to_elsewhere_is_not_followed(
    indexed: Callable[..., Path], serving: Serving, tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    Image.new("RGB", (64, 64), "red").save(shop / "a.png")
    Image.new("RGB", (64, 64), "blue").save(tmp_path / "secret.png")
    db = indexed(shop, "a,product,a,a.png,\n")
    with serving(db) as client:
        assert client.get(view("a#image-0")).status_code == 200
        (shop / "a.png").unlink()
        (shop / "a.png").symlink_to(tmp_path / "secret.png")
        assert client.get(view("a#image-0")).json()["code"] == "media_forbidden"


@pytest.mark.slow
def test_a_picture_that_was_replaced_by_another_is_read_again(
    indexed: Callable[..., Path], serving: Serving, tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    Image.new("RGB", (64, 64), "red").save(shop / "a.png")
    db = indexed(shop, "a,product,a,a.png,\n")
    with serving(db) as client:
        before = client.get(view("a#image-0"))
        Image.new("RGB", (80, 64), "blue").save(shop / "a.png")
        after = client.get(view("a#image-0"), headers={"If-None-Match": before.headers["etag"]})
        assert size_of(after.content) == (80, 64)  # never enlarged


@pytest.mark.slow
def test_a_decompression_bomb_costs_itself_alone(
    indexed: Callable[..., Path], serving: Serving, tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    Image.new("1", (2_000, 2_000)).save(shop / "a.png")
    db = indexed(shop, "a,product,a,a.png,\n")
    with serving(db, policy=MediaPolicy(max_pixels=1_000_000)) as client:
        answer = client.get(view("a#image-0"))
        assert (answer.status_code, answer.json()["code"]) == (413, "media_too_large")
        assert client.get("/health").status_code == 200


# ---- videos


def video_of(client: TestClient) -> tuple[str, bytes]:
    frame = next(v for v in client.get("/items/video-cat").json()["views"] if v["part"] == "frame")
    path = view(frame["view_id"], "/file")
    return path, client.get(path).content


def test_a_video_is_played_by_ranges(client: TestClient) -> None:
    path, whole = video_of(client)
    assert whole in {clip.read_bytes() for clip in CLIPS.iterdir()}
    for asked, first, end in [("0-9", 0, 10), ("100-", 100, None), ("-50", -50, None), ("5-99999999", 5, None)]:
        part = client.get(path, headers={"Range": f"bytes={asked}"})
        assert part.status_code == 206
        assert part.content == whole[first:end]
        assert part.headers["content-range"].endswith(f"/{len(whole)}")
        assert part.headers["content-type"] == "video/mp4"


@pytest.mark.parametrize("asked", ["bytes=9-5", "bytes=0-1,4-5", "items=0-5", "bytes=-", "bytes=a-b", "bytes=１-２"])
def test_a_range_that_is_none_gets_the_whole(client: TestClient, asked: str) -> None:
    path, whole = video_of(client)
    answer = client.get(path, headers={b"Range": asked.encode()})
    assert (answer.status_code, answer.content) == (200, whole)


def test_a_range_past_the_end_is_refused(client: TestClient) -> None:
    path, whole = video_of(client)
    for asked in (f"bytes={len(whole)}-", "bytes=-0"):
        answer = client.get(path, headers={"Range": asked})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(whole)}")


def test_a_range_of_another_version_gets_the_whole(client: TestClient) -> None:
    path, whole = video_of(client)
    tag = client.get(path).headers["etag"]
    same = client.get(path, headers={"Range": "bytes=0-9", "If-Range": tag})
    other = client.get(path, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (len(same.content), len(other.content)) == (10, len(whole))


def test_a_picture_has_no_video(client: TestClient) -> None:
    assert client.get(view("sneakers-red#image-0", "/file")).json()["code"] == "media_unsupported"


@pytest.mark.slow
def test_what_is_no_video_any_more_is_not_passed_on(
    indexed: Callable[..., Path], serving: Serving, tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    shutil.copy(next(CLIPS.glob("*.mp4")), shop / "a.mp4")
    db = indexed(shop, "a,video,a,,a.mp4\n")
    (shop / "a.mp4").write_text("<script>alert(1)</script>", encoding="utf-8")
    with serving(db) as client:
        frame = next(v for v in client.get("/items/a").json()["views"] if v["part"] == "frame")
        assert client.get(view(frame["view_id"], "/file")).json()["code"] == "media_unsupported"


@pytest.mark.slow
def test_a_remote_video_is_fetched_once_for_its_frames_and_its_player(
    indexed: Callable[..., Path], serving: Serving, tmp_path: Path, server: Server
) -> None:
    data = (CLIPS / "kitchen-haul.mp4").read_bytes()
    address = server.answer("/remote.mp4", data, Content_Type="video/mp4")
    near = MediaPolicy(allow_private=True)
    db = indexed(tmp_path / "shop", f"a,video,a,,{address}\n", near)
    server.requests.clear()
    with serving(db, policy=near) as client:
        frames = [v["view_id"] for v in client.get("/items/a").json()["views"] if v["part"] == "frame"]
        assert len(frames) > 1
        assert all(client.get(view(frame)).status_code == 200 for frame in frames)
        assert client.get(view(frames[0], "/file")).content == data
        assert len(server.requests) == 1
    with serving(db, policy=replace(near, allow_private=False)) as client:  # the guard as it is by default
        assert client.get(view(frames[0])).json()["code"] == "media_forbidden"
    assert len(server.requests) == 1


# ---- who may see what


@pytest.fixture
def moderated(sample_db: Path, tmp_path: Path) -> Path:
    """A copy of the sample database in which sneakers-red is blocked and violin in review."""
    db = Path(shutil.copytree(sample_db, tmp_path / "db"))
    store = firstsight.open(db).store
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
    store, made = firstsight.open(moderated).store, [0]

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
    store, held, began, go_on = firstsight.open(moderated).store, [0], threading.Event(), threading.Event()
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
        {"item_id": str(n), "uri": f"/srv/shop/{n}.jpg", "stage": "fetch", "reason": "missing", "attempts": 1,
         "message": f"'/srv/shop/{n}.jpg' does not exist; check the path",
         "last_seen": datetime(2026, 1, n + 1, tzinfo=UTC)}
        for n in range(5)
    ]  # fmt: skip
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
