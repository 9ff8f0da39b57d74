"""The OpenAPI document, and requests generated from it, valid and invalid."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from firstsight.encoders.base import Encoder
from firstsight.service.service_settings import ServiceSettings
from tests.service.conftest import serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def asked(sample_db: Path, starter: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service over a database of its own, which this module may spoil."""
    own = shutil.copytree(sample_db, tmp_path_factory.mktemp("asked") / "db")
    with serving(ServiceSettings(db=str(own), encoder=starter)) as client:
        yield client


def operations(client: TestClient) -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        yield found.ok()


def test_every_route_is_described_with_its_problem_and_bodies_have_examples(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    described = {path: methods.keys() for path, methods in document["paths"].items()}
    assert described["/search"] == {"post"}
    assert described["/items/{item_id}"] == {"get", "delete"}
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert "application/problem+json" in operation["responses"]["default"]["content"]
    for name in (
        *("RecommendRequest", "PostedItems", "DecisionRequest", "OverturnRequest", "TagCorrection"),
        *("ItemAnswer", "FactEvidenceAnswer", "FactStatusAnswer", "FacetsAnswer", "TagAnswer"),
    ):
        assert document["components"]["schemas"][name]["examples"]


def test_examples_are_answered(asked: TestClient) -> None:
    document = asked.get("/openapi.json").json()
    search = document["paths"]["/search"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for body in search["examples"]:
        answer = asked.post("/search", json=body)
        assert (answer.status_code, len(answer.json().get("results", []))) == (200, 3), answer.text
    for path, name in (("/recommend", "RecommendRequest"), ("/items", "PostedItems")):
        for body in document["components"]["schemas"][name]["examples"]:
            assert asked.post(path, json=body).status_code == 200


def test_no_request_that_the_document_allows_breaks_the_service(asked: TestClient) -> None:
    for operation in operations(asked):
        if operation.path == "/session":
            continue

        @settings(
            max_examples=15,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), known=st.booleans())
        def ask(case: Any, known: bool) -> None:
            if known and case.method != "DELETE" and "item_id" in (case.path_parameters or {}):
                case.path_parameters["item_id"] = "guitar-acoustic"
            made = requests.Request(**case.as_transport_kwargs(base_url="http://127.0.0.1:8000")).prepare()
            headers = {**made.headers, "X-Requested-With": "test"}  # else forms are not read
            answer = asked.request(str(made.method), str(made.url), content=made.body, headers=headers)
            assert answer.status_code < 500, f"{case.method} {case.path}: {answer.text}"

        ask()


@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    path=st.sampled_from(["/search", "/recommend", "/items", "/safety/items/a/decision"]),
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["text", "items", "k", "images", "item_id", "where", "history"]), inner)
        ),
        max_leaves=8,
    ),
)
def test_nor_does_one_that_it_does_not(asked: TestClient, path: str, body: object) -> None:
    import json

    answer = asked.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code < 500, answer.text
