"""Search with promoted rerankers: scores, thresholds, pages and snapshots."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.errors import QueryError
from firstsight.retrieval.query import Query
from tests.retrieval.rerank.sales_catalogue import by_sales, catalogue, ids, write_lines


def test_scores_keep_their_meaning_and_rank_scores_fall(shop: firstsight.Database) -> None:
    plain = {result.item_id: result for result in shop.search("blue tent", k=64, rerank=False)}
    assert {result.rank_score for result in plain.values()} == {None}
    results = shop.search("blue tent", k=64)
    scores = [result.rank_score for result in results if result.rank_score is not None]
    assert len(scores) == 64
    assert scores == sorted(scores, reverse=True)
    for result in results:
        assert result.score == pytest.approx(plain[result.item_id].score, abs=1e-6)
        assert result.relevance == plain[result.item_id].relevance
        assert "rank_score" in result.to_dict()
        assert "rank_score" not in plain[result.item_id].to_dict()


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        ({}, 1),
        ({"mode": "hybrid"}, 1),
        ({"mode": "vector"}, 2),
        ({"mode": "words"}, None),  # no reranker was fitted to this mode
        ({"rerank": False}, None),
        ({"where": "sales > 100", "min_score": 0.1, "collapse": "colour", "diversity": 0.2}, 1),
        ({"fusion": "rrf"}, None),
        ({"minus": ["red"]}, None),
        ({"items": ["red-mug"]}, None),
        ({"part": "title"}, None),
    ],
)
def test_queries_like_those_that_were_learned_from_are_reranked(
    shop: firstsight.Database, settings: dict[str, Any], version: int | None
) -> None:
    results = shop.search(Query("mug", **settings))
    assert results.reranker == version
    assert (results[0].rank_score is not None) is (version is not None)


def test_many_queries_are_reranked_as_each_alone(shop: firstsight.Database) -> None:
    queries = [Query("lamp"), Query("lamp", mode="vector"), Query("lamp", mode="words"), Query(items=["red-hat"])]
    together = shop.search_many(queries)
    assert [answer.reranker for answer in together] == [1, 2, None, None]
    for query, answer in zip(queries, together, strict=True):
        assert ids(answer) == ids(shop.search(query))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["hybrid", "vector"])
@pytest.mark.parametrize(
    "settings", [{}, {"min_relevance": 0.2}, {"collapse": "colour"}, {"diversity": 0.4}, {"where": "in_stock"}]
)
def test_pages_are_cut_from_one_reranked_order(shop: firstsight.Database, mode: Any, settings: dict[str, Any]) -> None:
    whole = shop.search(Query("a warm hat", mode=mode, k=64, **settings))
    pages = [shop.search(Query("a warm hat", mode=mode, k=5, offset=n, **settings)) for n in range(0, 64, 5)]
    assert [item_id for page in pages for item_id in ids(page)] == ids(whole)
    assert len(whole) == len(set(ids(whole))) > 1


def test_thresholds_leave_the_order_of_what_is_left(shop: firstsight.Database) -> None:
    whole = shop.search("bicycle", k=64)
    least = float(np.median([result.score for result in whole]))
    kept = shop.search("bicycle", k=64, min_score=least)
    assert ids(kept) == [result.item_id for result in whole if result.score >= least]
    assert 0 < len(kept) < len(whole)


def test_collapse_shows_the_item_that_the_reranker_puts_first(shop: firstsight.Database) -> None:
    best: dict[object, str] = {}
    for result in shop.search("clock", k=64):
        best.setdefault(result.columns["colour"], result.item_id)
    assert ids(shop.search("clock", k=64, collapse="colour")) == list(best.values())


def test_a_snapshot_keeps_the_order_when_rerankers_come_and_go(own: firstsight.Database) -> None:
    whole = ids(own.search("guitar", k=30))
    first = own.search("guitar", k=10)
    own.rerankers.drop()
    second = own.search("guitar", k=10, offset=10, snapshot=first.snapshot)
    assert (second.reranker, second.snapshot) == (1, first.snapshot)
    assert ids(first) + ids(second) == whole[:20]
    plain = own.search("guitar", k=10)
    assert plain.reranker is None
    own.rerankers.promote(1)
    after = own.search("guitar", k=10, offset=10, snapshot=plain.snapshot)
    assert after.reranker is None
    assert ids(after) == ids(own.search("guitar", k=20, rerank=False))[10:]


def test_ages_stand_still_for_the_pages_of_a_snapshot(shop: firstsight.Database) -> None:
    snapshot = shop.search("mug").snapshot
    rows, _, day = snapshot.rpartition(".")
    assert date.fromordinal(int(day)) == datetime.now(UTC).date()
    longer = f"{rows}.{int(day) - 3}"
    assert shop.search("mug", snapshot=longer).snapshot == longer
    for wrong in (f"{rows}.0", f"{rows}.99999999999", "1.1.99.739000"):
        with pytest.raises(QueryError, match="snapshot"):
            shop.search("mug", snapshot=wrong)


@pytest.mark.slow
def test_the_first_hundred_are_reranked_and_the_rest_follow(indexed: Path, tmp_path: Path, starter: Encoder) -> None:
    db = firstsight.open(tmp_path / "db", encoder=starter)
    more = [row | {"item_id": f"{row['item_id']}-{n}"} for row in catalogue() for n in range(3)]
    db.index(write_lines(tmp_path / "c.jsonl", more))
    shop = firstsight.open(indexed, encoder=starter)  # without rerankers; its judgements have other ids
    assert shop.rerankers.versions() == []
    judged = [row | {"item_id": f"{row['item_id']}-{n}"} for row in by_sales() for n in range(3)]
    db.rerankers.fit(judgements=write_lines(tmp_path / "j.jsonl", judged), mode="vector")
    db.rerankers.promote()
    plain = ids(db.search("mug", mode="vector", k=192, rerank=False))
    reranked = db.search("mug", mode="vector", k=192)
    assert sorted(ids(reranked)[:100]) == sorted(plain[:100])
    assert ids(reranked)[:100] != plain[:100]
    assert ids(reranked)[100:] == plain[100:]
    assert [result.rank_score is not None for result in reranked] == [n < 100 for n in range(192)]
    pages = [ids(db.search("mug", mode="vector", k=30, offset=n)) for n in range(0, 192, 30)]
    assert [item_id for page in pages for item_id in page] == ids(reranked)
