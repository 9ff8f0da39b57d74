"""That nothing held out can be learnt from, and everything is ranked."""

from __future__ import annotations

import numpy as np
import pytest

from firstsight.errors import QueryError
from firstsight.recommend.evaluation.measures import recall
from firstsight.recommend.evaluation.protocols import Split, global_time, item_cold, user_cold
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places
from tests.recommend.synthetic_events import clustered_space, make_preference_log

SPACE = clustered_space(120)
LOG = make_preference_log(SPACE, 90)


class Oracle:
    """Knows the targets, and would rank the history above them."""

    name = "oracle"

    def __init__(self, split: Split) -> None:
        self._of = {
            history.items.tobytes(): target for history, target in zip(split.histories, split.targets, strict=True)
        }

    def fit(self, train: Interactions) -> None:
        """It knows already."""

    def scores(self, users: list[History], candidates: Places) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        rows = [
            np.isin(candidates, self._of[one.items.tobytes()]) + 2.0 * np.isin(candidates, one.items) for one in users
        ]
        return np.array(rows, dtype=np.float32)


def assert_valid_split(split: Split) -> None:
    assert len(split.users) == len(split.histories) == len(split.targets) > 0
    for user, history, target in zip(split.users.tolist(), split.histories, split.targets, strict=True):
        assert len(target)
        assert not np.isin(target, history.items).any()
        assert np.isin(target, split.candidates).all()
        every = LOG.history(user).items
        assert np.isin(target, every).all()
        assert np.isin(history.items, every).all()
    assert split.cold.tolist() == (split.train.popularity() == 0).tolist()
    ranked = split.rank(Oracle(split), len(split.candidates))
    for row, history in zip(ranked, split.histories, strict=True):
        assert not np.isin(row[row >= 0], history.items).any()
    assert recall(split.rank(Oracle(split), 20), split.targets).min() == 1


def test_cold_items_have_no_event_and_only_they_are_ranked() -> None:
    split = item_cold(LOG, share=0.2, seed=3)
    assert_valid_split(split)
    assert len(split.candidates) == 24
    assert split.cold[split.candidates].all()
    assert len(split.train) + sum(np.isin(LOG.items, split.candidates)) == len(LOG)
    assert item_cold(LOG, seed=3).candidates.tolist() == split.candidates.tolist()
    assert item_cold(LOG, seed=4).candidates.tolist() != split.candidates.tolist()


@pytest.mark.parametrize("first", [0, 1, 5])
def test_cold_users_have_their_first_events_only_and_teach_nothing(first: int) -> None:
    split = user_cold(LOG, first=first, min_events=6, seed=1)
    for user, history in zip(split.users.tolist(), split.histories, strict=True):
        assert history.items.tolist() == LOG.history(user).items[:first].tolist()
        assert not np.isin(split.train.users, user).any()
    assert len(split.candidates) == len(SPACE)
    if first:
        assert_valid_split(split)


def test_the_same_users_are_asked_whatever_is_known_of_them() -> None:
    known = [user_cold(LOG, first=first, min_events=11).users.tolist() for first in (1, 5, 10)]
    assert set(known[2]) <= set(known[1]) <= set(known[0])


def test_nothing_after_the_cut_is_learnt() -> None:
    split = global_time(LOG, share=0.3)
    assert_valid_split(split)
    later = len(LOG) - len(split.train)
    assert later / len(LOG) == pytest.approx(0.3, abs=0.02)
    first_target = min(LOG.times[LOG.times > split.train.times.max()])
    assert split.train.times.max() < first_target
    with pytest.raises(QueryError, match="no user"):
        global_time(LOG, cut_us=int(LOG.times.max()) + 1)


def test_shares_out_of_range_are_refused() -> None:
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(QueryError, match="held out"):
            item_cold(LOG, share=share)
    with pytest.raises(QueryError, match="first -1"):
        user_cold(LOG, first=-1)
