"""Posted items are found at once, deleted items are gone, and rows of other processes are visible."""

from __future__ import annotations

import base64
import io
import os
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

import firstsight
from firstsight.database import open_tables
from firstsight.encoders.base import Encoder
from firstsight.service.service_settings import ServiceSettings
from firstsight.storage.locks import writer_lock
from firstsight.storage.store import Store
from firstsight.storage.tables import CURRENT_LAYOUT
from tests.service.conftest import serving

GUITAR = (Path(__file__).parents[3] / "sample_media" / "queries" / "guitar.jpg").read_bytes()
DATA = f"data:image/jpeg;base64,{base64.b64encode(GUITAR).decode()}"


def test_a_posted_item_is_found_at_once_and_gone_once_deleted(writable_client: TestClient) -> None:
    row = {"item_id": "a/mug 7", "title": "Blue mug with a wooden handle", "price": 12.5}
    answer = writable_client.post("/items", json={"items": [row]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["counts"]["encoded"] == 1
    found = writable_client.post("/search", json={"text": "blue mug wooden handle", "k": 1}).json()["results"][0]
    assert (found["item_id"], found["columns"]["price"]) == ("a/mug 7", 12.5)
    assert writable_client.get("/items/a/mug 7").json()["title"] == row["title"]
    assert writable_client.delete("/items/a/mug 7").json() == {"removed": ["a/mug 7"]}
    assert writable_client.get("/items/a/mug 7").status_code == 404
    assert writable_client.delete("/items/a/mug 7").status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize("item_id", ["a/similar", "..", "a//b", "a/../b", "%2e", "?x=1#y"])
def test_an_item_of_any_id_is_told_and_removed(writable_client: TestClient, item_id: str) -> None:
    writable_client.post("/items", json={"items": [{"item_id": item_id, "title": "A thing"}]})
    asked = {"item_id": item_id}
    assert writable_client.get("/items", params=asked).json()["item_id"] == item_id
    assert writable_client.delete("/items", params=asked).json() == {"removed": [item_id]}
    assert writable_client.get("/items", params=asked).json()["code"] == "not_found"


def test_a_row_does_not_bring_thousands_of_columns(writable_client: TestClient, own_db: Path) -> None:
    row = {"item_id": "wide", **{f"column{n}": n for n in range(101)}}
    assert "at most 100 columns" in writable_client.post("/items", json={"items": [row]}).json()["detail"]
    assert "column0" not in Store.open(own_db).items.schema.names


def test_a_posted_key_that_looks_like_pictures_is_a_warning(writable_client: TestClient) -> None:
    row = {
        "item_id": "mug",
        "title": "A mug",
        "image": "https://shop.example/mug.jpg",
        "homepage": "https://a.example/",
    }
    answer = writable_client.post("/items", json={"items": [row]}).json()
    assert answer["warnings"] == ["column 'image' looks like media but is not read; send the media as 'images'"]


@pytest.mark.parametrize("key", ["image", "photo", "picture_url", "video", "pic 1"])
@pytest.mark.parametrize("address", ["s3://bucket/private.jpg", "other.jpg", "file:///etc/passwd"])
def test_only_images_and_videos_of_a_posted_item_are_read(
    writable_client: TestClient, own_db: Path, key: str, address: str
) -> None:
    row = {"item_id": "mug", "title": "A mug", key: address}
    answer = writable_client.post("/items", json={"items": [row]}).json()
    assert (answer["counts"]["media"], answer["counts"]["items"]) == (0, 1)
    assert firstsight.open(own_db).get("mug").columns[key] == address


def test_a_picture_in_a_row_is_kept_beside_the_database(writable_client: TestClient, own_db: Path) -> None:
    answer = writable_client.post("/items", json={"items": [{"item_id": "mine", "title": "Mine", "images": [DATA]}]})
    assert answer.json()["counts"]["pictures"] == 1
    view = next(view for view in firstsight.open(own_db).get("mine").views if view.part == "image")
    assert Path(str(view.uri)).read_bytes() == GUITAR
    assert Path(str(view.uri)).parent == own_db / ".uploads"
    assert [path.suffix for path in (own_db / ".uploads").iterdir()] == [".jpeg"]  # no rows are left behind
    found = writable_client.post("/search", json={"images": [DATA], "part": "image", "k": 1}).json()["results"][0]
    assert (found["item_id"], found["picture"].get("uri")) == ("mine", None)


@pytest.mark.slow
def test_a_posted_picture_goes_with_the_last_item_that_has_it(writable_client: TestClient, own_db: Path) -> None:
    def kept() -> list[bytes]:
        return [path.read_bytes() for path in (own_db / ".uploads").iterdir()]

    rows = [{"item_id": item_id, "title": "Mine", "images": [DATA]} for item_id in ("one", "two")]
    writable_client.post("/items", json={"items": rows})
    writable_client.delete("/items/one")
    assert kept() == [GUITAR]
    assert writable_client.get("/media", params={"item_id": "two"}).status_code == 200
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
    other = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    writable_client.post("/items", json={"items": [rows[1] | {"images": [other]}]})
    assert kept() == [buffer.getvalue()]
    writable_client.delete("/items/two")
    assert kept() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"item_id": "a", "kind": "shoe"}, "kind 'shoe'"),
        ({"item_id": "a", "images": ["/etc/passwd"]}, "not accepted in a request"),
        ({"item_id": "a", "images": ["../../etc/passwd"]}, "not accepted in a request"),
        ({"item_id": "a", "videos": ["file:///etc/passwd"]}, "not accepted in a request"),
        ({"item_id": "a", "images": ["data:image/png;base64,aGVsbG8="]}, "item 'a'"),
        ({"item_id": "a", "price": "cheap"}, "price"),
        ({"item_id": "a", "vector": "x"}, "vector"),
        ({"item_id": "a", "created_at": "yesterday"}, "yesterday"),
    ],
)
def test_a_row_that_breaks_a_rule_changes_nothing(
    writable_client: TestClient, own_db: Path, row: dict[str, object], says: str
) -> None:
    before = Store.open(own_db).items.version
    answer = writable_client.post("/items", json={"items": [{"item_id": "fine", "title": "fine"}, row]})
    assert answer.status_code == 422
    assert says in answer.json()["detail"]
    assert str(own_db) not in answer.text
    assert Store.open(own_db).items.version == before


