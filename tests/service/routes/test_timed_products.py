"""Products in videos over HTTP: proposals, decisions, and what readers see of them."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from firstsight.encoders.base import Encoder
from firstsight.service.api_keys import KeyFile
from firstsight.service.service_settings import ServiceSettings
from tests.service.conftest import serving

VIDEO = "video-kitchen-haul"


def test_a_proposal_is_accepted_and_then_shown(writable_client: TestClient) -> None:
    made = writable_client.post("/timed-products/proposals", json={"videos": [VIDEO]}).json()
    assert made["new"] == made["proposed"] > 0
    entries = writable_client.get("/timed-products", params={"state": "proposed"}).json()["entries"]
    (grapes,) = (entry for entry in entries if entry["product_id"] == "grapes")
    assert grapes["evidence"]["cosine"] > 0.9
    assert writable_client.get("/items/grapes/timed-products").json() == {"products": [], "videos": []}

    decision = {"entries": [grapes["entry_id"]], "state": "accepted", "by": "ana"}
    (decided,) = writable_client.post("/timed-products/decisions", json=decision).json()["entries"]
    assert (decided["state"], decided["decided_by"]) == ("accepted", "ana")
    shown = writable_client.get("/items/grapes/timed-products").json()["videos"]
    assert [(entry["video_id"], entry["start_s"]) for entry in shown] == [(VIDEO, grapes["start_s"])]
    assert writable_client.get(f"/items/{VIDEO}/timed-products").json()["products"] == shown

    similar = writable_client.get("/items/grapes/similar").json()["videos"]
    assert [entry["video_id"] for entry in similar] == [VIDEO]
    query = {"text": "kitchen haul", "kinds": ["video"], "k": 1}
    (result,) = writable_client.post("/search", json=query).json()["results"]
    assert result["products"] == similar
    assert "decided_by" not in similar[0]


def test_readers_see_no_reviews_and_cannot_decide(own_db: Path, starter: Encoder) -> None:
    keys = KeyFile(own_db / ".keys.json")
    reader = keys.add("reader", scopes=["read"])[1]
    writer = keys.add("writer", scopes=["read", "write"])[1]
    with serving(ServiceSettings(db=str(own_db), encoder=starter)) as client:
        as_reader, as_writer = ({"Authorization": f"Bearer {token}"} for token in (reader, writer))
        client.post("/timed-products/proposals", json={"videos": [VIDEO]}, headers=as_writer)
        path = f"/items/{VIDEO}/timed-products?include_proposed=true"
        assert "evidence" in client.get(path, headers=as_writer).json()["products"][0]
        assert "evidence" not in client.get(path, headers=as_reader).json()["products"][0]
        assert "evidence" not in client.get("/timed-products", headers=as_reader).json()["entries"][0]
        decision = {"entries": ["a"], "state": "rejected"}
        assert client.post("/timed-products/decisions", json=decision, headers=as_reader).status_code == 403
        assert client.post("/timed-products/proposals", json={}, headers=as_reader).status_code == 403
        assert client.get("/items/nothing/timed-products", headers=as_reader).status_code == 404


def test_a_posted_video_has_its_products(writable_client: TestClient) -> None:
    row = {"item_id": "show", "kind": "video", "title": "A show"}
    timed = [{"product": "grapes", "start": 3.5, "end": 9}, {"product": "lemon", "start": 0}]
    answer = writable_client.post("/items", json={"items": [{**row, "timed_products": timed}]})
    assert answer.status_code == 200, answer.text
    products = writable_client.get("/items/show/timed-products").json()["products"]
    assert [(entry["product_id"], entry["start_s"], entry["end_s"]) for entry in products] == [
        ("lemon", 0.0, None),
        ("grapes", 3.5, 9.0),
    ]
    answer = writable_client.post("/items", json={"items": [{**row, "timed_products": "lemon@later"}]})
    assert "'later' is not a time such as 12.5, 0:12 or 1:02:03" in answer.json()["warnings"][0]
