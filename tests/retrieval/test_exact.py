"""Rankings equal a comparison with every row: over items and views, with filters, minus terms and pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstsight import Query
from firstsight.errors import FirstsightError, QueryError
from firstsight.retrieval.query import Mode, PartChoice
from tests.retrieval.synthetic_items import SyntheticEncoder, SyntheticItems

PARTS = ["item", "title", "image", "frame", "any", "best"]
FILTERS: dict[str, tuple[str | None, Callable[[dict[str, Any]], bool]]] = {
    "all": (None, lambda row: True),
    "a tenth": ("price < 10", lambda row: row["price"] < 10),
    "4 of 2,000": ("rare", lambda row: row["rare"]),
    "none": ("price < 0", lambda row: False),
}


@pytest.fixture(scope="module")
def items_db(tmp_path_factory: pytest.TempPathFactory) -> SyntheticItems:
    return SyntheticItems(tmp_path_factory.mktemp("items_db") / "db")


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", FILTERS)
def test_a_filtered_search_over_any_part_finds_the_best_of_all(
    items_db: SyntheticItems, part: PartChoice, name: str
) -> None:
    where, passes = FILTERS[name]
    expected = [one for one in items_db.best("a query", part) if passes(items_db.rows[one[0]])][:25]
    found = items_db.db.search("a query", mode="vector", part=part, where=where, k=25)
    assert [result.item_id for result in found] == [item_id for item_id, _ in expected]
    assert [result.score for result in found] == pytest.approx([score for _, score in expected], abs=1e-5)


@pytest.mark.parametrize("part", PARTS)
def test_a_filter_that_leaves_only_far_items_is_still_exact_over_views(
    items_db: SyntheticItems, part: PartChoice
) -> None:
    """A filter with too many items for a list of ids; none of their views is among the rows read first."""
    far = [item_id for item_id, _ in items_db.best("a query", part)][700:]
    cut = ", ".join(f"'{item_id}'" for item_id in far)
    found = items_db.db.search("a query", mode="vector", part=part, where=f"item_id IN ({cut})", k=5)
    assert [result.item_id for result in found] == far[:5]


@pytest.mark.parametrize("part", ["title", "image", "frame"])
def test_the_evidence_is_of_the_part_that_was_compared(items_db: SyntheticItems, part: PartChoice) -> None:
    for result in items_db.db.search("a query", part=part, k=10):
        assert result.view is not None
        assert result.picture is not None
        assert result.view.part == part
        assert result.view.score == pytest.approx(result.score, abs=1e-5)


@pytest.mark.parametrize("part", PARTS)
def test_something_to_avoid_reorders_exactly_as_written_down(items_db: SyntheticItems, part: PartChoice) -> None:
    avoided = SyntheticEncoder().encode_texts(["avoid this", "and that"])
    scores = dict(items_db.best("a query", part))
    penalties = {}
    for item_id, fused in items_db.items.items():
        frames = [vector for name, vector in items_db.views[item_id] if name == "frame" and part in {"frame", "any"}]
        penalties[item_id] = 0.8 * max(0.0, float((np.array([fused, *frames]) @ avoided.T).max()))
    expected = sorted(scores, key=lambda item_id: penalties[item_id] - scores[item_id])[:30]
    found = items_db.db.search(
        "a query", mode="vector", part=part, minus=["avoid this", "and that"], minus_weight=0.8, k=30
    )
    assert [result.item_id for result in found] == expected
    assert [result.score for result in found] == pytest.approx([scores[i] for i in expected], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["vector", "hybrid", "words"])
@pytest.mark.parametrize("settings", [{}, {"diversity": 0.5}, {"collapse": "group"}, {"minus": ["avoid"]}])
def test_pages_are_cut_from_one_ranking(items_db: SyntheticItems, mode: Mode, settings: dict[str, Any]) -> None:
    if mode == "words" and "minus" in settings:
        settings = {"where": "price > 5"}
    whole = items_db.db.search("thing 17", mode=mode, k=450, **settings)
    pages = [
        r.item_id
        for n in range(0, 450, 90)
        for r in items_db.db.search("thing 17", mode=mode, k=90, offset=n, **settings)
    ]
    assert pages == [result.item_id for result in whole]
    assert len(set(pages)) == len(pages)


def test_pages_stay_as_they_are_while_rows_are_added(tmp_path: Path) -> None:
    items_db = SyntheticItems(tmp_path / "db", 300)
    db = items_db.db
    before = [result.item_id for result in db.search("a query", k=40)]
    first = db.search("a query", k=20)
    items_db.add(50, near=SyntheticEncoder().encode_texts(["a query"])[0])  # these items rank first
    second = db.search("a query", k=20, offset=20, snapshot=first.snapshot)
    assert [result.item_id for result in [*first, *second]] == before
    assert second.snapshot == first.snapshot
    new = db.search("a query", k=20)
    assert new.snapshot != first.snapshot
    assert {result.item_id for result in new} <= {f"i{n:05d}" for n in range(300, 350)}


@pytest.mark.parametrize("token", ["nonsense", "1.2.3", "99999.99999", "-1.2"])
def test_a_snapshot_that_is_not_there_is_answered(items_db: SyntheticItems, token: str) -> None:
    with pytest.raises(QueryError, match=r"snapshot .* (is not a token|has expired)"):
        items_db.db.search("a query", snapshot=token)


@pytest.mark.slow
def test_equal_items_come_in_the_order_of_their_ids_on_every_page(tmp_path: Path) -> None:
    items_db = SyntheticItems(tmp_path / "db", 1)
    same = items_db.items["i00000"]
    rows = [items_db.rows["i00000"] | {"item_id": f"same-{n:03d}", "vector": same} for n in range(200)]
    with items_db.store.writing():
        items_db.store.write_items(
            [row | {"indexed_at": items_db.store.items.to_arrow()["indexed_at"][0].as_py()} for row in rows]
        )
    pages = [r.item_id for n in range(0, 200, 20) for r in items_db.db.search("q", mode="vector", k=20, offset=n)]
    assert pages == ["i00000", *(f"same-{n:03d}" for n in range(199))]


def test_collapse_gives_the_best_of_each_group_and_counts_the_others(items_db: SyntheticItems) -> None:
    found = items_db.db.search("a query", mode="vector", part="item", collapse="group", where="price < 50", k=200)
    passing = [item_id for item_id, _ in items_db.best("a query") if items_db.rows[item_id]["price"] < 50]
    expected, seen = [], set()
    for item_id in passing:
        group = items_db.rows[item_id]["group"]
        if group is None or group not in seen:
            seen.add(group)
            expected.append(item_id)
    assert [result.item_id for result in found] == expected[:200]
    for result in found:
        group = items_db.rows[result.item_id]["group"]
        size = sum(items_db.rows[item_id]["group"] == group for item_id in passing)
        assert result.others == (0 if group is None else size - 1)


def test_collapse_reads_on_until_there_are_k_groups(tmp_path: Path) -> None:
    """The nearest 400 items are one group; the other groups rank behind them."""
    items_db = SyntheticItems(tmp_path / "db", 100)
    items_db.add(400, near=SyntheticEncoder().encode_texts(["a query"])[0])
    with items_db.store.writing():
        items_db.store.items.update(where="item_id >= 'i00100'", values={"group": "one"})
    found = items_db.db.search("a query", mode="vector", collapse="group", k=10)
    assert len(found) == 10
    assert found[0].others == 399


def test_collapse_by_a_number_or_an_unknown_column(items_db: SyntheticItems) -> None:
    found = items_db.db.search("a query", mode="vector", collapse="price", k=100)
    assert sorted(result.columns["price"] for result in found) == [float(n) for n in range(100)]
    assert all(result.others == 19 for result in found)
    with pytest.raises(QueryError, match="no column 'parrent' to collapse by; the columns are item_id"):
        items_db.db.search("a query", collapse="parrent")


def test_diversity_keeps_the_best_first_and_makes_the_results_differ(items_db: SyntheticItems) -> None:
    def likeness(results: list[str]) -> float:
        vectors = np.array([items_db.items[item_id] for item_id in results])
        return float((vectors @ vectors.T)[np.triu_indices(len(results), 1)].mean())

    plain = [r.item_id for r in items_db.db.search("a query", mode="vector", k=10)]
    mixed = [r.item_id for r in items_db.db.search("a query", mode="vector", k=10, diversity=0.7)]
    assert mixed[0] == plain[0]
    assert likeness(mixed) < likeness(plain) - 0.1
    assert [r.item_id for r in items_db.db.search("a query", mode="vector", k=10, diversity=0)] == plain


@pytest.mark.parametrize("part", PARTS)
def test_a_least_score_cuts_the_ranking_there(items_db: SyntheticItems, part: PartChoice) -> None:
    expected = [item_id for item_id, score in items_db.best("a query", part) if score >= 0.35]
    assert 0 < len(expected) < 1_000
    found = items_db.db.search("a query", mode="vector", part=part, min_score=0.35, k=2_000)
    assert [result.item_id for result in found] == expected


@pytest.mark.slow
def test_many_queries_at_once_are_answered_as_each_alone(items_db: SyntheticItems) -> None:
    kinds: list[dict[str, Any]] = [
        {"mode": "vector"},
        {"mode": "vector", "part": "any", "where": "price < 3"},
        {"mode": "hybrid", "where": "rare"},
        {"mode": "words"},
    ]
    queries = [Query(f"thing {n}", k=7, **kinds[n % 4]) for n in range(80)]
    db = items_db.db
    together = db.search_many(queries)
    assert len(together) == 80
    for query, results in zip(queries, together, strict=True):
        assert [r.item_id for r in results] == [r.item_id for r in db.search(query)]


def test_a_wrong_query_among_many_costs_itself(items_db: SyntheticItems) -> None:
    queries = [
        Query("fine"),
        Query("x", where="prize < 3"),
        Query(items=["nobody"]),
        Query("CAST", where="CAST(title AS INT) > 3"),
    ]
    answers = items_db.db.search_many([*queries, Query("fine")], on_error="return")
    assert [isinstance(answer, FirstsightError) for answer in answers] == [False, True, True, True, False]
    assert answers[0] == answers[4]
    with pytest.raises(QueryError, match="'prize', which is no column"):
        items_db.db.search_many(queries)
