"""Search, items and slates over HTTP equal the library's answers and contain no local paths."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

import firstsight
from firstsight import Query
from firstsight.encoders.base import Encoder, ImageInput, Vectors
from firstsight.retrieval.results import ClipMatch, SearchResult, ViewMatch
from firstsight.service.routes.search_routes import result_as_json
from firstsight.service.service_settings import ServiceSettings
from tests.service.conftest import serving

QUERIES = Path(__file__).parents[3] / "sample_media" / "queries"
GUITAR = (QUERIES / "guitar.jpg").read_bytes()
FORM = {"X-Requested-With": "test"}


def ids(client: TestClient, **query: object) -> list[str]:
    answer = client.post("/search", json=query)
    assert answer.status_code == 200, answer.text
    return [result["item_id"] for result in answer.json()["results"]]


def test_a_text_finds_what_the_library_finds(client: TestClient, sample_db: Path, starter: Encoder) -> None:
    told = client.post("/search", json={"text": "red running shoes", "k": 5}).json()
    found = firstsight.open(sample_db, encoder=starter).search("red running shoes", k=5)
    assert [(one["item_id"], one["score"]) for one in told["results"]] == [
        (one.item_id, round(one.score, 4)) for one in found
    ]
    assert told["snapshot"] == found.snapshot
    assert told["results"][0]["picture"]["view_id"] == "sneakers-red#image-0"


def test_a_picture_comes_as_base64_as_a_data_uri_or_as_a_file(client: TestClient) -> None:
    encoded = base64.b64encode(GUITAR).decode()
    as_text = ids(client, images=[encoded], k=3)
    assert set(as_text[:2]) == {"guitar-acoustic", "video-guitar-lesson"}  # the same guitar in a picture and in a frame
    assert ids(client, images=[f"data:image/jpeg;base64,{encoded}"], k=3) == as_text
    files = [("images", ("a.jpg", GUITAR, "image/jpeg"))]
    answer = client.post("/search", data={"query": json.dumps({"k": 3})}, files=files, headers=FORM)
    assert [one["item_id"] for one in answer.json()["results"]] == as_text


def test_a_picture_of_an_item_finds_it_first_with_relevance_1(client: TestClient) -> None:
    """The part that is compared can still be chosen; a null chooses the default."""
    own = base64.b64encode((QUERIES.parent / "pictures" / "bass-guitar.jpg").read_bytes()).decode()
    for part in ({}, {"part": None}, {"part": "best"}, {"part": "image"}):
        first = client.post("/search", json={"images": [own], "k": 2, **part}).json()["results"][0]
        assert (first["item_id"], first["relevance"], first["view"]["part"]) == ("bass-guitar", 1, "image")
        assert first["view"] == first["picture"]
    whole = client.post("/search", json={"images": [own], "k": 2, "part": "item"}).json()["results"][0]
    assert whole["score"] < 0.95
    assert "best" in str(client.post("/search", json={"images": [own], "part": "sound"}).json())


def test_parts_are_combined_filtered_and_left_out(client: TestClient) -> None:
    both = ids(
        client, text="black and white electric guitar", text_weight=2, images=[base64.b64encode(GUITAR).decode()], k=3
    )
    assert both[0] == "guitar-electric"
    assert all(one.startswith("video-") for one in ids(client, text="a guitar", kinds=["video"]))
    assert ids(client, text="shoes", where="color = 'green'", k=1) == ["sneakers-green"]
    assert "guitar-acoustic" not in ids(client, items=["guitar-acoustic"])


def test_vectors_are_searched_alone_and_with_other_parts(client: TestClient, sample_db: Path, starter: Encoder) -> None:
    vector = starter.encode_texts(["an acoustic guitar"])[0].tolist()
    db = firstsight.open(sample_db, encoder=starter)
    query = Query(vectors=[vector], k=5)
    assert ids(client, vectors=[vector], k=5) == [result.item_id for result in db.search(query)]
    mixed = ids(client, text="red shoes", vectors=[vector, vector], vector_weights=[0, 0], mode="vector", k=5)
    assert mixed == ids(client, text="red shoes", mode="vector", k=5)
    item = client.get("/items/violin", params={"vectors": True}).json()
    assert ids(client, vectors=[item["vector"]], where="price > 1", k=1) == ["violin"]


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ("[[1, 2]]", "has dimension 2, but those of the database have 384 (encoder starter)"),
        ("[[0, 0]]", "the vector consists of zeros"),
        ("[1, 2]", "vectors"),
        ("[[]]", "vectors"),
        ("[[[1, 2]]]", "vectors"),
        ("[[1, 1e999]]", "vectors"),
        ("[[1, NaN]]", "vectors"),
        ('[["a"]]', "vectors"),
        (json.dumps([[1.0] * 4_097]), "vectors"),
        (json.dumps([[1.0]] * 17), "vectors"),
    ],
)
def test_wrong_vectors_are_refused(client: TestClient, vectors: str, message: str) -> None:
    body = f'{{"vectors": {vectors}}}'
    answer = client.post("/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert message in answer.text


def test_pages_are_cut_from_one_ranking(client: TestClient) -> None:
    whole = ids(client, text="shoes", k=10)
    first = client.post("/search", json={"text": "shoes", "k": 6}).json()
    rest = {"text": "shoes", "k": 4, "offset": first["next_offset"], "snapshot": first["snapshot"]}
    assert [one["item_id"] for one in first["results"]] + ids(client, **rest) == whole


def test_the_last_page_says_so(client: TestClient) -> None:
    assert client.post("/search", json={"text": "shoes", "k": 1000}).json()["next_offset"] is None


def test_moments_name_the_view_to_play(client: TestClient) -> None:
    query = {"text": "a cup of tea", "kinds": ["video"], "moments": True, "k": 1}
    moment = client.post("/search", json=query).json()["results"][0]["moments"][0]
    assert moment["view_id"].startswith("video-")
    assert "uri" not in moment


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({}, "nothing to search by"),
        ({"text": "a", "colour": 1}, "colour"),
        ({"text": "a", "k": 0}, "k: "),
        ({"text": "a", "where": "price <"}, "price <"),
        ({"text": "a", "snapshot": "x"}, "snapshot"),
        ({"text": "a", "snapshot": "9" * 30 + ".1"}, "snapshot"),
        ({"text": "a", "snapshot": "9" * 18 + ".1"}, "snapshot"),
        ({"text": "a", "snapshot": "1.1.1." + "9" * 18}, "snapshot"),
        ({"items": ["nobody"]}, "no item 'nobody'"),
        ({"images": ["aGVsbG8="]}, "picture"),
        ({"videos": ["/etc/passwd"]}, "not an http(s) address"),
        ({"images": ["/etc/passwd"]}, "neither base64"),
        ({"images": ["s3://bucket/key"]}, "cannot be fetched"),
    ],
)
def test_a_query_that_cannot_be_answered_is_a_problem(
    client: TestClient, sample_db: Path, query: dict[str, object], says: str
) -> None:
    answer = client.post("/search", json=query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told.keys() >= {"type", "title", "status", "detail", "code"}
    assert says in told["detail"]
    assert str(sample_db) not in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"text": "\\ud800"}', b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_a_problem(client: TestClient, body: bytes) -> None:
    answer = client.post("/search", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


def test_an_item_is_told_with_its_views_and_no_path(client: TestClient, sample_db: Path) -> None:
    answer = client.get("/items/guitar-acoustic")
    item = answer.json()
    assert item["columns"]["price"] == 249.0
    assert {view["part"] for view in item["views"]} == {"title", "image"}
    assert "sample_media" not in answer.text
    assert str(sample_db) not in answer.text
    vectors = client.get("/items/guitar-acoustic", params={"vectors": True}).json()
    assert np.linalg.norm(vectors["vector"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("path", ["/items/nobody", "/items/nobody/similar", "/safety/items/nobody", "/nowhere"])
def test_what_is_not_there_is_a_404(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_similar_items_come_with_a_picture(client: TestClient) -> None:
    results = client.get("/items/guitar-acoustic/similar", params={"k": 2, "kinds": "product"}).json()["results"]
    assert results[0]["item_id"] == "guitar-electric"
    assert results[0]["view_id"] == "guitar-electric#image-0"


def test_similar_videos_name_the_view_to_play(client: TestClient) -> None:
    result = client.get("/items/grapes/similar", params={"kinds": "video", "k": 1}).json()["results"][0]
    assert result["item_id"] == "video-kitchen-haul"
    assert result["moment"]["view_id"].startswith("video-kitchen-haul#frame-")
    assert result["moment"]["start_s"] <= 7.0 <= result["moment"]["end_s"]
    assert "uri" not in result["moment"]


def test_results_tell_no_path_of_the_server() -> None:
    path = "/srv/videos/a.mp4"
    view = ViewMatch("frame", path, 1.0, 0.5, "a#frame-0-0")
    scores: dict[str, Any] = {"score": 0.5, "relevance": 0.5, "view": view, "picture": view, "line": view}
    result = SearchResult("a", "video", "A", columns={}, clip=ClipMatch(path, 1.0, 1.0, 1.0), **scores)
    assert path not in json.dumps(result_as_json(result, moderates=True))


def test_a_slate_keeps_quotas_and_kinds(client: TestClient) -> None:
    asked = {"history": ["guitar-acoustic", "bass-guitar"], "k": 6, "quotas": {"video": 2}, "seed": 1}
    slate = client.post("/recommend", json=asked).json()
    assert [item["kind"] for item in slate["items"]].count("video") == 2
    assert all(item["view_id"].startswith(item["item_id"]) for item in slate["items"])
    assert {one["item_id"] for one in slate["interests"]} <= {"guitar-acoustic", "bass-guitar"}
    named = {one["item_id"] for one in slate["interests"]} | {item["because"] for item in slate["items"]} - {None}
    assert slate["titles"] == {item_id: client.get(f"/items/{item_id}").json()["title"] for item_id in named}
    only = client.post("/recommend", json={"history": ["guitar-acoustic"], "k": 4, "kinds": ["video"]}).json()
    assert {item["kind"] for item in only["items"]} == {"video"}


class FromFolder:
    """The real encoder, as one of weights in a folder is named."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.spec = replace(encoder.spec, name="open_clip:ViT-B-32@/srv/models/ours.pt")

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return self._encoder.encode_texts(texts)


def test_no_folder_is_told_where_the_encoder_is_named(tmp_path: Path, starter: Encoder) -> None:
    with serving(ServiceSettings(db=str(tmp_path / "db"), encoder=FromFolder(starter))) as client:
        client.post("/items", json={"items": [{"item_id": "mug", "title": "A mug"}]})
        for path in ("/ready", "/catalogue"):
            assert client.get(path).json()["encoder"] == "open_clip:ViT-B-32@ours.pt"


def test_health_needs_nothing_and_readiness_the_database(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready", "encoder": "starter", "items": 75}
