"""The page's pictures and videos: thumbnails, frames, ranges, and files that are never served."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.media.policy import MediaPolicy
from tests.conftest import SAMPLE_CATALOGUE
from tests.media.conftest import Server
from tests.media.streams import grey, grey_clip
from tests.service.gallery.conftest import Serving, view

CLIPS = SAMPLE_CATALOGUE.parent / "clips"


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


def size_of(body: bytes) -> tuple[int, int]:
    picture = Image.open(io.BytesIO(body))
    assert picture.format == "JPEG"
    return picture.size


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


def test_a_picture_from_inside_a_catalogue_is_answered_without_its_catalogue(
    starter: Encoder, serving: Serving, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200), "red").save(buffer, "PNG")
    firstsight.open(tmp_path / "db", encoder=starter).index([{"item_id": "a", "images": buffer.getvalue()}])
    with serving(tmp_path / "db") as client:
        answer = client.get(view("a#image-0", "?size=96"))
        assert (answer.status_code, size_of(answer.content)) == (200, (96, 64))
        found = client.post("/search", json={"text": "red"}).json()
        assert found["results"][0]["item_id"] == "a"
        assert str(tmp_path) not in str(found)


def test_a_frame_of_a_stream_that_is_over_has_its_stored_picture(
    serving: Serving, indexed: Callable[..., Path], tmp_path: Path
) -> None:
    db = indexed(tmp_path / "shop", "show,live,A show,,\n")
    clip = grey_clip(tmp_path / "c.ts", 3)
    firstsight.open(db).indexing.watch(clip, item_id="show", settings=firstsight.WatchSettings(every_s=1, update_s=0))
    clip.unlink()
    with serving(db) as client:
        answer = client.get(view("show#frame-live-2"))
        assert answer.status_code == 200, answer.text
        assert grey(Image.open(io.BytesIO(answer.content))) == 20
        assert client.get("/media", params={"item_id": "show"}).status_code == 200
        tag = answer.headers["etag"]
        assert client.get(view("show#frame-live-2"), headers={"If-None-Match": tag}).status_code == 304
