"""A profile from a file: a user, a history, or both, as JSON that a program wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from firstsight.errors import CatalogError, QueryError
from firstsight.recommend.events.event_rows import RefusedRow, detect_unit, read_event
from firstsight.recommend.events.interactions import History, make_history
from firstsight.recommend.items import ItemSpace

MAX_PROFILE_BYTES = 10_000_000


@dataclass(frozen=True)
class Profile:
    """Whom a slate is for.

    Attributes:
        user: whose logged events count as well; None for none.
        history: item ids, oldest first, or events with item_id, timestamp and optionally weight.
        age: in years.
    """

    user: str | None = None
    history: Sequence[str | Mapping[str, Any]] | None = None
    age: int | None = None


def read_profile(path: Path) -> Profile:
    """Read `{"user": "u1", "history": ["id", {"item_id": "id", "timestamp": 1700000000}], "age": 30}`.

    Raises:
        QueryError: the file cannot be read, is no such object, or says nothing.
    """
    try:
        if path.stat().st_size > MAX_PROFILE_BYTES:
            raise QueryError(f"{path} is larger than {MAX_PROFILE_BYTES:,} bytes; give a profile of one user")
        said = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise QueryError(f"{path} cannot be read ({error.strerror}); give a JSON file") from None
    except (ValueError, RecursionError):
        raise QueryError(f'{path} is no JSON; give an object such as {{"user": "u1", "history": ["id"]}}') from None
    if not isinstance(said, dict) or not said.keys() <= {"user", "history", "age"}:
        raise QueryError(f"{path} is not an object of user, history and age alone")
    user, history, age = said.get("user"), said.get("history"), said.get("age")
    if user is not None and not isinstance(user, str):
        raise QueryError(f"{path}: user is {user!r}; it is a text")
    if age is not None and (not isinstance(age, int) or isinstance(age, bool)):
        raise QueryError(f"{path}: age is {age!r}; it is a number of whole years")
    if history is not None and not isinstance(history, list):
        raise QueryError(f"{path}: history is a {type(history).__name__}; it is a list of ids or events")
    if user is None and history is None:
        raise QueryError(f"{path} has neither user nor history; nothing says whom the slate is for")
    return Profile(user, history, age)


def read_history(space: ItemSpace, entries: Sequence[str | Mapping[str, Any]], now: datetime) -> History:
    """A history of ids in order, or of events with times; the two may not be mixed.

    Raises:
        QueryError: it is empty, an entry is neither, an item is unknown, or a time or weight cannot be taken.
    """
    if not entries:
        raise QueryError("the history is empty; give item ids, oldest first, or leave it out for popular items")
    now_us = int(now.timestamp() * 1_000_000)
    ids = [one for one in entries if isinstance(one, str)]
    if len(ids) == len(entries):
        return make_history(np.array([space.place(one) for one in ids], dtype=np.int64), now_us)
    events = [{**one, "user_id": "-"} for one in entries if isinstance(one, Mapping)]
    if len(events) < len(entries):
        raise QueryError("the history mixes ids with events, or holds neither; give one or the other throughout")
    try:
        unit = detect_unit(events, "the history")
        read = [read_event(one, unit, now) for one in events]
    except CatalogError as error:
        raise QueryError(str(error).replace(" with --time-unit s, ms, us or iso", "")) from None
    except RefusedRow as error:
        raise QueryError(f"an event of the history cannot be taken: {error}") from None
    places = np.array([space.place(one.item_id) for one in read], dtype=np.int64)
    times = np.array([one.time_us for one in read], dtype=np.int64)
    order = np.argsort(times, kind="stable")
    return History(places[order], times[order], np.array([one.weight for one in read])[order])


def merge_histories(first: History, second: History) -> History:
    """Two histories as one, in the order of time."""
    times = np.concatenate([first.times, second.times])
    order = np.argsort(times, kind="stable")
    return History(
        np.concatenate([first.items, second.items])[order],
        times[order],
        np.concatenate([first.weights, second.weights])[order],
    )


def utc_now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
