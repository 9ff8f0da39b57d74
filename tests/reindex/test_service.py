"""The service follows a switch without a restart; requests that have begun end with the vectors they began with."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import firstsight
from firstsight.encoders import registry
from firstsight.encoders.base import Encoder, ImageInput, Vectors
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.service.service_settings import ServiceSettings
from tests.indexer.test_reduced_vectors import DIM, ROWS, WordEncoder
from tests.reindex.conftest import NEW, OLD, NamedColours, loaded
from tests.reindex.vector_sets import assert_complete
from tests.service.conftest import serving, until


def found(client: Any, text: str = "thing number 3") -> list[str]:
    answer = client.post("/search", json={"text": text, "k": 12, "mode": "vector"})
    assert answer.status_code == 200, answer.text
    return [result["item_id"] for result in answer.json()["results"]]


def test_searches_embeddings_and_posted_items_follow_a_switch(db: firstsight.Database) -> None:
    with serving(ServiceSettings(db=db.uri, threads=2)) as client:
        old = found(client)
        assert client.get("/ready").json()["encoder"] == OLD
        db.encoders.reindex(NEW)
        assert found(client) == old
        service = client.app.state.service  # type: ignore[attr-defined]
        until(lambda: NEW in service.databases._encoders._whole)  # before the switch, so that no search waits for it
        db.encoders.switch()
        assert found(client)[0] == "item-3"
        expected = [result.item_id for result in db.search("thing number 3", k=12)]
        assert found(client) == expected
        assert client.get("/ready").json()["encoder"] == NEW
        until(lambda: len(embedding(client)) == 24)
        posted = client.post("/items", json={"items": [{"item_id": "posted", "title": "posted"}]})
        assert posted.status_code == 200, posted.text
        assert "posted" in found(client, "posted")[:3]
        db.encoders.rollback()
        assert found(client)[0] == "item-3"
        until(lambda: len(embedding(client)) == 16)
    assert len([encoder for encoder in loaded if encoder.spec.name == NEW]) <= 2  # of the service, and of this process
    assert_complete(db.uri)


def test_a_service_follows_between_reduced_and_whole_vectors_of_one_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Encoder] = []

    class PictureWords(WordEncoder):
        def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
            return self.encode_texts(["picture"] * len(images))

    def load(model: str, options: EncoderOptions) -> Encoder:
        made.append(PictureWords())
        made[-1].spec = replace(made[-1].spec, name="words:1")  # type: ignore[misc]
        return made[-1]

    monkeypatch.setitem(registry.FAMILIES, "words", load)
    db = firstsight.open(tmp_path / "db", encoder="words:1")
    db.index(ROWS, dimensions=16)
    db.encoders.reindex("words:1")
    own = len(made)
    with serving(ServiceSettings(db=db.uri, threads=2)) as client:
        for dim in (16, DIM, 16):
            assert found(client, "green mug")[0] == "green-mug"
            until(lambda dim=dim: len(embedding(client)) == dim)  # type: ignore[misc]
            db.encoders.switch()
    assert len(made) == own + 1


def embedding(client: Any) -> list[float]:
    answer = client.post("/v1/embeddings", json={"input": ["a red shoe"]})
    assert answer.status_code == 200, answer.text
    vector: list[float] = answer.json()["data"][0]["embedding"]
    return vector


def test_a_search_in_flight_ends_with_the_vectors_it_began_with(db: firstsight.Database) -> None:
    db.encoders.reindex(NEW)
    began, go_on = threading.Event(), threading.Event()

    class SlowColours(NamedColours):
        def encode_texts(self, texts: Sequence[str]) -> Vectors:
            began.set()
            assert go_on.wait(30)
            return super().encode_texts(texts)

    reader = firstsight.open(db.uri, encoder=SlowColours(16))
    answers: list[list[str]] = []
    thread = threading.Thread(target=lambda: answers.append([r.item_id for r in reader.search("thing number 3", k=12)]))
    thread.start()
    assert began.wait(30)
    expected = [result.item_id for result in db.search("thing number 3", k=12)]
    db.encoders.switch()
    go_on.set()
    thread.join()
    assert answers == [expected]
    assert reader.status().encoder.name == NEW
