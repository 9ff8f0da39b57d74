"""All items as arrays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import firstsight
from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import NEVER, ItemSpace
from firstsight.storage.store import Store


def test_a_space_holds_every_item_in_order(sample_db: Path) -> None:
    store = Store.open(sample_db)
    space = ItemSpace.load(store)
    assert space.item_ids.tolist() == sorted(row for ids in store.item_ids() for row in ids)
    assert np.linalg.norm(space.vectors[space.has_vector], axis=1) == pytest.approx(1, abs=1e-5)
    place = len(space) // 2
    assert space.place(space.item_ids[place]) == place
    stored = firstsight.open(sample_db).get(space.item_ids[place])
    assert stored.vector == pytest.approx(space.vectors[place])
    assert stored.kind == space.kinds[place]


def test_an_unknown_item_is_named(sample_db: Path) -> None:
    space = ItemSpace.load(Store.open(sample_db))
    assert space.places(["nothing like it"]).tolist() == [-1]
    with pytest.raises(QueryError, match="nothing like it"):
        space.place("nothing like it")


def test_what_has_ended_or_not_begun_or_is_blocked_is_not_shown() -> None:
    now = int(datetime.now(UTC).timestamp() * 1e6)
    hour = int(timedelta(hours=1).total_seconds() * 1e6)
    space = ItemSpace.of(
        ["open", "ended", "later", "blocked", "adults"],
        np.eye(5, dtype=np.float32),
        expires=[NEVER, now, NEVER, NEVER, NEVER],
        starts=[-NEVER, -NEVER, now + hour, -NEVER, -NEVER],
        blocked=[False, False, False, True, False],
        min_age=[0, 0, 0, 0, 18],
    )
    shown = space.item_ids[space.showable(now)]
    assert shown.tolist() == ["open"]
    assert space.item_ids[space.showable(now, age=18)].tolist() == ["adults", "open"]


def test_interactions_are_sorted_and_leave_out_unknown_items() -> None:
    space = ItemSpace.of(["a", "b", "c"], np.eye(3, dtype=np.float32))
    made = Interactions.of(
        space,
        np.array(["v", "u", "u", "u", "v"], dtype=object),
        space.places(["a", "c", "b", "gone", "a"]),
        np.array([5, 9, 2, 3, 6]),
    )
    assert made.user_ids.tolist() == ["u", "v"]
    assert space.item_ids[made.history(0).items].tolist() == ["b", "c"]
    assert made.matrix().toarray().tolist() == [[0, 1, 1], [2, 0, 0]]
    assert made.popularity().tolist() == [1, 1, 1]
    assert len(made.history(0).before(9)) == 1
