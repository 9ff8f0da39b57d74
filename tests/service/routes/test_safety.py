"""Decisions over HTTP: readers do not see blocked items, and the audit log names the person who decided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from firstsight.encoders.base import Encoder
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.service.api_keys import KeyFile
from firstsight.service.service_settings import ServiceSettings
from tests.service.conftest import serving

BLOCK = {"action": "block", "policies": ["weapons"], "reason": "a test"}
ITEM = "guitar-acoustic"


@pytest.mark.slow
def test_a_decision_hides_an_item_and_an_overturn_brings_it_back(writable_client: TestClient, own_db: Path) -> None:
    made = writable_client.post(f"/safety/items/{ITEM}/decision", json=BLOCK).json()
    assert (made["item_id"], made["action"]) == (ITEM, "block")
    query = {"text": "acoustic guitar", "k": 1}
    assert writable_client.post("/search", json=query).json()["results"][0]["item_id"] != ITEM
    shown = writable_client.post("/search", json={**query, "include_blocked": True}).json()["results"][0]
    assert (shown["item_id"], shown["columns"]["safety_decision"]) == (ITEM, "block")

    appealed = writable_client.post(
        f"/safety/items/{ITEM}/appeal", json={"reason": "it is a guitar", "by": "the seller"}
    )
    assert appealed.json()["entry_id"]
    first = writable_client.get("/safety/queue").json()["queue"][0]
    assert (first["item_id"], first["why"], first["view_id"]) == (ITEM, "appeal", f"{ITEM}#image-0")

    assert (
        writable_client.post(f"/safety/items/{ITEM}/overturn", json={"reason": "so it is"}).json()["action"] == "allow"
    )
    assert writable_client.post("/search", json=query).json()["results"][0]["item_id"] == ITEM
    told = writable_client.get(f"/safety/items/{ITEM}").json()
    assert told["decision"] == "allow"
    assert len(told["history"]) == 3
    assert AuditLog.of(str(own_db)).verify().ok


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"action": "block", "policies": ["nonsense"], "reason": "a"}, "nonsense"),
        ({"action": "ban", "reason": "a"}, "action"),
        ({"action": "allow", "policies": ["weapons"], "reason": " "}, "reason"),
    ],
)
def test_a_decision_that_cannot_be_is_refused(writable_client: TestClient, body: dict[str, object], says: str) -> None:
    answer = writable_client.post(f"/safety/items/{ITEM}/decision", json=body)
    assert answer.status_code == 422
    assert says in answer.json()["detail"]
    assert writable_client.get("/safety/queue").json() == {"queue": []}


def test_an_earlier_snapshot_does_not_bring_back_what_was_blocked_or_removed(writable_client: TestClient) -> None:
    query = {"text": "guitar", "k": 6}
    first = writable_client.post("/search", json=query).json()
    ids = [result["item_id"] for result in first["results"]]
    assert ITEM in ids
    assert "guitar-electric" in ids
    writable_client.post(f"/safety/items/{ITEM}/decision", json=BLOCK)
    writable_client.delete("/items/guitar-electric")
    again = {**query, "snapshot": first["snapshot"]}
    told = writable_client.post("/search", json=again).json()
    left = [result["item_id"] for result in told["results"]]
    assert told["next_offset"] == 6
    assert left == [item_id for item_id in ids if item_id not in {ITEM, "guitar-electric"}]
    shown = writable_client.post("/search", json={**again, "include_blocked": True}).json()["results"]
    assert [result["item_id"] for result in shown] == [one for one in ids if one != "guitar-electric"]


@pytest.mark.slow
def test_without_its_log_nothing_is_decided_and_a_block_stays(writable_client: TestClient, own_db: Path) -> None:
    writable_client.post(f"/safety/items/{ITEM}/decision", json=BLOCK)
    log = AuditLog.of(str(own_db))
    kept = log.path.read_bytes()
    log.path.unlink()
    for path, body in (
        (f"/safety/items/{ITEM}/overturn", {"reason": "r"}),
        (f"/safety/items/{ITEM}/appeal", {"reason": "r"}),
        ("/safety/items/guitar-electric/decision", BLOCK),
        ("/safety/score", {"everything": True}),
    ):
        answer = writable_client.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "audit_log")
        assert str(own_db) not in answer.text
    found = writable_client.post("/search", json={"text": "guitar", "k": 75}).json()["results"]
    assert ITEM not in [result["item_id"] for result in found]
    log.path.write_bytes(kept)
    assert writable_client.post("/safety/score", json={}).json()["scored"] == 75
    assert writable_client.get(f"/safety/items/{ITEM}").json()["decision"] == "block"


@pytest.mark.slow
def test_scoring_fills_the_queue(writable_client: TestClient) -> None:
    report = writable_client.post("/safety/score", json={}).json()
    assert report["scored"] == 75
    told = writable_client.get(f"/safety/items/{ITEM}").json()
    assert {one["policy"] for one in told["scores"]} >= {"weapons"}
    policies = writable_client.get("/safety/policies").json()
    assert "weapons" in {one["id"] for one in policies["policies"]}


@pytest.fixture
def keys(own_db: Path) -> KeyFile:
    return KeyFile(own_db / ".keys.json")


@pytest.fixture
def guarded(own_db: Path, starter: Encoder, keys: KeyFile) -> Iterator[TestClient]:
    keys.add("first")
    with serving(ServiceSettings(db=str(own_db), encoder=starter)) as client:
        yield client


@pytest.mark.slow
def test_what_is_blocked_is_not_there_for_who_may_only_read(guarded: TestClient, keys: KeyFile, own_db: Path) -> None:
    reads = {"X-API-Key": keys.add("shop")[1]}
    moderates = {"X-API-Key": keys.add("ana", ["moderate", "read"])[1]}
    decided = guarded.post(f"/safety/items/{ITEM}/decision", json={**BLOCK, "by": "Ana"}, headers=moderates)
    assert decided.status_code == 200
    assert guarded.get(f"/items/{ITEM}", headers=reads).json() == guarded.get("/items/nobody", headers=reads).json() | {
        "detail": f"there is no item '{ITEM}'"
    }
    for query, status in (({"items": [ITEM]}, 200), ({"items": ["nobody"]}, 422)):
        assert guarded.post("/search", json=query, headers=moderates).status_code == status
    told = [guarded.post("/search", json={"items": [i]}, headers=reads).json()["detail"] for i in (ITEM, "nobody")]
    assert told == [f"there is no item '{i}'" for i in (ITEM, "nobody")]
    assert guarded.get(f"/items/{ITEM}", headers=moderates).status_code == 200
    assert guarded.get(f"/items/{ITEM}/similar", headers=reads).status_code == 404
    for headers, named in ((reads, set()), (moderates, {ITEM})):
        assert guarded.post("/recommend", json={"history": [ITEM]}, headers=headers).json()["titles"].keys() == named
    entry = next(iter(AuditLog.of(str(own_db)).entries(subject=ITEM)))
    assert entry.record["by"] == "Ana (key ana)"
