"""Over HTTP, an input that the encoder fails on is named, and other inputs are not affected."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from firstsight.encoders.base import Encoder, Vectors
from firstsight.service.app import make_app
from firstsight.service.service_settings import ServiceSettings
from tests.retrieval.test_bad_inputs import FailingEncoder


def data_uri(width: int, height: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="module")
def client(starter: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    db = tmp_path_factory.mktemp("bad") / "db"
    with TestClient(
        make_app(ServiceSettings(str(db), encoder=FailingEncoder(starter))), base_url="http://127.0.0.1:8000"
    ) as client:
        yield client


def rows(answer: Any) -> Vectors:
    return np.array([one["embedding"] for one in answer.json()["data"]], np.float32)


def test_bad_texts_and_pictures_of_a_list_are_named_by_their_index(client: TestClient) -> None:
    given = ["poison", {"image": data_uri(60, 40)}, "a teapot", {"image": data_uri(50, 40)}]
    answer = client.post("/v1/embeddings", json={"input": given})
    assert answer.status_code == 400
    assert [(one["index"], one["code"]) for one in answer.json()["errors"]] == [(0, "media_crashed")]
    answer = client.post("/v1/embeddings", json={"input": given[1:]})
    assert answer.json()["detail"] == "input[2]: the encoder failed on it (RuntimeError: no such width)"
    assert len(rows(client.post("/v1/embeddings", json={"input": given[1:3]}))) == 2


def test_cohere_is_told_which_text_is_bad(client: TestClient) -> None:
    body = {"input_type": "search_query", "embedding_types": ["float"]}
    answer = client.post("/v2/embed", json={**body, "texts": ["a teapot", "poison"]})
    assert (answer.status_code, answer.json()["message"][:9]) == (400, "texts[1]:")
    inputs = [{"content": [{"type": "text", "text": text}]} for text in ("a teapot", "poison")]
    answer = client.post("/v2/embed", json={**body, "inputs": inputs})
    assert (answer.status_code, answer.json()["message"][:10]) == (400, "inputs[1]:")


def test_a_thin_picture_has_a_vector(client: TestClient, starter: Encoder) -> None:
    given = [{"image": data_uri(1, 40_000)}, {"image": data_uri(2, 20_000)}]
    expected = starter.encode_images([Image.new("RGB", (1, 40_000), "red"), Image.new("RGB", (2, 20_000), "red")])
    found = rows(client.post("/v1/embeddings", json={"input": given}))
    assert (found * expected).sum(axis=1).min() > 0.99


@pytest.mark.slow
def test_a_posted_item_is_indexed_from_its_rest_and_what_failed_is_told(client: TestClient) -> None:
    posted = [
        {"item_id": "thin", "title": "A page divider", "images": [data_uri(1, 40_000)]},
        {"item_id": "bad", "title": "poison", "images": [data_uri(60, 40), data_uri(50, 40)]},
    ]
    answer = client.post("/items", json={"items": posted}).json()
    assert (answer["counts"]["encoded"], answer["counts"]["pictures"], answer["counts"]["failed_texts"]) == (2, 2, 1)
    assert {(one["item_id"], one["reason"]) for one in answer["failures"]} == {("bad", "crashed")}
    assert len(answer["failures"]) == 2
    found = client.post("/search", json={"text": "poison", "mode": "vector"})
    assert (found.status_code, found.json()["code"]) == (422, "query")
    assert client.post("/search", json={"text": "a divider", "mode": "vector"}).status_code == 200


def test_a_thin_picture_has_a_thumbnail(client: TestClient) -> None:
    row = {"item_id": "wide", "images": [data_uri(40_000, 1)]}
    client.post("/items", json={"items": [row]}).raise_for_status()
    answer = client.get("/media", params={"item_id": "wide"})
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).height == 1
