"""Shadow queries on the vectors of both encoders."""

from __future__ import annotations

from pathlib import Path

import pytest

import firstsight
from firstsight.errors import QueryError
from tests.indexer.shop import write_csv, write_jsonl
from tests.reindex.conftest import NEW, OLD


@pytest.fixture
def two(db: firstsight.Database) -> firstsight.Database:
    assert db.encoders.reindex(NEW).missing == 0
    return db


def test_both_encoders_answer_the_same_queries(two: firstsight.Database, tmp_path: Path) -> None:
    before = [r.item_id for r in two.search("thing number 3", k=4, mode="vector", collapse="none")]
    compared = two.encoders.compare(queries=["thing number 3", "thing number 5", "thing number 3"], k=4)
    assert (compared.before, compared.after, len(compared.compared)) == (OLD, NEW, 2)
    assert list(compared.compared[0].before) == before
    assert compared.compared[0].after[0] == "item-3"
    shared = [len(set(q.before) & set(q.after)) / 4 for q in compared.compared]
    assert compared.overlap == pytest.approx(sum(shared) / 2)
    assert [q.overlap for q in compared.worst(9)] == sorted(shared)
    assert 0 < compared.latency_ms["before"]["p50"] <= compared.latency_ms["before"]["p95"]
    assert compared.measures == {}
    two.encoders.switch()
    assert [r.item_id for r in two.search("thing number 3", k=4, mode="vector", collapse="none")] == list(
        compared.compared[0].after
    )
    turned = two.encoders.compare(queries=["thing number 3"], k=4)
    assert (turned.before, turned.compared[0].before) == (NEW, compared.compared[0].after)


def test_judged_queries_give_measures_of_both(two: firstsight.Database, tmp_path: Path) -> None:
    rows = [{"query": f"thing number {n}", "item_id": f"item-{n}", "grade": 1} for n in range(3)]
    rows.append({"query": "nothing", "item_id": "item-1", "grade": 0})
    compared = two.encoders.compare(judgements=write_csv(tmp_path / "j.csv", rows), k=5)
    assert compared.measures["before"]["rr"] == compared.measures["after"]["rr"] == 1.0
    assert {query.ndcg_after for query in compared.compared} == {1.0}
    assert compared.notes == ("1 queries are skipped: none of their items has a grade above 0",)
    page = tmp_path / "page.html"
    two.encoders.write_comparison_page(page, compared)
    text = page.read_text()
    assert "data:image/jpeg" in text
    assert all(name in text for name in (OLD, NEW, "NDCG@5", "Queries that change most"))


def test_queries_come_from_files_events_and_titles(two: firstsight.Database, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text('red\n\n{"text": "blue"}\nred\n')
    assert [q.name for q in two.encoders.compare(queries=tmp_path / "q.txt", k=2).compared] == ["red", "blue"]
    drawn = two.encoders.compare(count=3, seed=1, k=2)
    assert len(drawn.compared) == 3
    assert all(q.name.startswith("thing number ") for q in drawn.compared)
    assert "titles of items" in drawn.notes[0]
    events = [
        {"user_id": "u", "item_id": "item-1", "timestamp": f"2026-02-01T10:00:0{n}Z", "query": query}
        for n, query in enumerate(["shoe", "hat", "shoe"])
    ]
    two.events.add(write_jsonl(tmp_path / "e.jsonl", events))
    logged = two.encoders.compare(k=2)
    assert [q.name for q in logged.compared] == ["shoe", "hat"]
    assert logged.source == "the most frequent searches of the events"


def test_what_cannot_be_compared_is_refused_with_the_reason(db: firstsight.Database, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="reindex --encoder"):
        db.encoders.compare(queries=["red"])
    db.encoders.reindex(NEW)
    (tmp_path / "q.txt").write_text('red\n{"title": 1}\n')
    with pytest.raises(QueryError, match="line 2 has no text"):
        db.encoders.compare(queries=tmp_path / "q.txt")
    with pytest.raises(QueryError, match="cannot be read"):
        db.encoders.compare(queries=tmp_path / "none.txt")
    with pytest.raises(QueryError, match="not both"):
        db.encoders.compare(queries=["red"], judgements="j.csv")
    with pytest.raises(QueryError, match="mode 'fast'"):
        db.encoders.compare(queries=["red"], mode="fast")
    with pytest.raises(QueryError, match="has no query"):
        db.encoders.compare(queries=[])
