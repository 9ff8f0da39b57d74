"""The log of slates: the item of each slot and its probability, for off-policy evaluation later."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from firstsight.recommend.events.interactions import DAY_US, Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.exploration import ExplorationOutcomes
from firstsight.recommend.slates.slate_results import Slate
from firstsight.storage.side_tables import append, open_side_table
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

TABLE = "slates"

RESPONSE_DAYS = 1
"""Days in which a user must respond to an explored item; no response by then is a failure."""

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
    # empty in slates that were logged before these columns existed
    pa.field("ranked_item", pa.string()),  # the item of the ranking: the slot's own, or the one that was overwritten
    pa.field("k", pa.int64()),
    pa.field("events", pa.int64()),  # of the user's history
    pa.field("settings", pa.string()),  # JSON: Slate.settings
    pa.field("versions", pa.string()),  # JSON: Slate.versions
    pa.field("experiment", pa.string()),
    pa.field("bucket", pa.int64()),
]
SCHEMA = pa.schema(_FIELDS)


def log_slates(store: Store, slates: Iterable[Slate]) -> int:
    """Log the slots of slates in one write; the caller holds the writer lock.

    Returns:
        Number of slots.

    Raises:
        StoreError: the database cannot be written.
    """
    rows = [row for slate in slates for row in _rows(slate)]
    append(store, TABLE, SCHEMA, rows)
    return len(rows)


def _rows(slate: Slate) -> Iterator[dict[str, Any]]:
    for n, item in enumerate(slate):
        yield {
            "slot_id": f"{slate.slate_id}#{n}",
            "slate_id": slate.slate_id,
            "slot": n,
            "user_id": slate.user_id,
            "made_at": slate.made_at,
            **{name: getattr(item, name) for name in _OF_ITEM},
            "ranked_item": item.replaces or item.item_id,
            "k": slate.settings.get("k"),
            "events": slate.events,
            "settings": json.dumps(dict(slate.settings)),
            "versions": json.dumps(dict(slate.versions)),
            "experiment": slate.experiment,
            "bucket": slate.bucket,
        }


_OF_ITEM = ("item_id", "score", "source", "because", "explore", "propensity")


def read_outcomes(
    store: Store,
    space: ItemSpace,
    clusters: Clusters,
    interactions: Interactions | None,
    now: datetime | None = None,
    *,
    before: datetime | None = None,
) -> ExplorationOutcomes:
    """Read the outcomes of logged slates: how often items were shown, and which explored slots had a response.

    An explored slot is a success if its user has an event on its item within `RESPONSE_DAYS` of the slate. Without one
    it is a failure after that time. Slots without a user id count only as shown.

    Args:
        store: the database.
        space: its items.
        clusters: of the items.
        interactions: events of all users; None for none.
        now: with a zone; the present time by default.
        before: only slates before this moment; all by default.
    """
    table = open_side_table(store, TABLE)
    none = ExplorationOutcomes.none(len(space), len(clusters))
    if table is None:
        return none
    names = ["user_id", "made_at", "item_id", "explore"]
    rows = table.search().select(names).limit(None).to_arrow()
    if before is not None:
        rows = rows.filter(pc.less(rows["made_at"], pa.scalar(before, TIME)))
    places = space.places(str(item_id) for item_id in rows["item_id"].to_pylist())
    shown = np.bincount(places[places >= 0], minlength=len(space)).astype(np.int64)
    explored = rows["explore"].to_numpy() & rows["user_id"].is_valid().to_numpy() & (places >= 0)
    explored[explored] = clusters.labels[places[explored]] >= 0
    places, at = places[explored], rows["made_at"].cast(pa.int64()).to_numpy()[explored]
    users = rows["user_id"].to_numpy(zero_copy_only=False)[explored]
    responded = _find_responses(interactions, users, places, at)
    end = int((now or datetime.now(UTC)).timestamp() * 1e6) - RESPONSE_DAYS * DAY_US
    ignored = ~responded & (at < end)
    labels = clusters.labels[places]
    counts = [np.bincount(labels[mask], minlength=len(clusters)).astype(np.int64) for mask in (responded, ignored)]
    return ExplorationOutcomes(shown, counts[0], counts[1])


def _find_responses(interactions: Interactions | None, users: Any, places: Any, at: Any) -> Any:
    """(slots,) whether the user had an event on the slot's item within the response time."""
    if interactions is None or not len(interactions) or not len(users):
        return np.zeros(len(users), dtype=bool)
    user_rows = np.searchsorted(interactions.user_ids, users)
    known = (user_rows < len(interactions.user_ids)) & (
        interactions.user_ids[np.minimum(user_rows, len(interactions.user_ids) - 1)] == users
    )
    n = len(interactions.space)
    pairs = interactions.users * n + interactions.items
    order = np.lexsort((interactions.times, pairs))
    pairs, times = pairs[order], interactions.times[order]
    won = np.zeros(len(users), dtype=bool)
    for slot in np.flatnonzero(known):
        first, last = np.searchsorted(
            pairs, [user_rows[slot] * n + places[slot], user_rows[slot] * n + places[slot] + 1]
        )
        after = times[first:last] - at[slot]
        won[slot] = bool(((after >= 0) & (after <= RESPONSE_DAYS * DAY_US)).any())
    return won
