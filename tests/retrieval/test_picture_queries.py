"""Picture queries: compared with fused vectors, pictures and frames; exact, with copies first and of relevance 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstsight import Query
from firstsight.encoders.base import unit
from firstsight.retrieval.ranking.relevance import COPY_COSINE
from tests.retrieval.synthetic_items import DIM, SyntheticEncoder, SyntheticItems, picture_of

Vector = np.ndarray[Any, Any]
FILTERS: dict[str, tuple[str | None, Callable[[dict[str, Any]], bool]]] = {
    "all": (None, lambda row: True),
    "most": ("price >= 10", lambda row: row["price"] >= 10),
    "4 of 2,000": ("rare", lambda row: row["rare"]),
    "none": ("price < 0", lambda row: False),
}


@pytest.fixture(scope="module")
def items_db(tmp_path_factory: pytest.TempPathFactory) -> SyntheticItems:
    return SyntheticItems(tmp_path_factory.mktemp("items_db") / "db")


def random_vector(seed: int) -> Vector:
    vector: Vector = unit(np.random.default_rng(seed).normal(size=(1, DIM)))[0]
    return vector


def add_items(items_db: SyntheticItems, rows: dict[str, dict[str, list[Vector]]]) -> None:
    """Add items with the given views, by part; their fused vectors are the means of all views."""
    template = items_db.store.items.search().limit(1).to_list()[0]
    items, views = [], []
    for item_id, parts in rows.items():
        vectors = [(part, vector) for part, of_part in parts.items() for vector in of_part]
        fused = unit(np.sum([vector for _, vector in vectors], axis=0)[None])[0]
        items.append({name: template[name] for name in template if not name.startswith("_")})
        items[-1] |= {"item_id": item_id, "title": item_id, "vector": fused}
        for n, (part, vector) in enumerate(vectors):
            view = {"view_id": f"{item_id}#{part}-{n}", "item_id": item_id, "part": part, "vector": vector}
            views.append(view | {"uri": None if part == "title" else f"{item_id}-{n}.jpg"})
    with items_db.store.writing():
        items_db.store.write_views(views, replaced=[])
        items_db.store.write_items(items)


def own_pictures(items_db: SyntheticItems, item_id: str) -> list[Vector]:
    return [vector for part, vector in items_db.views[item_id] if part in {"image", "frame"}]


# ---- which items, in which order


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("minus", [(), ("avoid this",)])
def test_a_picture_query_ranks_as_a_comparison_with_every_row(
    items_db: SyntheticItems, name: str, minus: tuple[str, ...]
) -> None:
    where, passes = FILTERS[name]
    query = random_vector(1)
    avoided = SyntheticEncoder().encode_texts(list(minus)) if minus else np.zeros((1, DIM))
    scores = {i: score for i, score in items_db.best_of_vector(query, "best") if passes(items_db.rows[i])}
    penalties = {i: 0.5 * max(0.0, float((avoided @ items_db.items[i]).max())) for i in scores}
    expected = sorted(scores, key=lambda item_id: penalties[item_id] - scores[item_id])[:40]
    found = items_db.db.search(image=picture_of(query), where=where, minus=minus, k=40)
    assert [result.item_id for result in found] == expected
    assert [result.score for result in found] == pytest.approx([scores[i] for i in expected], abs=1e-5)


def test_any_picture_or_frame_of_an_item_finds_it_first_with_relevance_1(items_db: SyntheticItems) -> None:
    db = items_db.db
    chosen = [f"i{n:05d}" for n in range(0, 2_000, 97)]
    pictures = [(item_id, vector) for item_id in chosen for vector in own_pictures(items_db, item_id)]
    answers = db.search_many([Query(images=[picture_of(vector)], k=3) for _, vector in pictures])
    for (item_id, vector), results in zip(pictures, answers, strict=True):
        assert (results[0].item_id, results[0].relevance) == (item_id, 1.0)
        assert results[1].relevance < 1
        assert results[0].view is not None
        assert results[0].view.score == pytest.approx(1.0, abs=1e-5)
        place = next(n for n, (_, view) in enumerate(items_db.views[item_id]) if view is vector)
        assert results[0].view.view_id == f"{item_id}#{items_db.views[item_id][place][0]}-{place}"
        assert results[0].picture == results[0].view


def test_the_part_can_still_be_chosen(items_db: SyntheticItems) -> None:
    query = random_vector(2)
    for part in ("item", "title", "image", "frame", "any", "best"):
        expected = [item_id for item_id, _ in items_db.best_of_vector(query, part)[:20]]
        found = items_db.db.search(image=picture_of(query), part=part, k=20)
        assert [result.item_id for result in found] == expected


def test_queries_of_other_kinds_compare_whole_items_and_moments(items_db: SyntheticItems) -> None:
    picture = picture_of(random_vector(3))
    queries: list[dict[str, Any]] = [
        {"text": "thing 17"},
        {"text": "thing 17", "minus": ["avoid"], "where": "price > 5"},
        {"text": "thing 17", "images": [picture]},
        {"items": ["i00003"], "images": [picture]},
    ]
    db = items_db.db
    for query in queries:
        mode = Query(**query).resolved_mode
        assert db.search(Query(**query, k=30)) == db.search(Query(**query, k=30, part="moment", mode=mode))


def test_an_item_without_pictures_is_found_by_its_fused_vector(tmp_path: Path) -> None:
    items_db = SyntheticItems(tmp_path / "db", 200)
    query = random_vector(4)
    add_items(items_db, {"words": {"title": [query]}})
    result = items_db.db.search(image=picture_of(query), k=1)[0]
    assert result.item_id == "words"
    assert result.view is not None
    assert (result.view.part, result.picture) == ("title", None)


def test_a_title_equal_to_the_picture_does_not_count_as_its_view(tmp_path: Path) -> None:
    items_db = SyntheticItems(tmp_path / "db", 200)
    query = random_vector(5)
    # many titles are nearer to the query than every picture, so the first rows read hold titles only
    pictures = unit(-query + 0.5 * np.array([random_vector(1_000 + n) for n in range(300)]))
    rows = {f"title-{n:03d}": {"title": [query], "image": [pictures[n]]} for n in range(300)}
    add_items(items_db, rows)
    scores = dict(items_db.best_of_vector(query, "best"))
    fused = unit(query + pictures) @ query
    scores |= {item_id: max(float(fused[n]), float(pictures[n] @ query)) for n, item_id in enumerate(rows)}
    expected = sorted(scores, key=lambda item_id: -scores[item_id])
    found = items_db.db.search(image=picture_of(query), k=60)
    assert [result.item_id for result in found] == expected[:60]
    assert found[0].relevance < 1


# ---- copies


def shared_picture(items_db: SyntheticItems, copies: int) -> Vector:
    """Add items that share a picture: copy-000 has nothing else; later ones have more of another title."""
    query, other = random_vector(6), random_vector(7)
    rows = {
        f"copy-{n:03d}": {"image": [query], "title": [other] * min(n, 40)} if n else {"image": [query]}
        for n in range(copies)
    }
    add_items(items_db, rows)
    return query


def test_items_that_share_the_picture_are_ordered_by_their_whole_then_by_id(tmp_path: Path) -> None:
    items_db = SyntheticItems(tmp_path / "db", 300)
    query = shared_picture(items_db, 150)
    db = items_db.db
    # from copy-040 on, all vectors are equal
    expected = [f"copy-{n:03d}" for n in range(150)]
    whole = db.search(image=picture_of(query), k=200)
    assert [result.item_id for result in whole][:150] == expected
    assert [result.relevance for result in whole][:150] == [1.0] * 150
    assert whole[150].relevance < 1
    pages = [r.item_id for n in range(0, 200, 40) for r in db.search(image=picture_of(query), k=40, offset=n)]
    assert pages == [result.item_id for result in whole]


def test_rounding_of_the_encoder_leaves_a_copy_a_copy(tmp_path: Path) -> None:
    items_db = SyntheticItems(tmp_path / "db", 300)
    query, other = random_vector(8), random_vector(9)
    across = unit((random_vector(10) - (random_vector(10) @ query) * query)[None])[0]
    rounded = unit((query + 0.01 * across)[None])[0]  # cosine .99995
    changed = unit((query + 0.05 * across)[None])[0]  # cosine .9988: another file
    add_items(items_db, {"rounded": {"image": [rounded]}, "exact": {"image": [query], "title": [other]}})
    add_items(items_db, {"changed": {"image": [changed]}})
    found = items_db.db.search(image=picture_of(query), k=3)
    # rounding does not decide: the item that is only this picture comes first
    assert [result.item_id for result in found] == ["rounded", "exact", "changed"]
    assert [result.relevance for result in found[:2]] == [1.0, 1.0]
    assert COPY_COSINE < found[0].score < found[1].score
    assert 0.5 < found[2].relevance < 1
    copies = items_db.db.search(image=picture_of(query), min_relevance=1, k=10)
    assert [result.item_id for result in copies] == ["rounded", "exact"]


def test_a_minus_term_still_lowers_a_copy(tmp_path: Path) -> None:
    items_db = SyntheticItems(tmp_path / "db", 300)
    query = random_vector(11)
    add_items(items_db, {"avoided": {"image": [query]}, "kept": {"image": [query], "title": [-query, -query]}})
    found = items_db.db.search(image=picture_of(query), minus_images=[picture_of(query)], minus_weight=1.0, k=300)
    order = [result.item_id for result in found]
    assert order[0] == "kept"
    assert order.index("avoided") > 100


# ---- with other settings


def test_pages_thresholds_and_groups_are_cut_from_one_ranking(items_db: SyntheticItems) -> None:
    query = random_vector(12)
    scores = items_db.best_of_vector(query, "best")
    db, image = items_db.db, picture_of(query)
    first = db.search(image=image, k=70)
    second = db.search(image=image, k=70, offset=70, snapshot=first.snapshot)
    assert [r.item_id for r in [*first, *second]] == [item_id for item_id, _ in scores[:140]]
    passing = [item_id for item_id, score in scores if score >= 0.6]
    assert 20 < len(passing) < 1_000
    assert [r.item_id for r in db.search(image=image, min_score=0.6, k=2_000)] == passing
    groups: dict[object, str] = {}
    for item_id, _ in scores:
        groups.setdefault(items_db.rows[item_id]["group"] or item_id, item_id)
    assert [r.item_id for r in db.search(image=image, collapse="group", k=30)] == list(groups.values())[:30]
    diverse = [r.item_id for r in db.search(image=image, diversity=0.5, k=40)]
    assert diverse[0] == scores[0][0]
    assert diverse == [r.item_id for n in (0, 20) for r in db.search(image=image, diversity=0.5, k=20, offset=n)]


def test_relevance_falls_with_the_rank_and_agrees_with_its_threshold(items_db: SyntheticItems) -> None:
    image = picture_of(own_pictures(items_db, "i00042")[0])
    found = items_db.db.search(image=image, k=300)
    relevances = [result.relevance for result in found]
    assert relevances == sorted(relevances, reverse=True)
    for place in (0, 3, 50):
        passing = items_db.db.search(image=image, min_relevance=relevances[place], k=300)
        assert [r.item_id for r in passing] == [r.item_id for r in found if r.relevance >= relevances[place]]


def test_picture_queries_in_a_batch_are_answered_as_each_alone(items_db: SyntheticItems) -> None:
    kinds: list[dict[str, Any]] = [{}, {"part": "item"}, {"part": "any"}, {"where": "price < 30"}, {"k": 150}]
    vectors = [random_vector(seed) for seed in range(20, 40)]
    queries = [Query(images=[picture_of(v)], **{"k": 9} | kinds[n % 5]) for n, v in enumerate(vectors)]
    queries += [Query("thing 4", k=9), Query(items=["i00005"], k=9)]
    together = items_db.db.search_many(queries)
    assert together == [items_db.db.search(query) for query in queries]


def test_several_pictures_count_by_their_weights(items_db: SyntheticItems) -> None:
    one, two = random_vector(13), random_vector(14)
    mixed = unit((2 * one + 0.5 * two)[None])[0]
    found = items_db.db.search(images=[picture_of(one), picture_of(two)], image_weights=[2, 0.5], k=20)
    assert [r.item_id for r in found] == [item_id for item_id, _ in items_db.best_of_vector(mixed, "best")[:20]]


@pytest.mark.parametrize("where", [None, "price < 50"])
def test_blocked_items_stay_out(tmp_path: Path, where: str | None) -> None:
    items_db = SyntheticItems(tmp_path / "db", 1_200)
    items_db.store.add_columns({"safety_decision": "text"})
    query = random_vector(15)
    order = [i for i, _ in items_db.best_of_vector(query, "best") if where is None or items_db.rows[i]["price"] < 50]
    blocked = order[::2][:100]
    with items_db.store.writing():
        ids = ", ".join(f"'{item_id}'" for item_id in blocked)
        items_db.store.items.update(where=f"item_id IN ({ids})", values={"safety_decision": "block"})
    found = items_db.db.search(image=picture_of(query), where=where, k=60)
    assert [r.item_id for r in found] == [item_id for item_id in order if item_id not in blocked][:60]
    every = items_db.db.search(image=picture_of(query), where=where, include_blocked=True, k=60)
    assert [r.item_id for r in every] == order[:60]
