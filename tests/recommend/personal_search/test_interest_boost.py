"""The boost of a user: bounded, standardised, and nothing without a vector or a history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.personal_search.interest_boost import BoostSettings, Interest, UserBoost, bounded_boosts
from firstsight.retrieval.personalisation import personalise
from firstsight.retrieval.ranking.readings import Candidate
from tests.recommend.synthetic_events import clustered_space

SPACE = clustered_space(30)


@pytest.mark.parametrize("interest", ["mean", "nearest"])
def test_items_like_those_of_the_history_move_up(interest: Interest) -> None:
    history = History.of(np.array([0, 6, 12]))  # of the first cluster
    boost = UserBoost(SPACE, history, BoostSettings(interest, weight=1.0, bound=1.5))
    boosts = boost.boosts([f"i{n:04d}" for n in range(13, 30)])
    assert np.argmax(boosts) in {18 - 13, 24 - 13}
    assert abs(boosts).max() <= 1.5


def test_the_newest_events_count_most() -> None:
    settings = BoostSettings("mean", weight=1.0, bound=3.0)
    old_first, new_first = ([0, 6, 12] * 5 + [1, 7, 13] * 5), ([1, 7, 13] * 5 + [0, 6, 12] * 5)
    ids = ["i0018", "i0019"]  # of the first and of the second cluster
    boosts = [UserBoost(SPACE, History.of(np.array(items)), settings).boosts(ids) for items in (old_first, new_first)]
    assert boosts[0][1] > boosts[0][0]
    assert boosts[1][0] > boosts[1][1]


def test_items_without_a_vector_and_unknown_ones_get_no_boost() -> None:
    vectors = SPACE.vectors.copy()
    vectors[3] = 0
    space = ItemSpace.of(SPACE.item_ids.tolist(), vectors)
    boost = UserBoost(space, History.of(np.array([0])), BoostSettings("mean", 1.0, 1.0))
    boosts = boost.boosts(["i0003", "new", "i0006", "i0001"])
    assert boosts[:2].tolist() == [0, 0]
    assert boosts[2] > boosts[3]
    assert not UserBoost(space, History.of(np.array([3])), BoostSettings("mean", 1.0, 1.0)).boosts(["i0006"]).any()
    assert boost.boosts([]).tolist() == []


@given(
    st.lists(st.floats(-1, 1) | st.just(float("nan")), max_size=20),
    st.floats(0, 2),
    st.floats(0.1, 2),
)
def test_boosts_are_bounded_and_finite(closeness: list[float], weight: float, bound: float) -> None:
    boosts = bounded_boosts(np.array(closeness, dtype=np.float64), weight, bound)
    assert np.isfinite(boosts).all()
    assert (abs(boosts) <= bound).all()


class _Fixed:
    def __init__(self, *boosts: float) -> None:
        self._boosts = np.array(boosts)

    def boosts(self, item_ids: object) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return self._boosts


def test_a_boost_adds_to_the_score_and_ties_keep_their_order() -> None:
    candidates = [Candidate(name, 0.5, value) for name, value in zip("abcd", (4.0, 3.0, 2.0, 1.0), strict=True)]
    assert personalise(candidates, _Fixed(0, 0, 0, 0)) == [
        Candidate(c.item_id, c.cosine, c.value, boost=0.0) for c in candidates
    ]
    moved = personalise(candidates, _Fixed(-1, 0, 0, 1.5))
    assert [c.item_id for c in moved] == ["b", "a", "d", "c"]
    assert [c.value for c in moved] == [4, 3, 2, 1]
    equal = [Candidate(name, 0.5, 1.0) for name in "abc"]
    assert [c.item_id for c in personalise(equal, _Fixed(0, 0, 0))] == ["a", "b", "c"]
