"""Events and searches of a log in memory, kept up by reading only the rows written since the last read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lancedb.table import Table
from numpy.typing import NDArray

from firstsight.recommend.events.event_table import (
    NON_PREFERENCE_EVENTS,
    SCHEMA,
    first_position,
    read_columns,
    read_type_weights,
    wanted_condition,
)
from firstsight.recommend.events.event_types import EVENT_TYPES, type_code
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.events.searches import SearchLog, distinct_searches
from firstsight.recommend.items import ItemSpace

_COLUMNS = ("user_id", "item_id", "timestamp", "event", "weight", "query", "position")
_NO_ROWS = pa.RecordBatch.from_pylist([], schema=pa.schema([SCHEMA.field(name) for name in _COLUMNS]))
_NO_POSITION = -1
_FROM_SEARCH = np.array([type_code(name) for name in ("other", "view", "click")], dtype=np.int8)
_SEARCH_CLICK = np.int8(EVENT_TYPES.index("search click"))


class _Texts:
    """Distinct texts with a number each, in the order in which they came."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def numbers(self, column: pa.Array[Any]) -> NDArray[np.int64]:
        """(rows,) numbers of the texts of a column without nulls; new texts get new numbers."""
        encoded = column.dictionary_encode()
        numbers = np.empty(len(encoded.dictionary), dtype=np.int64)
        for place, text in enumerate(map(str, encoded.dictionary.to_pylist())):
            number = self._numbers.get(text)
            if number is None:
                number = self._numbers[text] = len(self.texts)
                self.texts.append(text)
            numbers[place] = number
        return np.asarray(numbers[encoded.indices.to_numpy(zero_copy_only=False)])

    def array(self) -> NDArray[np.object_]:
        """(texts,) all texts by number."""
        texts = np.empty(len(self.texts), dtype=object)
        texts[:] = self.texts
        return texts


@dataclass
class _Rows:
    """Events as parallel columns, sorted by user number, time and position."""

    users: NDArray[np.int64]
    times: NDArray[np.int64]
    positions: NDArray[np.int64]  # _NO_POSITION: written by an earlier version
    items: NDArray[np.int64]  # numbers of item ids
    liked: NDArray[np.bool_]  # whether the event means that the user likes the item
    types: NDArray[np.int8]
    weights: NDArray[np.float64]
    queries: NDArray[np.int64]  # numbers of texts; -1 without a query

    def take(self, rows: NDArray[np.int64]) -> _Rows:
        return _Rows(*(getattr(self, name)[rows] for name in _NAMES))

    def insert(self, new: _Rows) -> _Rows:
        """Merge sorted rows that arrived later than all of these."""
        if not len(self.users):
            return new
        places = _places_after(self.users, self.times, new.users, new.times)
        return _Rows(*(np.insert(getattr(self, name), places, getattr(new, name)) for name in _NAMES))


_NAMES = tuple(field.name for field in fields(_Rows))


