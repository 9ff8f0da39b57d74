"""Baselines that recommenders are compared with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.baselines import EASE, MeanProfile, Popularity, RandomOrder
from firstsight.recommend.recommender import Recommender
from tests.recommend.synthetic_events import clustered_space, make_preference_log

MODELS = [RandomOrder, Popularity, MeanProfile, EASE]


@pytest.fixture(scope="module")
def log() -> Interactions:
    return make_preference_log(clustered_space(60), 80)


@pytest.mark.parametrize("make", MODELS)
def test_every_user_has_a_finite_score_for_every_candidate(make: type[Recommender], log: Interactions) -> None:
    model = make()
    model.fit(log)
    users = [log.history(0), History.of(np.empty(0, dtype=np.int64)), log.history(5)]
    scores = model.scores(users, np.array([3, 8, 50]))
    assert scores.shape == (3, 3)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert (model.scores(users, np.array([3, 8, 50])) == scores).all()


@pytest.mark.parametrize("make", MODELS[1:])
def test_a_model_that_was_not_fitted_says_so(make: type[Recommender]) -> None:
    with pytest.raises(QueryError, match="fit it first"):
        make().scores([], np.array([0]))


def test_popularity_counts_users_and_not_events() -> None:
    space = ItemSpace.of(["a", "b"], np.eye(2, dtype=np.float32))
    users = np.array(["u", "u", "u", "v", "w"], dtype=object)
    model = Popularity()
    model.fit(Interactions.of(space, users, np.array([0, 0, 0, 1, 1]), np.arange(5)))
    assert model.scores([History.of(np.array([0]))], np.array([0, 1])).tolist() == [[1, 2]]


def test_the_mean_profile_is_the_cosine_to_the_weighted_mean() -> None:
    space = ItemSpace.of(["a", "b", "c"], np.eye(3, dtype=np.float32))
    model = MeanProfile()
    model.fit(Interactions.of(space, np.array(["u"], dtype=object), np.array([0]), np.array([0])))
    history = replace(History.of(np.array([0, 1])), weights=np.array([3.0, 4.0]))
    assert model.scores([history], np.array([0, 1, 2]))[0] == pytest.approx([0.6, 0.8, 0.0])


def test_ease_solves_its_constrained_least_squares(log: Interactions) -> None:
    """Steck's objective: |X - XB|² + λ|B|² with a diagonal of zeros; each column is a ridge without its own item."""
    model = EASE(penalty=7.0)
    model.fit(log)
    seen = (log.matrix().toarray() > 0).astype(float)
    target = 11
    others = np.delete(np.arange(60), target)
    x = seen[:, others]
    ridge = np.linalg.solve(x.T @ x + 7 * np.eye(59), x.T @ seen[:, target])
    for place in (0, 25, 59):
        alone = model.scores([History.of(np.array([place]))], np.array([target]))[0, 0]
        assert alone == pytest.approx(ridge[np.flatnonzero(others == place)[0]], abs=1e-5)


def test_ease_leaves_items_beyond_its_limit_alone(log: Interactions) -> None:
    model = EASE(max_items=10)
    model.fit(log)
    scores = model.scores(log.histories()[:20], np.arange(60))
    assert np.count_nonzero(np.abs(scores).sum(axis=0)) <= 10
    with pytest.raises(QueryError, match="penalty"):
        EASE(penalty=0)


def test_each_user_has_another_random_order(log: Interactions) -> None:
    scores = RandomOrder().scores(log.histories()[:2], np.arange(60))
    assert (scores[0] != scores[1]).any()
    assert (RandomOrder(seed=1).scores(log.histories()[:2], np.arange(60)) != scores).any()