@pytest.mark.slow
def test_a_medium_that_cannot_be_fetched_is_told_and_kept_for_another_try(
    writable_client: TestClient, own_db: Path
) -> None:
    row = {"item_id": "far", "title": "Far away", "images": ["http://127.0.0.1:9/a.jpg"]}
    told = writable_client.post("/items", json={"items": [row]}).json()
    assert [(one["item_id"], one["reason"]) for one in told["failures"]] == [("far", "forbidden")]
    reports = firstsight.open(own_db).indexing.retry()
    assert reports[0].counts.failed_media == 1


@pytest.mark.parametrize("address", ["http://[::1/a", "http://a]b/a", "http://\u2100/a"])
def test_an_address_that_is_none_costs_itself_alone(writable_client: TestClient, address: str) -> None:
    rows = [
        {"item_id": "odd", "title": "O", "images": [address], "videos": [address]},
        {"item_id": "b", "title": "B"},
    ]
    told = writable_client.post("/items", json={"items": rows}).json()
    assert (told["counts"]["encoded"], {one["item_id"] for one in told["failures"]}) == (2, {"odd"})


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(own_db: Path, starter: Encoder) -> None:
    bomb = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(bomb, "PNG")
    encoded = base64.b64encode(bomb.getvalue()).decode()
    with serving(ServiceSettings(db=str(own_db), encoder=starter)) as client:
        searched = client.post("/search", json={"images": [encoded]})
        posted = client.post("/items", json={"items": [{"item_id": "b", "images": [f"data:;base64,{encoded}"]}]})
    assert {(one.status_code, one.json()["code"]) for one in (searched, posted)} == {(413, "media_too_large")}


