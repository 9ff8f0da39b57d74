"""What the filter of a request may say: nothing that ends the process, nothing that asks for what is not told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from firstsight.encoders.base import Encoder
from firstsight.service.api_keys import KeyFile
from firstsight.service.service_settings import ServiceSettings
from firstsight.storage.store import Store
from tests.service.conftest import serving

SCORED = {"safety_scores": '{"weapons": 0.4}', "safety_policy_version": "1", "safety_min_age": None}


@pytest.mark.parametrize(
    "where",
    [
        "length(repeat(title, 1000000000)) > 5",
        "length(REPEAT (title, 1000000000)) > 5",
        "length(\"repeat\"(title, 1000000000)) > 5",
        "length(`repeat`(title, 1000000000)) > 5",
        "length(repeat\u00a0(title, 1000000000)) > 5",
        "{fn repeat(title, 1000000000)} = 'a'",
        "array_length(generate_series(1, 100000000)) > 1",
        "length(rpad(title, 1000000000, 'a')) > 1",
        "length(replace(title, '', 'aaaaaaaa')) > 1",
        "arrow_typeof(title) = 'a'",
        "$$a$$ = 'a'",
        "price < " + "+".join(["1"] * 3_000),
    ],
)  # fmt: skip
def test_a_filter_that_costs_the_process_is_refused(client: TestClient, where: str) -> None:
    answer = client.post("/search", json={"text": "shoes", "where": where})
    assert (answer.status_code, answer.json()["code"]) == (422, "query"), answer.text
    assert len(answer.json()["detail"]) < 1_000


@pytest.mark.parametrize(
    "where",
    [
        "catalog_dir LIKE '/tmp%'",
        "CATALOG_DIR LIKE '/tmp%'",
        '"catalog_dir" IS NOT NULL',
        "`catalog_dir` IS NOT NULL",
        "run_id IS NOT NULL",
        "vector IS NOT NULL",
        "_rowid < 3",
        "lower(catalog_dir) = 'a'",
    ],
)
def test_a_filter_does_not_ask_for_what_is_not_told(client: TestClient, where: str) -> None:
    answer = client.post("/search", json={"text": "shoes", "where": where})
    assert (answer.status_code, answer.json()["code"]) == (422, "query"), answer.text


@pytest.mark.parametrize(
    "where",
    [
        "lower(title) LIKE '%shoes%' AND NOT (price > 1000)",
        "title = 'repeat(title, 5)' OR price >= 1.5",
        "`category` IN ('shoes', 'catalog_dir')",
        "price BETWEEN 1 AND (2 + 100)",
        "coalesce(price, 0) < 100 AND price IS NOT NULL",
        "created_at IS NULL OR created_at < now()",
        "CAST(price AS int) % 2 = 0 OR price::int > 1",
        "date_part('year', created_at) = 2020 OR array_has(['shoes', 'fruit'], category)",
    ],
)
def test_a_filter_over_the_catalogues_columns_is_answered(client: TestClient, where: str) -> None:
    answer = client.post("/search", json={"text": "shoes", "where": where, "k": 1})
    assert answer.status_code == 200, answer.text


@pytest.fixture
def moderated(own_db: Path, starter: Encoder) -> Iterator[tuple[TestClient, dict[str, str], dict[str, str]]]:
    """A service over items of which one waits for review; with the headers of who reads and of who moderates."""

    store = Store.open(str(own_db))
    with store.writing():
        store.write_safety({"sneakers-red": {"safety_decision": "review", **SCORED}})
    keys = KeyFile(own_db / ".keys.json")
    reads, moderates = ({"X-API-Key": keys.add(str(n), s)[1]} for n, s in enumerate((["read"], ["read", "moderate"])))
    with serving(ServiceSettings(db=str(own_db), encoder=starter)) as client:
        yield client, reads, moderates


def test_scores_are_for_moderators(moderated: tuple[TestClient, dict[str, str], dict[str, str]]) -> None:
    client, reads, moderates = moderated
    query = {"text": "red running shoes", "k": 1}
    for headers, told in ((reads, False), (moderates, True)):
        result = client.post("/search", json=query, headers=headers).json()["results"][0]
        item = client.get("/items/sneakers-red", headers=headers).json()
        assert result["item_id"] == "sneakers-red"
        assert result["columns"]["safety_decision"] == "review"
        assert ("safety_scores" in result["columns"], "safety_policy_version" in result["columns"]) == (told, told)
        assert told or "safety_scores" not in item["columns"]
        for more in ({"where": "safety_scores LIKE '%weapons%'"}, {"collapse": "safety_scores"}):
            answer = client.post("/search", json={**query, **more}, headers=headers)
            assert answer.status_code == (200 if told else 422), answer.text
