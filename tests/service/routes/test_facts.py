"""Facts over HTTP: with items and their evidence, counted for filters, and corrected."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from firstsight.encoders.base import Encoder
from firstsight.service.auth import required_scope
from firstsight.service.service_settings import ServiceSettings
from tests.service.conftest import serving


@pytest.fixture(scope="module")
def client(sample_db: Path, starter: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service over a database of its own, to be written to."""
    own = shutil.copytree(sample_db, tmp_path_factory.mktemp("facts") / "db")
    with serving(ServiceSettings(db=str(own), encoder=starter)) as client:
        yield client


def red_square() -> str:
    picture = Image.new("RGB", (240, 240), "white")
    picture.paste((200, 20, 30), (60, 60, 180, 180))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def values(facets: dict[str, Any], name: str) -> dict[str | None, int]:
    (facet,) = (facet for facet in facets["facets"] if facet["name"] == name)
    return {entry["value"]: entry["count"] for entry in facet["values"]}


def test_items_results_and_the_evidence_have_facts(client: TestClient) -> None:
    item = client.get("/items/sneakers-red").json()
    assert item["facts"]["colour"] == "red"
    result = client.post("/search", json={"text": "red running shoes", "k": 1}).json()["results"][0]
    assert result["columns"]["facts"]["colours"]["red"] == item["facts"]["colours"]["red"] > 0.5
    evidence = client.get("/items/sneakers-red/facts").json()
    assert evidence["facts"] == item["facts"]
    assert evidence["colours"][0]["hex"].startswith("#")
    assert evidence["problems"] == []
    assert client.get("/items/nothing/facts").status_code == 404
    status = client.get("/facts").json()
    assert status["settings"]["colours"] is True
    assert status["facts"][0] == status["facts"][0] | {"name": "colours", "of": "pictures", "missing": 0}
    assert "db" not in status


def test_a_posted_item_gets_facts_by_the_stored_settings(client: TestClient) -> None:
    row = {"item_id": "square", "title": "Ein rotes Viereck aus Holz", "images": [red_square()]}
    assert client.post("/items", json={"items": [row]}).status_code == 200
    assert client.get("/items/square").json()["facts"]["colour"] == "red"


def test_facets_count_under_filters_and_ignore_the_selection_in_themselves(client: TestClient) -> None:
    every = client.get("/facets").json()
    assert every["complete"] is True
    colours = values(every, "colour")
    assert sum(colours.values()) == every["items"]
    red = client.get("/facets", params={"is": "colour=red", "kind": "product"}).json()
    assert red["items"] <= colours["red"]
    assert values(red, "colour")["black"] > 0
    assert sum(values(red, "category").values()) == red["items"]
    cheap = client.get("/facets", params={"where": "price < 20 AND colours.red > 0.3"}).json()
    assert 0 < cheap["items"] < every["items"]
    unknown = client.get("/facets", params={"unknown": "colour"}).json()
    assert unknown["items"] == colours[None]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"is": "smell=rose"}, "there is no facet 'smell'; the facets are colour"),
        ({"is": "colour"}, "give NAME=VALUE, such as colour=red"),
        ({"where": "smell = 1"}, "asks for 'smell', which is no column"),
        ({"where": "repeat(title, 9) = 'a'"}, "repeat"),
    ],
)
def test_a_wrong_filter_of_facets_is_explained(client: TestClient, parameters: dict[str, str], said: str) -> None:
    answer = client.get("/facets", params=parameters)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_a_correction_holds_at_once_stays_and_is_taken_back(client: TestClient) -> None:
    def found(where: str) -> list[str]:
        answer = client.post("/search", json={"text": "a mug", "where": where, "k": 5})
        return [result["item_id"] for result in answer.json()["results"]]

    row = {"item_id": "a/mug", "title": "A blue mug"}
    client.post("/items", json={"items": [row]})
    answer = client.put("/items/a%2Fmug/tags/room", json={"values": ["Kitchen"], "by": "ana"})
    assert answer.json() == {
        **{"item_id": "a/mug", "tag": "room", "values": ["Kitchen"], "p": 1.0, "by": "person"},
        **{"multi": False, "known_values": ["Kitchen"]},
    }
    assert found("tags.room = 'Kitchen'") == found("room = 'Kitchen'") == ["a/mug"]
    assert values(client.get("/facets").json(), "tags.room")["Kitchen"] == 1
    client.post("/items", json={"items": [row | {"title": "A dark blue mug"}]})
    assert client.get("/items/a/mug").json()["facts"]["tags"]["room"] == "Kitchen"
    assert client.put("/items/a/mug/tags/room", json={"values": []}).json()["by"] == "person"
    assert found("tags.room = 'Kitchen'") == []
    assert client.delete("/items/a/mug/tags/room").status_code == 200
    again = client.delete("/items/a/mug/tags/room").json()
    assert (again["code"], again["detail"]) == ("tag", "nobody gave the item 'a/mug' a value of the tag 'room'")
    assert client.put("/items/nothing/tags/room", json={"values": ["x"]}).status_code == 404
    assert client.put("/items/a/mug/tags/Bad-Name", json={"values": ["x"]}).json()["code"] == "tag"


def test_corrections_need_write_and_no_page_of_another_site_makes_them(client: TestClient) -> None:
    assert required_scope("PUT", "/items/a/tags/category") == required_scope("DELETE", "/items/a/tags/c") == "write"
    assert required_scope("GET", "/facets") == required_scope("GET", "/items/a/facts") == "read"
    path, body = "/items/sneakers-red/tags/room", {"values": ["Hall"]}
    assert client.put(path, json=body, headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.put(path, content="values=Hall", headers={"content-type": "text/plain"}).status_code == 415
