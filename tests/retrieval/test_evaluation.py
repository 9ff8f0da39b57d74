"""Evaluation: reading judgements, measures, significance, and queries generated from the catalogue."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import firstsight
from firstsight.encoders.base import EncoderSpec, unit
from firstsight.errors import QueryError
from firstsight.retrieval.evaluation.catalogue_queries import build_catalogue_tasks, nearest_by_views
from firstsight.retrieval.evaluation.judgements import JudgedQuery, read_events, read_judgements
from firstsight.retrieval.evaluation.search_evaluation import (
    ModeRankings,
    SearchTask,
    evaluate,
    measure,
    score,
)
from firstsight.retrieval.evaluation.significance import holm, paired_p_value
from firstsight.retrieval.pages.search_evaluation_page import worst_queries
from firstsight.storage.store import Store

SAMPLE = Path(__file__).parents[2] / "sample_media"


@pytest.fixture(scope="module")
def db(sample_db: Path) -> firstsight.Database:
    return firstsight.open(sample_db)


# ---- judgements


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("j.csv", "query_id,query,item_id,grade\n1,red shoe,a,2\n1,red shoe,b,0\n2,mug,7,1\n"),
        ("j.tsv", "qid\tquery\titem\trelevance\n1\tred shoe\ta\t2\n1\tred shoe\tb\t0\n2\tmug\t7\t1\n"),
        (
            "j.jsonl",
            '{"query_id": 1, "query": "red shoe", "item_id": "a", "grade": 2}\n'
            '{"query_id": 1, "query": "red shoe", "item_id": "b", "grade": 0}\n'
            '{"query_id": 2, "query": "mug", "item_id": 7, "grade": 1.0}\n',
        ),
    ],
)
def test_judgements_are_the_same_in_every_format(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert read_judgements(path) == [
        JudgedQuery("1", "red shoe", None, {"a": 2, "b": 0}),
        JudgedQuery("2", "mug", None, {"7": 1}),
    ]


def test_a_query_picture_starts_at_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "j.csv").write_text("image,item_id,grade\nq/cat.jpg,a,1\nhttps://shop.example/q.jpg,a,1\n")
    one, two = read_judgements(tmp_path / "j.csv")
    assert one.image == str(tmp_path / "q" / "cat.jpg")
    assert two.image == "https://shop.example/q.jpg"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query": "x", "item_id": "a"}, "line 2: it has no grade; give 0"),
        ({"query": "x", "item_id": "a", "grade": -1}, "line 2: grade -1 is not a whole number from 0 to 100"),
        ({"query": "x", "item_id": "a", "grade": 0.5}, "grade 0.5 is not a whole"),
        ({"query": "x", "item_id": "a", "grade": "good"}, "grade 'good' is not a whole"),
        ({"query": "x", "item_id": "a", "grade": float("inf")}, "is not a whole"),
        ({"query": "x", "grade": 1}, "line 2: it has no item_id"),
        ({"item_id": "a", "grade": 1}, "line 2: it has no query"),
        ({"query": "x", "image": "y.jpg", "item_id": "a", "grade": 1}, "give one of them"),
        ({"query": "ok", "item_id": "ok", "grade": 2}, "item 'ok' has grade 1 above and 2 here"),
        ({"query_id": "ok", "query": "other", "item_id": "a", "grade": 1}, "query_id 'ok' is 'ok' above"),
    ],
)
def test_a_bad_row_is_named_with_its_line_and_the_remedy(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text(json.dumps({"query": "ok", "item_id": "ok", "grade": 1}) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(QueryError) as caught:
        read_judgements(path)
    assert said in str(caught.value)
    assert "1 invalid rows; correct or remove them" in str(caught.value)


def test_of_many_bad_rows_ten_are_named(tmp_path: Path) -> None:
    (tmp_path / "j.csv").write_text("query,item_id,grade\n" + "x,a,bad\n" * 13)
    with pytest.raises(QueryError, match=r"line 11: (.|\n)* and 3 more$"):
        read_judgements(tmp_path / "j.csv")


@pytest.mark.parametrize(("name", "said"), [("none.csv", "there is no file"), ("j.txt", "'.txt' is not supported")])
def test_a_file_that_is_no_judgements_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "j.txt").write_text("x")
    with pytest.raises(QueryError, match=said):
        read_judgements(tmp_path / name)


def test_events_become_the_strongest_grade_they_show(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("query,item_id,event\nx,a,impression\nx,a,purchase\nx,a,click\nx,b,impression\n")
    assert read_events(path) == [JudgedQuery("x", "x", None, {"a": 3, "b": 0})]
    path.write_text("query,item_id,event\nx,a,teleport\n")
    with pytest.raises(QueryError, match="line 2: event 'teleport' is not one of impression"):
        read_events(path)


def test_a_weight_says_what_an_event_of_any_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("query,item_id,event,weight\nx,a,teleport,7\nx,a,click,2\nx,b,click,\n")
    assert read_events(path) == [JudgedQuery("x", "x", None, {"a": 7, "b": 1})]
    path.write_text("query,item_id,weight\nx,a,0.5\n")
    with pytest.raises(QueryError, match=r"line 2: weight .* is not a whole number from 0 to 100"):
        read_events(path)


# ---- measures


def query(name: str, **grades: int) -> JudgedQuery:
    return JudgedQuery(name, name, None, grades)


def test_the_measures_are_those_of_the_textbook() -> None:
    (values,) = score([query("q", a=3, b=1, c=0)], [["c", "a", "x"]], 3)
    ideal = 3 / math.log2(2) + 1 / math.log2(3)
    assert values["ndcg"] == pytest.approx(3 / math.log2(3) / ideal)
    assert values["rr"] == pytest.approx(1 / 2)
    assert values["recall"] == pytest.approx(1 / 2)
    assert values["p"] == pytest.approx(1 / 3)


def test_a_query_that_found_nothing_scores_zero() -> None:
    assert score([query("q", a=1)], [[]], 10) == [{"ndcg": 0.0, "rr": 0.0, "recall": 0.0, "p": 0.0}]


def test_our_order_counts_and_not_the_names_of_the_items() -> None:
    for order in (["a", "z"], ["z", "a"]):
        assert score([query("q", a=1)], [order], 2)[0]["rr"] == 1 / (order.index("a") + 1)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=12).filter(any),
    st.integers(1, 15),
    st.randoms(use_true_random=False),
)
def test_the_ideal_order_has_an_ndcg_of_one_and_no_order_more(grades: list[int], k: int, random: Any) -> None:
    judged = query("q", **{f"i{n}": grade for n, grade in enumerate(grades)})
    ideal = sorted(judged.grades, key=lambda item_id: -judged.grades[item_id])
    shuffled = random.sample(ideal, len(ideal))
    best, other = score([judged, judged], [ideal, shuffled], k)
    assert best["ndcg"] == pytest.approx(1.0)
    assert 0.0 <= other["ndcg"] <= 1.0 + 1e-9


def test_the_p_value_is_exact_for_few_queries() -> None:
    assert paired_p_value([1.0] * 6, [0.0] * 6) == pytest.approx(2 / 2**6)
    assert paired_p_value([0.5, 0.2], [0.5, 0.2]) == 1.0
    assert paired_p_value([1.0], [0.0]) == 1.0


@pytest.mark.slow
def test_the_p_value_is_uniform_where_nothing_differs_and_small_where_something_does() -> None:
    random = np.random.default_rng(3)
    same = [paired_p_value(a, a + random.normal(0, 0.1, 12)) for a in random.random((60, 12))]
    assert 0.01 <= np.mean(np.array(same) < 0.1) <= 0.25
    scores = random.random(80)
    assert paired_p_value(scores + random.normal(0.1, 0.05, 80), scores) < 0.001


def test_holms_correction_is_that_of_his_paper() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def task_of(*found: tuple[str, list[list[str]]]) -> SearchTask:
    queries = [query(f"q{n}", a=1) for n in range(len(found[0][1]))]
    rankings = [ModeRankings(mode, [tuple(ids) for ids in lists]) for mode, lists in found]
    return measure(queries, rankings, k=2, name="t", about="")


def test_modes_are_compared_in_pairs_and_the_better_one_is_named() -> None:
    task = task_of(("bad", [["b"]] * 12), ("good", [["a"]] * 12), ("same", [["a"]] * 12))
    assert task.best.mode == "good"
    pairs = {(c.better, c.worse): c for c in task.comparisons}
    assert set(pairs) == {("good", "bad"), ("same", "bad"), ("good", "same")}
    assert pairs["good", "bad"].difference == pytest.approx(1.0)
    assert pairs["good", "bad"].p_holm == pytest.approx(3 * pairs["good", "bad"].p)
    assert pairs["good", "same"].p == 1.0


def test_the_worst_queries_are_those_of_the_best_mode_and_no_perfect_one() -> None:
    task = task_of(("m", [["a"], ["b", "a"], ["b"]]))
    assert [outcome.query.query_id for outcome in worst_queries(task)] == ["q2", "q1"]


# ---- over a database


def test_judged_queries_by_text_and_by_picture(db: firstsight.Database) -> None:
    asked = [
        query("red running shoes", **{"sneakers-red": 2}),
        JudgedQuery("p", None, str(SAMPLE / "queries" / "guitar.jpg"), {"guitar-acoustic": 1}),
        query("nothing is wanted", **{"sneakers-red": 0}),
    ]
    task = evaluate(db, asked, known=lambda ids: {"sneakers-red"})
    assert [outcome.query.query_id for outcome in task.modes[0].outcomes] == ["red running shoes", "p"]
    assert task.modes[0].outcomes[0].values["rr"] == 1.0
    assert task.modes[0].outcomes[0].item_ids == tuple(
        r.item_id for r in db.search("red running shoes", k=10, mode="vector")
    )
    assert "1 queries are skipped" in task.notes[0]
    assert "1 of 2 relevant items are not in the database (such as guitar-acoustic)" in task.notes[1]


def test_what_cannot_be_evaluated_says_why(db: firstsight.Database) -> None:
    with pytest.raises(QueryError, match="no query has an item with a grade above 0"):
        evaluate(db, [query("x", a=0)])
    with pytest.raises(QueryError, match=r"the picture of query 'p' cannot be used: .*truncated"):
        evaluate(db, [JudgedQuery("p", None, str(SAMPLE / "pictures" / "broken-teapot.jpg"), {"a": 1})])
    with pytest.raises(QueryError, match="mode 'vector' is not one of"):
        evaluate(db, [query("x", a=1)], modes=["vector", "vector"])


def test_the_smoke_evaluation_beats_chance_on_the_sample(db: firstsight.Database, sample_db: Path) -> None:
    titles, pictures, groups = build_catalogue_tasks(db, Store.open(sample_db))
    for task in (titles, pictures, groups):
        assert task.chance is not None
        assert task.modes[0].means["recall"] > 3 * task.chance
    assert len(titles.modes[0].outcomes) == 74
    assert "all 3 items with two pictures or more" in pictures.notes
    red = next(outcome for outcome in groups.modes[0].outcomes if outcome.query.text == "red shoes")
    assert "sneakers-red" in red.query.relevant_items


@pytest.mark.slow
def test_queries_are_drawn_by_the_seed_alone(db: firstsight.Database, sample_db: Path) -> None:
    store = Store.open(sample_db)

    def drawn(seed: int) -> list[str]:
        return [o.query.query_id for o in build_catalogue_tasks(db, store, queries=8, seed=seed)[0].modes[0].outcomes]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert len(drawn(0)) == 8


# ---- exactness, on synthetic vectors


@pytest.fixture
def synthetic(tmp_path: Path) -> Store:
    """300 items with one title and up to six pictures each, of 16 dimensions."""
    random = np.random.default_rng(0)
    store = Store.create(tmp_path / "db", EncoderSpec("synthetic", 16, 8, "0" * 64))
    now = datetime.now(UTC)
    items, views = [], []
    for n in range(300):
        vectors = unit(random.normal(size=(1 + n % 7, 16)))
        item_id = f"it'em {n}"
        row = {"item_id": item_id, "kind": "product", "title": f"title {n // 2}", "vector": vectors[0], "digest": "d"}
        items.append(row | {"row_digest": "r", "catalog_dir": "/nowhere", "indexed_at": now, "run_id": "1"})
        for place, vector in enumerate(vectors):
            part = "image" if place else "title"
            views.append(
                {"view_id": f"{item_id}#{part}{place}", "item_id": item_id, "part": part, "vector": vector}
                | {"uri": f"p{place}.jpg" if place else None, "time_s": None}
            )
    store.write_views(views, [])
    store.write_items(items)
    return store


@pytest.mark.parametrize("batch", [7, 10_000])
def test_the_nearest_by_views_are_those_of_a_comparison_with_every_view(
    synthetic: Store, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("firstsight.retrieval.evaluation.catalogue_queries.BATCH", batch)
    queries = unit(np.random.default_rng(1).normal(size=(5, 16)))
    rows = [r for r in synthetic.views.search().limit(None).to_arrow().to_pylist() if r["part"] == "image"]
    excluded_views = [rows[n]["view_id"] for n in range(5)]
    for query_vector, without, found in zip(
        queries, excluded_views, nearest_by_views(synthetic, queries, 12, "part = 'image'", excluded_views), strict=True
    ):
        best: dict[str, float] = {}
        for row in rows:
            if row["view_id"] != without:
                value = float(np.float32(row["vector"]) @ query_vector)
                best[row["item_id"]] = max(value, best.get(row["item_id"], -2.0))
        assert found == tuple(sorted(best, key=lambda item_id: -best[item_id])[:12])


def test_items_of_one_title_answer_it_alike(synthetic: Store) -> None:
    class Nothing:
        def search_many(
            self, queries: Sequence[firstsight.Query], *, reranker: int | None = None, on_error: str
        ) -> list[firstsight.SearchResults | firstsight.FirstsightError]:
            raise AssertionError("no group columns, so nothing is searched")

    titles, pictures = build_catalogue_tasks(Nothing(), synthetic, queries=400)
    wanted = {o.query.text: set(o.query.relevant_items) for o in titles.modes[0].outcomes}
    assert wanted["title 1"] == {"it'em 2", "it'em 3"}
    assert wanted["title 0"] == {"it'em 1"}  # item 0 has no picture
    assert len(pictures.modes[0].outcomes) == sum(n % 7 >= 2 for n in range(300))
