"""Contents of each vector set of a database, and checks that the sets belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from firstsight.encoders.base import unit
from firstsight.storage.store import Store

Rows = dict[str, dict[str, Any]]


def rows_of_set(db: str | Path, number: int) -> tuple[Rows, Rows]:
    """Rows of items and of views of a set, by their ids; fails if an id is there twice."""
    store = Store.open(db).of_set(number)
    found = []
    for table, key in ((store.items, "item_id"), (store.views, "view_id")):
        rows = table.search().limit(None).to_arrow().to_pylist()
        by_key = {row[key]: row for row in rows}
        assert len(by_key) == len(rows), f"{table.name} has an id twice"
        found.append(by_key)
    return found[0], found[1]


def assert_complete(db: str | Path, numbers: tuple[int, int] = (0, 1), atol: float = 1e-5) -> None:
    """Check that two sets have the same rows but for vectors, and that each item's vector is that of its views."""
    (items, views), (other_items, other_views) = (rows_of_set(db, number) for number in numbers)
    assert plain(items) == plain(other_items)
    assert plain(views) == plain(other_views)
    for of_items, of_views in ((items, views), (other_items, other_views)):
        for item_id, row in of_items.items():
            own = [view for view in of_views.values() if view["item_id"] == item_id and view["part"] != "transcript"]
            assert (row["vector"] is None) == (not own)
            if own:
                parts: dict[str, list[Any]] = {}
                for view in own:
                    parts.setdefault(view["part"], []).append(view["vector"])
                means = [unit(np.mean(np.array(vectors, np.float32), axis=0)) for vectors in parts.values()]
                np.testing.assert_allclose(row["vector"], unit(np.sum(means, axis=0)), atol=atol)


def plain(rows: Rows) -> Rows:
    return {key: {name: value for name, value in row.items() if name != "vector"} for key, row in rows.items()}
