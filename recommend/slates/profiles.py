"""Profiles: a user, a history, or both, from a JSON file or from Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from firstsight.errors import CatalogError, QueryError
from firstsight.recommend.events.event_rows import canonical_row, read_event
from firstsight.recommend.events.event_times import RefusedRow, detect_unit, time_us
from firstsight.recommend.events.event_types import type_code
from firstsight.recommend.events.interactions import History, make_history
from firstsight.recommend.events.searches import Searches
from firstsight.recommend.items import ItemSpace

MAX_PROFILE_BYTES = 10_000_000


@dataclass(frozen=True)
class Profile:
    """The person that a slate is for.

    Attributes:
        user: a user with logged events; None for a person without a user id.
        history: item ids, oldest first, or events with item_id, timestamp and optionally weight and event; an event
            with query in place of item_id is a search.
        age: in years.
    """

    user: str | None = None
    history: Sequence[str | Mapping[str, Any]] | None = None
    age: int | None = None


def read_profile(path: Path) -> Profile:
    """Read `{"user": "u1", "history": ["id", {"item_id": "id", "timestamp": 1700000000}], "age": 30}`.

    Raises:
        QueryError: the file cannot be read, is not such an object, or has neither user nor history.
    """
    try:
        if path.stat().st_size > MAX_PROFILE_BYTES:
            raise QueryError(f"{path} is larger than {MAX_PROFILE_BYTES:,} bytes; give a profile of one user")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise QueryError(f"{path} cannot be read ({error.strerror}); give a JSON file") from None
    except (ValueError, RecursionError):
        raise QueryError(f'{path} is not JSON; give an object such as {{"user": "u1", "history": ["id"]}}') from None
    if not isinstance(content, dict) or not content.keys() <= {"user", "history", "age"}:
        raise QueryError(f"{path} is not an object with only user, history and age")
    user, history, age = content.get("user"), content.get("history"), content.get("age")
    if user is not None and not isinstance(user, str):
        raise QueryError(f"{path}: user is {user!r}; it must be a text")
    if age is not None and (not isinstance(age, int) or isinstance(age, bool)):
        raise QueryError(f"{path}: age is {age!r}; it must be a whole number of years")
    if history is not None and not isinstance(history, list):
        raise QueryError(f"{path}: history is a {type(history).__name__}; it must be a list of ids or events")
    if user is None and history is None:
        raise QueryError(f"{path} has neither user nor history; give one of them")
    return Profile(user, history, age)


def read_history(space: ItemSpace, entries: Sequence[str | Mapping[str, Any]], now: datetime) -> History:
    """Make a history from ids in order, or from events with times; the two cannot be mixed.

    Args:
        space: the items.
        entries: item ids, oldest first, or events.
        now: time of the last id, with a zone; events much later than it are refused.

    Raises:
        QueryError: there are no entries, ids and events are mixed, an item is unknown, or an event is unusable.
    """
    if not entries:
        raise QueryError("the history is empty; give item ids, oldest first, or leave it out for popular items")
    now_us = int(now.timestamp() * 1_000_000)
    ids = [entry for entry in entries if isinstance(entry, str)]
    if len(ids) == len(entries):
        return make_history(np.array([space.place(entry) for entry in ids], dtype=np.int64), now_us)
    events = [{**canonical_row(entry), "user_id": "-"} for entry in entries if isinstance(entry, Mapping)]
    if len(events) < len(entries):
        raise QueryError("the history mixes ids and events, or has neither; give only ids or only events")
    try:
        unit = detect_unit((entry["timestamp"] for entry in events), "the history")
        read = [read_event(entry, time_us(entry["timestamp"], unit, now)) for entry in events]
    except CatalogError as error:
        raise QueryError(str(error).partition(" with --")[0]) from None
    except RefusedRow as error:
        raise QueryError(f"an event of the history is unusable: {error}") from None
    read.sort(key=lambda event: event.time_us)
    on_items = [(event, space.place(event.item_id)) for event in read if event.item_id is not None]
    searches = [event for event in read if event.query is not None]
    texts = np.empty(len(searches), dtype=object)
    texts[:] = [event.query for event in searches]
    return History(
        np.array([place for _, place in on_items], dtype=np.int64),
        np.array([event.time_us for event, _ in on_items], dtype=np.int64),
        np.array([event.weight for event, _ in on_items], dtype=np.float64),
        np.array([type_code(event.event) for event, _ in on_items], dtype=np.int8),
        Searches(texts, np.array([event.time_us for event in searches], dtype=np.int64)),
    )


def merge_histories(first: History, second: History) -> History:
    """Merge two histories in the order of time."""
    times = np.concatenate([first.times, second.times])
    order = np.argsort(times, kind="stable")
    return History(
        np.concatenate([first.items, second.items])[order],
        times[order],
        np.concatenate([first.weights, second.weights])[order],
        np.concatenate([first.types, second.types])[order],
        first.searches.merge(second.searches),
    )


def utc_now() -> datetime:
    """The present time in UTC."""
    return datetime.now(UTC)
