"""Searches leave blocked items out, unless asked for them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import firstsight
from firstsight.database import open_tables
from firstsight.encoders.base import Encoder
from firstsight.retrieval.ranking import item_filters
from firstsight.storage.store import Store
from tests.retrieval.synthetic_items import SyntheticEncoder, SyntheticItems

BLOCKED = [f"i{n:05d}" for n in range(0, 300, 2)]


@pytest.fixture(scope="module")
def items_db(tmp_path_factory: pytest.TempPathFactory) -> SyntheticItems:
    made = SyntheticItems(tmp_path_factory.mktemp("safe") / "db", 600)
    with made.store.writing():
        made.store.write_safety(
            {i: {"safety_decision": "block"} for i in BLOCKED} | {"i00001": {"safety_decision": "review"}}
        )
    return made


QUERIES = [
    {"text": "thing"},
    {"text": "thing", "mode": "vector"},
    {"text": "thing", "mode": "words"},
    {"item": "i00003"},
    {"item": "i00003", "part": "image"},
    {"item": "i00003", "where": "price < 50"},
    {"item": "i00003", "part": "any", "where": "price < 50"},
    {"item": "i00003", "collapse": "group"},
]


@pytest.mark.slow
@pytest.mark.parametrize("few", [5_000, 10])
@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_blocked_items_are_left_out_of_every_kind_of_search(
    items_db: SyntheticItems, query: dict[str, Any], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_filters, "MAX_BLOCKED_IDS", few)
    db = firstsight.open(items_db.path, encoder=SyntheticEncoder())
    results = db.search(**query, k=400)
    everything = db.search(**query, k=400, include_blocked=True)
    found, all_ = [r.item_id for r in results], [r.item_id for r in everything]
    assert found
    assert set(found).isdisjoint(BLOCKED)
    assert set(all_) & set(BLOCKED)
    if "collapse" not in query and query.get("mode") != "words" and "item" in query:
        kept = [item_id for item_id in all_ if item_id not in BLOCKED]
        assert found[: len(kept)] == kept  # the order is that of the search without them


def test_what_waits_for_review_is_shown_and_a_database_that_was_never_scored_is_as_before(
    items_db: SyntheticItems, tmp_path: Path
) -> None:
    db = firstsight.open(items_db.path, encoder=SyntheticEncoder())
    assert "i00001" in [r.item_id for r in db.search(item="i00003", k=600)]
    assert [r.item_id for r in db.search(item="i00003", where="safety_decision = 'review'")] == ["i00001"]
    plain = SyntheticItems(tmp_path / "db", 50)
    assert "safety_decision" not in Store.open(plain.path).items.schema.names
    assert len(firstsight.open(plain.path, encoder=SyntheticEncoder()).search(item="i00003", k=50)) == 49


@pytest.mark.parametrize("query", [{}, {"where": "price > 0"}, {"mode": "words"}, {"mode": "vector", "part": "image"}])
def test_a_later_page_of_an_earlier_ranking_leaves_out_what_was_blocked_since(
    sample_db: Path, tmp_path: Path, starter: Encoder, query: dict[str, Any]
) -> None:
    db = firstsight.open(shutil.copytree(sample_db, tmp_path / "db"), encoder=starter)
    first = db.search("red", k=3, **query)
    rest = {"k": 3, "offset": 3, "snapshot": first.snapshot, **query}
    second = [result.item_id for result in db.search("red", **rest)]
    for blocked in second[:2]:  # the first decision makes the column of decisions too
        store = open_tables(db)
        safety = {"safety_scores": "{}", "safety_policy_version": "1", "safety_min_age": None}
        with store.writing():
            store.write_safety({blocked: {"safety_decision": "block", **safety}})
        found = [result.item_id for result in db.search("red", **rest)]
        assert found == second[second.index(blocked) + 1 :]  # the others keep their places
    assert [result.item_id for result in db.search("red", **rest, include_blocked=True)] == second