class LoadedEvents:
    """The events of a table that mean that a user likes an item, and all searches."""

    def __init__(self) -> None:
        self._version = 0
        self._type_weights = _weights_by_code(None)
        self._clear()

    @classmethod
    def of(cls, table: Table, condition: str) -> LoadedEvents:
        """The events and searches that fulfil a condition; they are not to be refreshed."""
        loaded = cls()
        loaded._rows = loaded._sorted(read_columns(table, condition, _COLUMNS))
        loaded._type_weights = _weights_by_code(table)
        return loaded

    def refresh(self, table: Table) -> None:
        """Read the rows that were written since the last call; after anything unusual, read all rows again."""
        version = int(table.version)
        if version == self._version:
            return
        if not (self._version and version > self._version and self._read_new(table)):
            self._clear()
            self._rows = self._sorted(read_columns(table, wanted_condition(table), _COLUMNS))
            self._count = table.count_rows()
        self._version = version
        self._type_weights = _weights_by_code(table)

    def interactions(self, space: ItemSpace) -> Interactions:
        """The events on items of a space, with the searches of their users; empty if there are none."""
        rows, places = self._rows, self._places(space)
        known = rows.liked & (places >= 0)
        user_ids = self._user_ids.array()
        active = np.unique(rows.users[known])
        active = active[np.argsort(user_ids[active])]
        code_of = np.full(len(user_ids), -1, dtype=np.int64)
        code_of[active] = np.arange(len(active))
        codes = code_of[rows.users]
        kept = np.flatnonzero(known)
        kept = kept[np.argsort(codes[kept], kind="stable")]
        return Interactions(
            space,
            user_ids[active],
            codes[kept],
            places[kept],
            rows.times[kept],
            self._weights(kept),
            rows.types[kept],
            self._search_log(codes, np.where(known, places, -1)),
        )

    def history(self, space: ItemSpace) -> History:
        """All events as the history of one user."""
        rows, places = self._rows, self._places(space)
        known = rows.liked & (places >= 0)
        searches = self._search_log(np.zeros_like(rows.users), np.where(known, places, -1)).of_user(0)
        kept = np.flatnonzero(known)
        return History(places[kept], rows.times[kept], self._weights(kept), rows.types[kept], searches)

    # ---- inside

    def _clear(self) -> None:
        self._count = 0  # rows of the table at that version
        self._user_ids, self._item_ids, self._queries = _Texts(), _Texts(), _Texts()
        self._rows = self._sorted([])

    def _weights(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(rows,) weights of events times those of their types."""
        return np.asarray(self._rows.weights[rows] * self._type_weights[self._rows.types[rows]])

    def _places(self, space: ItemSpace) -> NDArray[np.int64]:
        """(events,) rows of the space; -1 for an item outside of it, and for a search alone."""
        return space.places(self._item_ids.texts)[self._rows.items]

    def _search_log(self, users: NDArray[np.int64], clicked: NDArray[np.int64]) -> SearchLog:
        """The searches of the users with a number of at least 0: both (events,)."""
        searches = np.flatnonzero((self._rows.queries >= 0) & (users >= 0))
        searches = searches[np.argsort(users[searches], kind="stable")]
        users, clicked = users[searches], clicked[searches]
        times, queries = self._rows.times[searches], self._rows.queries[searches]
        kept = distinct_searches(users, times, queries, clicked)
        return SearchLog(users[kept], self._queries.array()[queries[kept]], times[kept], clicked[kept])

    def _read_new(self, table: Table) -> bool:
        """Merge the rows written since the last version; False if they do not explain the table's present rows."""
        revised = list(read_columns(table, f"revision > {self._version}", _COLUMNS))
        if any(batch["position"].null_count for batch in revised):  # written by an earlier version, and now corrected
            return False
        first = pa.scalar(first_position(self._version))
        added = [batch.filter(pc.greater_equal(batch["position"], first)) for batch in revised]
        corrected = [batch.filter(pc.less(batch["position"], first)) for batch in revised]
        count = self._count + sum(map(len, added))
        if count != table.count_rows() or not self._correct(self._sorted(corrected)):
            return False
        self._rows = self._rows.insert(self._sorted(added))
        self._count = count
        return True

    def _correct(self, new: _Rows) -> bool:
        """Replace weights of known rows; False if a row is not known, or has another query."""
        if not len(new.users):
            return True
        old = np.flatnonzero(np.isin(self._rows.positions, new.positions))
        if len(old) != len(new.users):
            return False
        old = old[np.argsort(self._rows.positions[old])]
        by_position = np.argsort(new.positions)
        if not np.array_equal(self._rows.queries[old], new.queries[by_position]):
            return False
        self._rows.weights[old] = new.weights[by_position]
        return True

    def _sorted(self, batches: Iterable[pa.RecordBatch]) -> _Rows:
        """The preference events and searches of some batches, sorted."""
        parts = [self._rows_of(batch) for batch in batches] or [self._rows_of(_NO_ROWS)]
        rows = _Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in _NAMES))
        rows = rows.take(np.flatnonzero(rows.liked | (rows.queries >= 0)))
        keys: tuple[NDArray[np.signedinteger], ...] = (rows.positions, rows.times, rows.users)
        if (rows.positions == _NO_POSITION).any():  # order them by their item ids, as those versions did
            keys = (np.argsort(np.argsort(self._item_ids.array()))[rows.items], *keys)
        return rows.take(np.lexsort(keys))

    def _rows_of(self, batch: pa.RecordBatch) -> _Rows:
        types, liked = _types_of(batch)
        queries = np.full(len(batch), -1, dtype=np.int64)
        has_query = batch["query"].is_valid().to_numpy(zero_copy_only=False)
        queries[has_query] = self._queries.numbers(batch["query"].drop_null())
        from_search = liked & has_query & np.isin(types, _FROM_SEARCH)
        types[from_search] = _SEARCH_CLICK
        return _Rows(
            self._user_ids.numbers(batch["user_id"]),
            batch["timestamp"].cast(pa.int64()).to_numpy(),
            batch["position"].fill_null(_NO_POSITION).to_numpy(),
            self._item_ids.numbers(batch["item_id"]),
            liked,
            types,
            batch["weight"].to_numpy(),
            queries,
        )


def _weights_by_code(table: Table | None) -> NDArray[np.float64]:
    """(types,) weight of each event type."""
    weights = read_type_weights(table)
    return np.array([weights[name] for name in EVENT_TYPES])


def _types_of(batch: pa.RecordBatch) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """(rows,) codes of the event types, and whether each event means that the user likes an item."""
    encoded = batch["event"].fill_null("").dictionary_encode()
    names = list(map(str, encoded.dictionary.to_pylist()))
    numbers = encoded.indices.to_numpy(zero_copy_only=False)
    codes = np.array([type_code(name) for name in names], dtype=np.int8)
    liked = np.array([name not in NON_PREFERENCE_EVENTS for name in names], dtype=bool)
    on_item = pc.not_equal(batch["item_id"], pa.scalar("")).to_numpy(zero_copy_only=False)
    return codes[numbers], liked[numbers] & on_item


def _places_after(
    users: NDArray[np.int64], times: NDArray[np.int64], new_users: NDArray[np.int64], new_times: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(new,) indices behind all rows of the same user up to the same time; `users` and `times` are sorted together."""
    low, high = np.searchsorted(users, new_users, side="left"), np.searchsorted(users, new_users, side="right")
    while (open_ := low < high).any():
        middle = (low + high) // 2
        after = open_.copy()
        after[open_] = times[middle[open_]] <= new_times[open_]
        low = np.where(after, middle + 1, low)
        high = np.where(open_ & ~after, middle, high)
    return low
