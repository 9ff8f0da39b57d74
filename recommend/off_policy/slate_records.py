"""Logged slates as arrays, with the responses of their users."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.events.event_types import EVENT_TYPES
from firstsight.recommend.events.interactions import DAY_US, Interactions
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.slates.slate_log import RESPONSE_DAYS, TABLE
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.sql.conditions import quote
from firstsight.storage.store import Store


@dataclass(frozen=True)
class SlateFilter:
    """Which logged slates to evaluate.

    Attributes:
        since, until: only slates made from this moment on, and before this one; with a zone.
        experiment: only slates of this experiment; None for all.
        buckets: first and last A/B bucket, both included; None for all.
    """

    since: datetime | None = None
    until: datetime | None = None
    experiment: str | None = None
    buckets: tuple[int, int] | None = None

    def conditions(self) -> list[str]:
        """SQL conditions on the table of slates.

        Raises:
            QueryError: a bucket is out of range, or a moment has no zone.
        """
        found = []
        for moment, comparison in ((self.since, ">="), (self.until, "<")):
            if moment is not None:
                if moment.tzinfo is None:
                    raise QueryError(f"the time {moment.isoformat()} has no time zone; add one, such as UTC")
                found.append(f"made_at {comparison} timestamp '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'")
        if self.experiment is not None:
            found.append(f"experiment = {quote(self.experiment)}")
        if self.buckets is not None:
            first, last = self.buckets
            if not 0 <= first <= last < 100:
                raise QueryError(f"buckets {first} to {last} are out of range; give two of 0 to 99, such as 0 and 49")
            found.append(f"bucket >= {first:d} AND bucket <= {last:d}")
        return found


@dataclass(frozen=True)
class LoggedSlates:
    """Slots of logged slates, in the order of slates and slots.

    Attributes:
        slate_ids: (s,) ids, the earliest slate first.
        user_ids: (s,) users.
        made_at: (s,) int64 microseconds since 1970.
        settings: (s,) settings of each slate, JSON.
        events: (s,) number of events in the user's history.
        slates: (n,) int64, index of each slot's slate, ascending.
        slots: (n,) int64, from 0.
        places: (n,) row of the shown item.
        ranked: (n,) row of the item of the ranking.
        propensities: (n,) the probability of the shown item, above 0.
        scores: (n,) relevance of the shown item.
        rewards: (n,) 1 for an item that the user responded to, else 0.
        ranking: version of the fitted ranking that made most of the slates; None for none.
        left_out: number of slates that were left out, by reason.
        pending: number of slates whose response time is not over; they are left out unless there are no others.
    """

    slate_ids: NDArray[np.object_]
    user_ids: NDArray[np.object_]
    made_at: NDArray[np.int64]
    settings: NDArray[np.object_]
    events: NDArray[np.int64]
    slates: NDArray[np.int64]
    slots: NDArray[np.int64]
    places: Places
    ranked: Places
    propensities: NDArray[np.float64]
    scores: NDArray[np.float64]
    rewards: NDArray[np.float64]
    left_out: dict[str, int]
    pending: int
    ranking: int | None = None

    def __len__(self) -> int:
        return len(self.slate_ids)

    @property
    def users(self) -> NDArray[np.int64]:
        """(s,) a number for each slate's user."""
        return np.unique(self.user_ids, return_inverse=True)[1].astype(np.int64)

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(s,) sum of a figure over the slots of each slate."""
        return np.bincount(self.slates, weights=values, minlength=len(self)).astype(np.float64)

    def rankings(self, places: Places) -> Places:
        """(s, k) one row of items for each slate; -1 for an empty slot."""
        table = np.full((len(self), int(self.slots.max(initial=0)) + 1), -1, dtype=np.int64)
        table[self.slates, self.slots] = places
        return table

    def responded(self, interactions: Interactions | None, event: str | None = None) -> LoggedSlates:
        """Set the rewards: whether the user has an event on the item within `RESPONSE_DAYS` of the slate.

        An event counts for the last slate before it that shows the item, so that no event counts twice.

        Args:
            interactions: events of all users; None for none.
            event: count only events of this type; None for all types that show that a user likes an item.

        Raises:
            QueryError: there is no such type of events.
        """
        rewards = np.zeros(len(self.slates))
        if interactions is not None and len(interactions):
            rewards[find_responses(self, interactions, event)] = 1.0
        return replace(self, rewards=rewards)


def read_logged_slates(store: Store, space: ItemSpace, which: SlateFilter, now: datetime | None = None) -> LoggedSlates:
    """Read logged slates that can be evaluated.

    Args:
        store: the database.
        space: its items.
        which: of the slates.
        now: with a zone; the present time by default.

    Raises:
        QueryError: there are no such slates, or a filter is out of range.
    """
    table = open_side_table(store, TABLE)
    if table is None:
        raise QueryError(f"{store.uri} has no logged slates; log some first: firstsight recommend --user ID --log")
    if "ranked_item" not in table.schema.names:
        raise QueryError(
            f"the slates of {store.uri} were logged by an earlier version, whose propensities are not those of an item "
            "in a slot; log new slates"
        )
    search = table.search()
    if conditions := which.conditions():
        search = search.where(" AND ".join(conditions))
    names = ["slate_id", "slot", "user_id", "made_at", "item_id", "ranked_item", "propensity", "score"]
    rows = search.select([*names, "events", "settings", "versions"]).limit(None).to_arrow()
    rows = rows.sort_by([("made_at", "ascending"), ("slate_id", "ascending"), ("slot", "ascending")])
    ids = rows["slate_id"].to_numpy(zero_copy_only=False)
    left_out: dict[str, int] = {}
    keep = np.ones(len(ids), dtype=bool)
    places = space.places(str(item_id) for item_id in rows["item_id"].to_pylist())
    ranked = space.places(str(item_id) for item_id in rows["ranked_item"].to_pylist())
    reasons = {
        "of an earlier version, without exact propensities": ~rows["ranked_item"].is_valid().to_numpy(),
        "without a user id": ~rows["user_id"].is_valid().to_numpy(),
        "with items that were removed": (places < 0) | (ranked < 0),
    }
    for reason, wrong in reasons.items():
        bad = np.unique(ids[wrong & keep])
        if len(bad):
            left_out[reason] = len(bad)
            keep &= ~np.isin(ids, bad)
    made_at = rows["made_at"].cast(pa.int64()).to_numpy()
    waiting = made_at > int((now or datetime.now(UTC)).timestamp() * 1e6) - RESPONSE_DAYS * DAY_US
    pending = len(np.unique(ids[waiting & keep]))
    if (keep & ~waiting).any():
        keep &= ~waiting
    if not keep.any():
        reasons_found = "; ".join(f"{count} {reason}" for reason, count in left_out.items()) or "none match the filter"
        raise QueryError(f"{store.uri} has no logged slates to evaluate: {reasons_found}")
    kept = np.flatnonzero(keep)
    first = np.flatnonzero(np.concatenate([[True], ids[kept][1:] != ids[kept][:-1]]))
    starts = kept[first]
    of_slate = {name: rows[name].to_numpy(zero_copy_only=False)[starts] for name in ("user_id", "settings", "events")}
    return LoggedSlates(
        slate_ids=ids[starts],
        user_ids=of_slate["user_id"],
        made_at=made_at[starts],
        settings=of_slate["settings"],
        events=of_slate["events"].astype(np.int64),
        slates=np.repeat(np.arange(len(first)), np.diff(np.append(first, len(kept)))),
        slots=rows["slot"].to_numpy()[kept],
        places=places[kept],
        ranked=ranked[kept],
        propensities=rows["propensity"].to_numpy()[kept],
        scores=rows["score"].to_numpy()[kept],
        rewards=np.zeros(len(kept)),
        left_out=left_out,
        pending=pending,
        ranking=_usual_ranking(rows["versions"].to_numpy(zero_copy_only=False)[starts].tolist()),
    )


def find_responses(slates: LoggedSlates, interactions: Interactions, event: str | None) -> NDArray[np.int64]:
    """Rows of the slots that users responded to; see `LoggedSlates.responded`."""
    rows = np.searchsorted(interactions.user_ids, slates.user_ids)
    rows = np.minimum(rows, len(interactions.user_ids) - 1)
    known = interactions.user_ids[rows] == slates.user_ids
    n = len(interactions.space)
    # a slot's key is its user and item; keys of unknown users are negative
    keys = np.where(known, rows, -1)[slates.slates] * n + slates.places
    times = slates.made_at[slates.slates]
    wanted = np.ones(len(interactions), dtype=bool) if event is None else _of_type(interactions, event)
    pairs = (interactions.users * n + interactions.items)[wanted]
    at = interactions.times[wanted]
    # the last slot of the same user and item that is not later than the event
    merged = np.lexsort((np.repeat([0, 1], [len(keys), len(pairs)]), np.append(times, at), np.append(keys, pairs)))
    is_slot = merged < len(keys)
    last = np.maximum.accumulate(np.where(is_slot, np.arange(len(merged)), -1))
    events = np.flatnonzero(~is_slot & (last >= 0))
    slot, event_row = merged[last[events]], merged[events] - len(keys)
    near = (keys[slot] == pairs[event_row]) & (at[event_row] - times[slot] <= RESPONSE_DAYS * DAY_US)
    return np.unique(slot[near])


def _usual_ranking(versions: Sequence[str]) -> int | None:
    """The most frequent version of the fitted ranking in the versions of slates, JSON."""
    counts = Counter(versions)
    rankings: Counter[int | None] = Counter()
    for text, count in counts.items():
        rankings[json.loads(text).get("ranking")] += count
    return rankings.most_common(1)[0][0]


def _of_type(interactions: Interactions, event: str) -> NDArray[np.bool_]:
    if event not in EVENT_TYPES:
        raise QueryError(f"there is no type of events {event!r}; the types are {', '.join(EVENT_TYPES)}")
    return np.asarray(interactions.types == EVENT_TYPES.index(event))


def parse_settings(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Parse the settings of slates, once for each different text."""
    return {text: dict(json.loads(text)) for text in dict.fromkeys(texts)}