def test_rows_of_another_process_are_seen_without_a_restart(
    writable_client: TestClient, own_db: Path, tmp_path: Path, starter: Encoder
) -> None:
    query = {"text": "purple teapot with dots", "k": 1}
    assert writable_client.post("/search", json=query).json()["results"][0]["item_id"] != "teapot"
    catalogue = tmp_path / "more.csv"
    catalogue.write_text("item_id,title\nteapot,Purple teapot with dots\n")
    firstsight.open(own_db, encoder=starter).index(catalogue)
    assert writable_client.post("/search", json=query).json()["results"][0]["item_id"] == "teapot"
    assert writable_client.get("/items/teapot/similar").status_code == 200


def test_while_another_process_writes_reading_goes_on_and_writing_says_when_to_try_again(
    own_db: Path, starter: Encoder
) -> None:
    settings = ServiceSettings(db=str(own_db), encoder=starter, max_wait_s=0.2)
    with serving(settings) as client, writer_lock(own_db, 0):
        assert client.post("/search", json={"text": "shoes"}).status_code == 200
        answer = client.post("/items", json={"items": [{"item_id": "late", "title": "late"}]})
        assert (answer.status_code, answer.json()["code"]) == (503, "database_busy")
        assert int(answer.headers["retry-after"]) > 0
        assert str(os.getpid()) not in answer.text


def test_the_first_items_make_the_database(tmp_path: Path, starter: Encoder) -> None:
    with serving(ServiceSettings(db=str(tmp_path / "new"), encoder=starter)) as client:
        assert client.post("/search", json={"text": "a"}).json()["code"] == "no_database"
        assert client.get("/ready").status_code == 503
        assert client.post("/items", json={"items": [{"item_id": "one", "title": "One"}]}).status_code == 200
        assert client.get("/ready").json()["items"] == 1


def test_a_removal_that_died_is_settled_by_the_next_writer(own_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = firstsight.open(own_db)

    def die(item_ids: object) -> None:
        raise KeyboardInterrupt

    store = open_tables(database)
    monkeypatch.setattr(store, "delete_items", die)
    with pytest.raises(KeyboardInterrupt):
        database.remove(["guitar-acoustic"])
    monkeypatch.undo()
    assert firstsight.open(own_db).remove(["bass-guitar"]) == ["bass-guitar"]
    assert Store.open(own_db).digests(["guitar-acoustic"])["guitar-acoustic"][0] == ""  # is encoded again
    outcomes = [run["outcome"] for run in Store.open(own_db).run_rows() if run["settings"].get("kind") == "remove"]
    assert outcomes == ["killed", "finished"]


@pytest.mark.slow
def test_a_database_of_an_earlier_layout_is_read_until_the_first_post_upgrades_it(
    earlier_db: Path, tmp_path: Path, starter: Encoder
) -> None:
    db = shutil.copytree(earlier_db, tmp_path / "db")
    with serving(ServiceSettings(db=str(db), encoder=starter)) as client:

        def found() -> list[str]:
            answer = client.post("/search", json={"text": "running shoes", "k": 3})
            return [result["item_id"] for result in answer.json()["results"]]

        before = found()
        assert (before[0], client.get("/items/bananas").status_code) == ("sneakers-red", 200)
        assert firstsight.open(db).status().layout < CURRENT_LAYOUT
        assert client.post("/items", json={"items": [{"item_id": "new", "title": "A new thing"}]}).status_code == 200
        assert firstsight.open(db).status().layout == CURRENT_LAYOUT
        assert found() == before


def test_posted_items_change_no_column(writable_client: TestClient) -> None:
    for size in ("S", "38", "M"):
        row = {"item_id": "shirt", "title": "Plain shirt", "cut": size}
        answer = writable_client.post("/items", json={"items": [row]})
        assert answer.status_code == 200, answer.text
    assert writable_client.get("/items/shirt").json()["columns"]["cut"] == "M"
