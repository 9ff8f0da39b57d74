"""The log of slates: which item stood where, and with what probability, for evaluation off-policy later."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from firstsight.recommend.events.interactions import DAY_US, Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.exploration import ExplorationOutcomes
from firstsight.recommend.slates.slate_results import Slate
from firstsight.storage.side_tables import open_side_table, upsert
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

TABLE = "slates"

RESPONSE_DAYS = 1
"""How long a user has to turn to an item that exploration showed, before that counts as a failure."""

_FIELDS: list[pa.Field[Any]] = [
    pa.field("slot_id", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("slate_id", pa.string(), nullable=False),
    pa.field("slot", pa.int64(), nullable=False),  # from 0
    pa.field("user_id", pa.string()),
    pa.field("made_at", TIME, nullable=False),
    pa.field("item_id", pa.string(), nullable=False),
    pa.field("score", pa.float64(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("because", pa.string()),
    pa.field("explore", pa.bool_(), nullable=False),
    pa.field("propensity", pa.float64(), nullable=False),
]
SCHEMA = pa.schema(_FIELDS)


def log_slate(store: Store, slate: Slate) -> None:
    """Add a slate's slots; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    rows = [
        {
            "slot_id": f"{slate.slate_id}#{n}",
            "slate_id": slate.slate_id,
            "slot": n,
            "user_id": slate.user_id,
            "made_at": slate.made_at,
            **{name: getattr(one, name) for name in SCHEMA.names[5:]},
        }
        for n, one in enumerate(slate)
    ]
    upsert(store, TABLE, SCHEMA, "slot_id", rows)


def read_outcomes(
    store: Store, space: ItemSpace, clusters: Clusters, interactions: Interactions | None, now: datetime | None = None
) -> ExplorationOutcomes:
    """What logged slates came to: how often items were shown, and after which explored slots the user turned to them.

    An explored slot succeeds by an event of its user on its item within `RESPONSE_DAYS` of the slate, and fails once
    they are over; slots of users without a name tell only that the item was shown.
    """
    table = open_side_table(store, TABLE)
    none = ExplorationOutcomes.none(len(space), len(clusters))
    if table is None:
        return none
    names = ["user_id", "made_at", "item_id", "explore"]
    rows = table.search().select(names).limit(None).to_arrow()
    places = space.places(str(item_id) for item_id in rows["item_id"].to_pylist())
    shown = np.bincount(places[places >= 0], minlength=len(space)).astype(np.int64)
    asked = rows["explore"].to_numpy() & rows["user_id"].is_valid().to_numpy() & (places >= 0)
    asked[asked] = clusters.labels[places[asked]] >= 0
    places, at = places[asked], rows["made_at"].cast(pa.int64()).to_numpy()[asked]
    users = rows["user_id"].to_numpy(zero_copy_only=False)[asked]
    won = _find_responses(interactions, users, places, at)
    end = int((now or datetime.now(UTC)).timestamp() * 1e6) - RESPONSE_DAYS * DAY_US
    lost = ~won & (at < end)
    labels = clusters.labels[places]
    counts = [np.bincount(labels[mask], minlength=len(clusters)).astype(np.int64) for mask in (won, lost)]
    return ExplorationOutcomes(shown, counts[0], counts[1])


def _find_responses(interactions: Interactions | None, users: Any, places: Any, at: Any) -> Any:
    """(slots,) whether the user had an event on the item within the time to answer."""
    if interactions is None or not len(interactions) or not len(users):
        return np.zeros(len(users), dtype=bool)
    who = np.searchsorted(interactions.user_ids, users)
    known = (who < len(interactions.user_ids)) & (
        interactions.user_ids[np.minimum(who, len(interactions.user_ids) - 1)] == users
    )
    n = len(interactions.space)
    pairs = interactions.users * n + interactions.items
    order = np.lexsort((interactions.times, pairs))
    pairs, times = pairs[order], interactions.times[order]
    won = np.zeros(len(users), dtype=bool)
    for slot in np.flatnonzero(known):
        first, last = np.searchsorted(pairs, [who[slot] * n + places[slot], who[slot] * n + places[slot] + 1])
        after = times[first:last] - at[slot]
        won[slot] = bool(((after >= 0) & (after <= RESPONSE_DAYS * DAY_US)).any())
    return won
