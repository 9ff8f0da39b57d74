"""Batches of pictures and phrases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.tuning.networks.phrase_batches import BatchDraw, PhraseBook, nearest_pictures
from firstsight.tuning.tuning_data import ClickedQuery, TuningData, TuningItem
from tests.tuning.networks.drawn_shapes import drawn_catalogue

DATA = drawn_catalogue(30)
BOOK = PhraseBook(DATA, range(30))


def _all_neighbours() -> np.ndarray:
    places = np.arange(30)
    return np.array([[other for other in places if other != place] for place in places])


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(0, 3))
def test_a_batch_has_its_size_and_exactly_the_true_pairs(step: int, size: int, hard: int) -> None:
    draw = BatchDraw(BOOK, size, hard, seed=3)
    draw.neighbours = _all_neighbours()
    batch = draw.batch(step)
    assert len(batch.pictures) == len(set(batch.pictures)) == min(size, 30)
    assert len(batch.texts) == len(set(batch.texts))
    for row, picture in enumerate(batch.pictures):
        true = set(DATA.items[picture].phrases.values())
        assert [bool(flag) for flag in batch.same[row]] == [text in true for text in batch.texts]
    assert batch.same.any(axis=1).all()
    assert batch.same.any(axis=0).all()


def test_a_pass_draws_every_picture_once() -> None:
    draw = BatchDraw(BOOK, 10, 0, seed=0)
    assert sorted(row for step in range(3) for row in draw.batch(step).pictures) == list(range(30))


def test_a_batch_depends_on_seed_and_step_only() -> None:
    first, again = BatchDraw(BOOK, 8, 0, seed=5), BatchDraw(BOOK, 8, 0, seed=5)
    first.batch(0)
    assert first.batch(7).pictures == again.batch(7).pictures
    assert first.batch(7).texts == again.batch(7).texts
    assert BatchDraw(BOOK, 8, 0, seed=6).batch(7).pictures != again.batch(7).pictures


def test_hard_negatives_are_the_nearest_pictures_without_the_phrase() -> None:
    draw = BatchDraw(BOOK, 3, 2, seed=0)
    draw.neighbours = _all_neighbours()
    for step in range(20):
        pictures = draw.batch(step).pictures
        first = pictures[0]
        found = set(pictures[1:])
        expected = []
        for text in DATA.items[first].phrases.values():
            wrong = [row for row in range(30) if row != first and text not in DATA.items[row].phrases.values()]
            expected.append(set(wrong[:2]))
        assert found in expected


def test_nearest_pictures_are_sorted_and_leave_out_the_picture_itself() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], dtype=np.float32)
    assert nearest_pictures(vectors, 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert nearest_pictures(vectors, 10).shape == (4, 3)


def test_clicked_queries_are_phrases_of_the_opened_items() -> None:
    items = tuple(TuningItem(f"i{n}", f"p{n}", {"title": f"title {n}"}, (n,)) for n in range(3))
    data = TuningData(items, DATA.pictures[:3], (0, 1, 2), (ClickedQuery("gift", (0, 2)), ClickedQuery("sale", (1,))))
    book = PhraseBook(data, [0, 1])
    assert book.phrases() == ["gift", "sale", "title 0", "title 1"]
    assert book.same([0, 1], ["gift", "sale"]).tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_no_batch_has_more_pictures_than_there_are(size: int) -> None:
    assert len(BatchDraw(PhraseBook(DATA, [4, 7]), size, 0, seed=0).batch(0).pictures) == min(size, 2)
