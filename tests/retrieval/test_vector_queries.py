"""Search by a vector: exact, without the encoder, with every other part and setting of a query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firstsight
from firstsight import Query
from firstsight.encoders.base import unit
from firstsight.errors import QueryError
from tests.retrieval.synthetic_items import DIM, SPEC, SyntheticEncoder, SyntheticItems, picture_of

Vector = np.ndarray[Any, Any]


class SpecAlone:
    """An encoder that fails when it encodes."""

    spec = SPEC

    def encode_texts(self, texts: Any) -> Any:
        raise AssertionError("a vector needs no encoder")

    encode_images = encode_texts


@pytest.fixture(scope="module")
def items_db(tmp_path_factory: pytest.TempPathFactory) -> SyntheticItems:
    return SyntheticItems(tmp_path_factory.mktemp("items_db") / "db")


def random_vector(seed: int) -> Vector:
    vector: Vector = unit(np.random.default_rng(seed).normal(size=(1, DIM)))[0]
    return vector


def ids(results: Any) -> list[str]:
    return [result.item_id for result in results]


@pytest.mark.parametrize("part", ["item", "title", "image", "frame", "any", "best", None])
def test_the_ranking_is_that_of_a_comparison_with_every_row(items_db: SyntheticItems, part: Any) -> None:
    vector = random_vector(1)
    expected = items_db.best_of_vector(vector, part or "best")[:50]
    found = items_db.db.search(Query(vectors=[7 * vector], part=part, k=50))
    assert ids(found) == [item_id for item_id, _ in expected]
    assert [result.score for result in found] == pytest.approx([score for _, score in expected], abs=1e-5)


@pytest.mark.parametrize("part", ["item", None])
def test_the_vector_of_an_item_finds_it_first_with_score_1(items_db: SyntheticItems, part: Any) -> None:
    chosen = [f"i{n:05d}" for n in range(0, 2_000, 97)]
    answers = items_db.db.search_many([Query(vectors=[items_db.items[item_id]], part=part, k=2) for item_id in chosen])
    for item_id, results in zip(chosen, answers, strict=True):
        assert results[0].item_id == item_id
        assert results[0].score == pytest.approx(1.0, abs=1e-6)
        assert results[0].relevance > results[1].relevance


def test_by_default_the_vector_of_a_picture_finds_its_item(items_db: SyntheticItems) -> None:
    pictures = [(i, v) for i in ("i00005", "i00777") for part, v in items_db.views[i] if part != "title"]
    answers = items_db.db.search_many([Query(vectors=[vector], k=1) for _, vector in pictures])
    assert [results[0].item_id for results in answers] == [item_id for item_id, _ in pictures]
    views = [results[0].view for results in answers]
    assert all(view is not None and view.score == pytest.approx(1, abs=1e-5) for view in views)


def test_a_vector_needs_no_encoder(items_db: SyntheticItems) -> None:
    db = firstsight.open(items_db.path, encoder=SpecAlone())
    vector = random_vector(2)
    found = db.search(Query(vectors=[vector], items=["i00001"], where="price > 5"))
    assert ids(found) == ids(items_db.db.search(Query(vectors=[vector], items=["i00001"], where="price > 5")))


def test_the_encoder_is_not_loaded(items_db: SyntheticItems, monkeypatch: pytest.MonkeyPatch) -> None:
    # the database names an encoder that cannot be loaded
    db = firstsight.open(items_db.path)
    assert len(db.search(Query(vectors=[random_vector(3)]))) == 10
    with pytest.raises(firstsight.FirstsightError, match="drawn"):
        db.search("a text")


@pytest.mark.parametrize("vector", [[1.0, 2.0, 3.0], np.ones(DIM + 1)])
def test_a_vector_of_another_dimension_is_refused_before_the_encoder_is_loaded(
    items_db: SyntheticItems, vector: Any
) -> None:
    db = firstsight.open(items_db.path, encoder=SpecAlone())
    with pytest.raises(QueryError) as caught:
        db.search(Query("shoes", vectors=[np.ones(DIM), vector]))
    assert str(caught.value) == (
        f"a vector of the query has dimension {len(vector)}, but those of the database have {DIM} (encoder drawn); "
        "give a vector that this encoder made"
    )


def test_the_error_of_one_query_does_not_affect_others(items_db: SyntheticItems) -> None:
    queries = [Query(vectors=[[1.0]]), Query(vectors=[random_vector(4)])]
    wrong, right = items_db.db.search_many(queries, on_error="return")
    assert isinstance(wrong, QueryError)
    assert not isinstance(right, firstsight.FirstsightError)
    assert len(right) == 10


def test_vectors_are_summed_with_the_other_parts_by_weight(items_db: SyntheticItems) -> None:
    vector, picture = random_vector(5), random_vector(6)
    text = SyntheticEncoder().encode_texts(["shoes"])[0]
    expected = unit(2 * text + 0.5 * picture + items_db.items["i00003"] + 3 * vector + random_vector(7))
    query = Query(
        "shoes",
        text_weight=2,
        images=[picture_of(picture)],
        image_weights=[0.5],
        items=["i00003"],
        vectors=[9 * vector, random_vector(7)],
        vector_weights=[3, 1],
        part="item",
        k=30,
    )
    wanted = [item_id for item_id, _ in items_db.best_of_vector(expected, "item") if item_id != "i00003"]
    assert ids(items_db.db.search(query)) == wanted[:30]


def test_an_equal_picture_or_item_gives_the_same_results(items_db: SyntheticItems) -> None:
    db, vector = items_db.db, random_vector(8)
    by_picture, by_vector = (
        db.search(Query(images=[picture_of(vector)], k=30)),
        db.search(Query(vectors=[vector], k=30)),
    )
    assert ids(by_picture) == ids(by_vector)
    by_item = db.search(Query(items=["i00009"], part="item", k=30))
    by_vector = db.search(Query(vectors=[items_db.items["i00009"]], part="item", k=31))
    assert ids(by_vector) == ["i00009", *ids(by_item)]
    # calibrated alike
    assert [result.relevance for result in by_vector[1:]] == pytest.approx([result.relevance for result in by_item])


def test_vectors_that_cancel_each_other_out_are_refused(items_db: SyntheticItems) -> None:
    vector = random_vector(9)
    with pytest.raises(QueryError, match="cancel each other out"):
        items_db.db.search(Query(vectors=[vector, -vector]))


def test_filters_thresholds_and_pages_hold(items_db: SyntheticItems) -> None:
    db, vector = items_db.db, random_vector(10)
    ranking = items_db.best_of_vector(vector, "best")
    dear = [item_id for item_id, _ in ranking if items_db.rows[item_id]["price"] >= 50]
    assert ids(db.search(Query(vectors=[vector], where="price >= 50", k=40))) == dear[:40]
    lowest = ranking[19][1] - 1e-6
    assert ids(db.search(Query(vectors=[vector], min_score=lowest, k=100))) == [i for i, _ in ranking[:20]]
    first = db.search(Query(vectors=[vector], k=15))
    assert first[7].relevance > first[12].relevance
    assert ids(db.search(Query(vectors=[vector], min_relevance=first[7].relevance, k=100))) == ids(first)[:8]
    rest = db.search(Query(vectors=[vector], k=15, offset=15, snapshot=first.snapshot))
    assert ids(first) + ids(rest) == [item_id for item_id, _ in ranking[:30]]
    assert not db.search(Query(vectors=[vector], kinds=["video"]))


def test_minus_terms_diversity_and_collapse_hold(items_db: SyntheticItems) -> None:
    db, vector = items_db.db, random_vector(11)
    avoided = SyntheticEncoder().encode_texts(["avoid"])[0]
    values = {
        i: s - 0.5 * max(0.0, float(avoided @ items_db.items[i])) for i, s in items_db.best_of_vector(vector, "best")
    }
    expected = sorted(values, key=lambda item_id: -values[item_id])
    assert ids(db.search(Query(vectors=[vector], minus=["avoid"], k=40))) == expected[:40]
    plain, diverse = (ids(db.search(Query(vectors=[vector], diversity=share, k=20))) for share in (0, 0.9))
    assert (plain[0], plain != diverse) == (diverse[0], True)
    groups = [result.columns["group"] for result in db.search(Query(vectors=[vector], collapse="group", k=100))]
    named = [group for group in groups if group is not None]
    assert len(named) == len(set(named))


# ---- with the real encoder


def test_a_text_or_picture_encoded_by_oneself_finds_the_same(sample_db: Path) -> None:
    db = firstsight.open(sample_db)
    text = db.encoder.encode_texts(["red running shoes"])[0]
    by_text = db.search("red running shoes", mode="vector", collapse="none", k=20)
    assert ids(db.search(Query(vectors=[text], part="item", collapse="none", k=20))) == ids(by_text)
    picture = Path(__file__).parents[2] / "sample_media" / "queries" / "guitar.jpg"
    vector = db.encoder.encode_images([picture])[0]
    assert ids(db.search(Query(vectors=[vector], k=20))) == ids(db.search(image=picture, k=20))


def test_moments_of_a_video_match_a_vector(sample_db: Path) -> None:
    db = firstsight.open(sample_db)
    frame = next(view for view in db.get("video-guitar-lesson").views if view.part == "frame")
    assert frame.time_s is not None
    first = db.search(Query(vectors=[frame.vector], moments=True, k=1))[0]
    assert first.item_id == "video-guitar-lesson"
    assert first.moments
    assert first.moments[0].start_s <= frame.time_s <= first.moments[0].end_s


def test_a_vector_with_a_text_in_mode_hybrid_also_counts_words(sample_db: Path) -> None:
    db = firstsight.open(sample_db)
    vector = db.get("guitar-acoustic").vector
    assert vector is not None
    found = db.search(Query("violin", vectors=[vector], mode="hybrid", k=5))
    assert "violin" in ids(found)
    assert all(result.score <= 1 for result in found)
