"""Queries of several parts, with the real encoder over the sample catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import firstsight
from firstsight import Query
from firstsight.errors import FirstsightError, MediaError
from firstsight.retrieval.query import Mode, PartChoice

SAMPLE = Path(__file__).parents[2] / "sample_media"
GUITAR = str(SAMPLE / "queries" / "guitar.jpg")
TEA = str(SAMPLE / "queries" / "tea-time.mp4")


@pytest.fixture(scope="module")
def db(sample_db: Path) -> firstsight.Database:
    return firstsight.open(sample_db)


def ids(results: Iterable[firstsight.SearchResult]) -> list[str]:
    return [result.item_id for result in results]


@pytest.mark.slow
def test_a_query_of_several_parts_is_their_weighted_sum(db: firstsight.Database) -> None:
    text, image = db.encoder.encode_texts(["red"])[0], db.encoder.encode_images([GUITAR])[0]
    item = db.get("violin").vector
    assert item is not None
    wanted = 2 * text + 0.5 * image + 1 * item
    wanted /= np.linalg.norm(wanted)
    query = Query("red", text_weight=2, images=[GUITAR], image_weights=[0.5], items=["violin"], part="item", k=20)
    for result in db.search(query):
        assert result.score == pytest.approx(float(db.get(result.item_id).vector @ wanted), abs=1e-4)


def test_weights_of_1_and_0_equal_the_single_query(db: firstsight.Database) -> None:
    both = Query("red shoes", images=[GUITAR], mode="vector", k=75)
    only_text = Query("red shoes", images=[GUITAR], image_weights=[0], mode="vector", k=75)
    only_image = Query("red shoes", text_weight=0, images=[GUITAR], image_weights=[3], mode="vector", k=75)
    assert ids(db.search(only_text)) == ids(db.search("red shoes", mode="vector", k=75))
    assert ids(db.search(only_image)) == ids(db.search(image=GUITAR, k=75))
    assert ids(db.search(both)) not in (ids(db.search(only_text)), ids(db.search(only_image)))


def test_the_order_of_the_parts_does_not_matter(db: firstsight.Database) -> None:
    shoe = str(SAMPLE / "pictures" / "sneakers-red.jpg")
    one = Query(images=[GUITAR, shoe], image_weights=[1, 2], items=["violin", "tent"], minus=["a", "b"], k=75)
    other = Query(images=[shoe, GUITAR], image_weights=[2, 1], items=["tent", "violin"], minus=["b", "a"], k=75)
    assert ids(db.search(one)) == ids(db.search(other))


def test_an_image_and_a_text_find_what_has_both(db: firstsight.Database) -> None:
    found = db.search("electric", image=GUITAR, k=3)
    assert all("guitar" in (result.title or "").lower() for result in found)


def test_what_is_avoided_moves_down_and_the_rest_keeps_its_order(db: firstsight.Database) -> None:
    before = ids(db.search("red running shoes", k=10))
    after = ids(db.search("red running shoes", minus=["green running shoes"], k=10))
    assert before.index("sneakers-green") == 1
    assert after.index("sneakers-green") > before.index("sneakers-green")
    assert after[0] == "sneakers-red"
    rest = [item_id for item_id in before if item_id != "sneakers-green" and item_id in after]
    shoes = [item_id for item_id in rest if item_id.startswith("sneakers")]
    assert [item_id for item_id in after if item_id in shoes] == shoes


def test_avoiding_a_picture_moves_it_down(db: firstsight.Database) -> None:
    shown = str(next((SAMPLE / "pictures").glob("guitar-acoustic*")))
    before = ids(db.search("guitar", mode="vector", k=75))
    after = ids(db.search("guitar", mode="vector", minus_images=[shown], minus_weight=1, k=75))
    assert after.index("guitar-acoustic") > before.index("guitar-acoustic")


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_a_penalty_of_no_weight_changes_nothing(db: firstsight.Database, mode: Mode) -> None:
    plain = db.search("red shoes", mode=mode, k=75)
    assert db.search("red shoes", mode=mode, minus=["shoes"], minus_weight=0, k=75) == plain


def test_avoiding_the_query_itself_does_not_turn_it_around(db: firstsight.Database) -> None:
    """A subtraction would give the zero vector, or the opposite direction."""
    plain = ids(db.search("guitar", mode="vector", k=5))
    assert ids(db.search("guitar", mode="vector", minus=["guitar"], minus_weight=0.9, k=5)) == plain


@pytest.mark.slow
def test_a_query_video_is_the_mean_of_its_frames_and_can_be_weighed(db: firstsight.Database) -> None:
    both = Query("tea", videos=[TEA], video_weights=[0.3], k=3)
    assert ids(db.search(both))
    assert ids(db.search(Query("x", text_weight=0, videos=[TEA], k=9))) == ids(db.search(video=TEA, k=9))


def test_items_that_are_asked_with_are_left_out_in_every_mode(db: firstsight.Database) -> None:
    modes: tuple[Mode, ...] = ("vector", "hybrid")
    for mode in modes:
        assert not {"violin", "guitar-acoustic"} & set(
            ids(db.search(Query("violin", items=["violin", "guitar-acoustic"], mode=mode, k=75)))
        )


def test_a_broken_picture_among_many_queries_costs_its_query(db: firstsight.Database) -> None:
    broken = str(SAMPLE / "pictures" / "broken-teapot.jpg")
    queries = [Query(images=[GUITAR], k=1), Query(images=[broken]), Query(images=[GUITAR], k=1)]
    answers = db.search_many(queries, on_error="return")
    assert isinstance(answers[1], MediaError)
    for answer in (answers[0], answers[2]):
        assert not isinstance(answer, FirstsightError)
        assert ids(answer) == ids(db.search(image=GUITAR, k=1))


@pytest.mark.parametrize("part", ["title", "image", "frame", "any"])
def test_a_part_is_searched_by_its_best_view(db: firstsight.Database, part: PartChoice) -> None:
    query = db.encoder.encode_texts(["a cat"])[0]
    found = db.search("a cat", part=part, k=5)
    assert found
    for result in found:
        views = [view for view in db.get(result.item_id).views if part in {"any", view.part}]
        assert result.score == pytest.approx(max(float(view.vector @ query) for view in views), abs=1e-4)
        assert result.view is not None
        assert part in {"any", result.view.part}
