"""Items and users' histories in memory for personal search, shared by all threads of a process that use a database."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

import numpy as np

from firstsight.errors import QueryError
from firstsight.recommend.events.event_log import Events
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.storage.store import Store

FRESH_S: Final = 60.0
"""Age, in seconds, after which items and events are checked for changes: a check can read new rows."""


@dataclass(frozen=True)
class _State:
    """Items and events as they were read."""

    interactions: Interactions | None  # None without events on items
    space: ItemSpace
    events_version: int
    as_of_us: int  # no later event counts
    checked_at: float  # seconds of the monotonic clock


class UserHistories:
    """Histories of users over the items of one database. Methods are safe for threads."""

    def __init__(self) -> None:
        self._events: Events | None = None
        self._state: _State | None = None
        self._loading = threading.Lock()

    def of_user(self, store: Store, user: str, before_us: int | None = None) -> tuple[ItemSpace, History, int] | None:
        """Get a user's history.

        The first call reads all items and events; later ones read what changed, at most once in `FRESH_S` seconds.
        While one thread reads, others use the previous state.

        Args:
            store: the database at its newest version.
            user: id of a user.
            before_us: the moment up to which events count; None for the newest ones.

        Returns:
            The items, the history, and the moment up to which its events count, in microseconds since 1970; None for
            a user without events.
        """
        state = self._current(store)
        if state.interactions is None:
            return None
        ids = state.interactions.user_ids
        place = int(np.searchsorted(ids, user))
        if place == len(ids) or ids[place] != user:
            return None
        moment = state.as_of_us if before_us is None else before_us
        history = state.interactions.history(place).before(moment)
        return (state.space, history, moment) if len(history) else None

    def _current(self, store: Store) -> _State:
        state = self._state
        if state is not None and time.monotonic() - state.checked_at < FRESH_S:
            return state
        # with a previous state, only one thread waits for the new one
        if not self._loading.acquire(blocking=state is None):
            assert state is not None
            return state
        try:
            if self._state is state or self._state is None:
                self._state = self._read(store, state)
            return self._state
        finally:
            self._loading.release()

    def _read(self, store: Store, state: _State | None) -> _State:
        checked_at, now_us = time.monotonic(), time.time_ns() // 1_000
        if self._events is None:
            self._events = Events(store)
        version = Events(store).version()
        if state is not None and state.space.version == store.items_version and state.events_version == version:
            return _State(state.interactions, state.space, version, now_us, checked_at)
        same_items = state is not None and state.space.version == store.items_version
        space = state.space if state is not None and same_items else ItemSpace.load(store)
        try:
            interactions = self._events.interactions(space)
        except QueryError:  # no events, or none on items of the index
            interactions = None
        return _State(interactions, space, version, now_us, checked_at)


_SHARED: WeakValueDictionary[str, UserHistories] = WeakValueDictionary()
_OPENING = threading.Lock()


def shared_histories(uri: str) -> UserHistories:
    """Get the histories of a database; they are freed when nothing in the process uses them."""
    address = uri if "://" in uri else os.path.abspath(uri)
    with _OPENING:
        histories = _SHARED.get(address)
        if histories is None:
            histories = _SHARED[address] = UserHistories()
        return histories
