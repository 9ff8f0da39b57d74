"""Types of events count differently, in every model, and weights of types can be set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from firstsight.errors import QueryError
from firstsight.recommend.events.event_log import Events
from firstsight.recommend.events.event_types import EVENT_TYPES, TYPE_WEIGHTS
from firstsight.recommend.events.interactions import MAX_STRENGTH, History, Interactions
from firstsight.recommend.models.baselines import EASE, MeanProfile, Popularity
from firstsight.recommend.models.neighbours import ItemNeighbours
from firstsight.recommend.recommender import Recommender
from tests.recommend.conftest import MakeStore
from tests.recommend.events.writing import SPACE, event, ids, write_lines
from tests.recommend.synthetic_events import make_preference_log


@pytest.fixture
def log(make_store: MakeStore) -> Events:
    return Events(make_store(SPACE))


def interactions(*events: tuple[str, int, float]) -> Interactions:
    """Interactions of (user, item, weight)."""
    users = np.array([user for user, _, _ in events], dtype=object)
    items = np.array([item for _, item, _ in events], dtype=np.int64)
    return Interactions.of(SPACE, users, items, np.arange(len(events)), np.array([weight for _, _, weight in events]))


def test_every_type_has_a_weight() -> None:
    assert tuple(TYPE_WEIGHTS) == EVENT_TYPES
    assert TYPE_WEIGHTS["other"] == 1
    assert TYPE_WEIGHTS["purchase"] > TYPE_WEIGHTS["click"] > TYPE_WEIGHTS["view"]


def test_the_weight_of_a_type_multiplies_that_of_the_event(log: Events, tmp_path: Path) -> None:
    rows = [event(event="buy"), event(item="i0002", event="view", weight=4), event(item="i0003"), event(item="i0004")]
    log.add(write_lines(tmp_path / "log.jsonl", rows))
    assert log.history("u", SPACE).weights.tolist() == [2, 2, 1, 1]
    follower = Events(log._store)
    before = follower.interactions(SPACE)
    assert before.weights.tolist() == [2, 2, 1, 1]
    version = log.version()
    assert log.set_type_weights({"purchase": 3})["purchase"] == 3
    assert log.version() > version
    assert follower.interactions(SPACE).weights.tolist() == [3, 2, 1, 1]
    assert log.history("u", SPACE).weights.tolist() == [3, 2, 1, 1]
    log.add(write_lines(tmp_path / "log.jsonl", [event(item="i0005", event="purchase")]))
    assert follower.interactions(SPACE).weights.tolist() == [3, 2, 1, 1, 3]
    log.set_type_weights({})
    assert log.type_weights() == dict(TYPE_WEIGHTS)


@pytest.mark.parametrize("weights", [{"adore": 1}, {"click": 0}, {"click": float("nan")}, {"click": 101}])
def test_weights_out_of_range_are_refused(log: Events, weights: dict[str, float]) -> None:
    with pytest.raises(QueryError, match=r"no event type 'adore'|out of range"):
        log.set_type_weights(weights)


def test_the_strongest_event_counts_for_an_item() -> None:
    got = interactions(("u", 1, 2.0), ("u", 1, 0.5), ("v", 1, 99.0), ("v", 2, 1.0)).strengths().toarray()
    assert got[:, 1].tolist() == [2, MAX_STRENGTH]
    places, strengths = interactions(("u", 4, 1.0), ("u", 1, 2.0), ("u", 4, 3.0)).history(0).strengths()
    assert (places.tolist(), strengths.tolist()) == ([1, 4], [2, 3])


def test_without_weights_strengths_say_who_chose_what() -> None:
    train = make_preference_log(SPACE, 40)
    assert np.array_equal(train.strengths().toarray(), train.matrix().toarray() > 0)
    counts = np.diff(train.strengths().tocsc().indptr)
    assert train.popularity().tolist() == counts.tolist()


@pytest.mark.parametrize("model", [Popularity, MeanProfile, EASE, ItemNeighbours])
def test_every_model_follows_the_stronger_event(model: Callable[[], Recommender]) -> None:
    events = [(f"u{n}", item, 1.0) for n in range(9) for item in (n % 3, 6 + n % 2)]
    fitted = model()
    fitted.fit(interactions(*events, ("x", 0, 1.0), ("x", 6, 4.0), ("x", 7, 1.0), ("y", 0, 1.0), ("y", 7, 1.0)))
    places = np.array([6, 7])
    history = History.of(np.array([0, 1]))
    stronger = History(history.items, history.times, np.array([4.0, 1.0]), history.types)
    first, second = fitted.scores([history, stronger], places)
    weak = model()
    weak.fit(interactions(*events, ("x", 0, 1.0), ("x", 6, 1.0), ("x", 7, 1.0), ("y", 0, 1.0), ("y", 7, 1.0)))
    if model is not MeanProfile:  # it has nothing to learn
        assert first[0] - first[1] > weak.scores([history], places)[0] @ np.array([1, -1])
    if model is not Popularity:  # it is the same for everybody
        assert not np.allclose(first, second)


def test_orders_say_more_than_views_in_a_log(log: Events, tmp_path: Path) -> None:
    rows = [event(f"u{n}", f"i{n % 2:04d}", event="order" if n % 2 else "page_view") for n in range(8)]
    log.add(write_lines(tmp_path / "log.jsonl", rows))
    popular = Popularity()
    popular.fit(log.interactions(SPACE))
    best = int(np.argmax(popular.scores([History.of(np.array([2]))], np.arange(len(SPACE)))))
    assert ids(SPACE, np.array([best])) == ["i0001"]
