"""Decide which column of a log means what, from its names and from the values of its first rows."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from firstsight.errors import CatalogError
from firstsight.indexer.columns.column_names import plain_name
from firstsight.indexer.columns.column_values import as_text
from firstsight.indexer.columns.mapping_text import parse_column_pairs
from firstsight.indexer.formats.source import Row
from firstsight.recommend.events.column_names import (
    NOT_WEIGHTS,
    POSITIONS,
    REQUIRED,
    SYNONYMS,
    is_last_resort,
    rank_of,
)
from firstsight.recommend.events.event_times import is_clock, is_day, is_time
from firstsight.recommend.events.item_ids import ItemIds
from firstsight.recommend.events.wide_rows import WideColumns, find_wide_columns
from firstsight.records import Record
from firstsight.storage.quoted_names import quote_name

ROWS_ORDER = "rows"
"""The value of `order` that means the order of the rows of each user."""

CHECKED_VALUES = 5_000
"""Values of a column that are compared with the index, or read as times."""

MIN_KNOWN = 0.5
"""Share of a column's values that must be ids of the index, to take the column by its values alone."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True)
class EventColumns(Record):
    """Which column of a log is taken for what.

    Attributes:
        taken: names of the file's columns by ours; further ones are used where the first is empty (`item_id`), or a
            second one has the time of day (`timestamp`).
        filled: share of the first rows that have a value, by our name, 0 to 1.
        other: columns that could be the same but are not used, by our name.
        unused: the file's other columns.
        order: the column of positions, or "rows"; None if the log has times.
        notes: sentences about the choice.
        wide: columns that tell the type of event together, in a log without types.
    """

    taken: Mapping[str, tuple[str, ...]]
    filled: Mapping[str, float]
    other: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    order: str | None = None
    notes: tuple[str, ...] = ()
    wide: WideColumns | None = None

    def canonical(self, row: Row) -> dict[str, object]:
        """The cells of a row under our names; None for empty ones."""
        cells = {ours: _first_filled(row, names) for ours, names in self.taken.items()}
        times = self.taken.get("timestamp", ())
        if len(times) == 2 and cells["timestamp"] is not None and (clock := cell(row, times[1])) is not None:
            cells["timestamp"] = f"{as_text(cell(row, times[0])).strip()} {clock}"
        if self.wide is not None:
            cells["event"], weight = self.wide.event(row)
            if weight is not None:
                cells.setdefault("weight", weight)
        return cells

    def to_dict(self) -> dict[str, Any]:
        """The choice as JSON fields."""
        return {
            "columns": {ours: list(names) for ours, names in self.taken.items()},
            "other_columns": {ours: list(names) for ours, names in self.other.items()},
            "unused_columns": list(self.unused),
            "order": self.order,
            "notes": list(self.notes),
        }


def parse_event_mapping(*texts: str) -> dict[str, str]:
    """Parse `--map`: `user_id=customer_id,item_id="sku, long"`.

    Args:
        texts: values of the option, in order; a later name of a column replaces an earlier one.

    Raises:
        CatalogError: the text has another form, or maps to an unknown column.
    """
    mapping: dict[str, str] = {}
    for pair in (pair for text in texts for pair in parse_column_pairs(text)):
        if pair.ours not in SYNONYMS:
            raise CatalogError(f"--map {str(pair)!r}: {pair.ours!r} is not one of {', '.join(SYNONYMS)}")
        if len(pair.theirs) > 1:
            raise CatalogError(f"--map {str(pair)!r}: {pair.ours} can come from one column only")
        mapping[pair.ours] = pair.theirs[0]
    return mapping


def choose_columns(
    rows: Sequence[Row],
    items: ItemIds,
    *,
    mapping: Mapping[str, str],
    order: str | None,
    place: str,
    unit_is_given: bool = False,
    hash_users: bool = False,
) -> EventColumns:
    """Choose the columns of a log.

    Of several columns with known names, the one with the most values counts: values that are times for `timestamp`, and
    values that are ids of the index for `item_id`. Last resorts such as `session_id` count only if there is no other.

    Args:
        rows: the first rows of the log, at least one.
        items: ids of the index.
        mapping: names of the file's columns by ours, as the user gave them.
        order: the column of positions, or "rows" for the order of the rows; None if the log has times.
        place: name of the file, for messages.
        unit_is_given: the user named the unit of the times: any number can be a time.
        hash_users: hashes are stored instead of user ids.

    Raises:
        CatalogError: a column is missing.
    """
    fills = Counter({name: 0 for row in rows for name in row})
    for row in rows:
        fills.update(name for name in row if _is_filled(row, name))
    sample = _Sample(rows, fills, items, unit_is_given)
    taken: dict[str, tuple[str, ...]] = {}
    other: dict[str, tuple[str, ...]] = {}
    for ours in SYNONYMS:
        if ours == "timestamp" and order is not None:
            continue
        if ours in mapping:
            taken[ours] = (_mapped(mapping[ours], ours, fills, place),)
            continue
        free = [name for name in fills if name not in mapping.values()]
        found = sample.candidates(ours, free)
        if not found and ours in REQUIRED:
            if ours == "item_id" and ("query" in mapping or sample.candidates("query", free)):
                continue
            raise CatalogError(_missing(ours, list(fills), place))
        if found:
            taken[ours], other[ours] = sample.first_and_others(ours, found)
    position = None if order is None or order == ROWS_ORDER else _position(order, fills, place)
    used = {name for names in (*taken.values(), *other.values()) for name in names} | {position}
    wide = None
    if "event" not in taken:
        wide = find_wide_columns([name for name in fills if name not in used], sample.values)
        if wide is not None:
            taken["event"] = wide.names
            used |= set(wide.names)
    return EventColumns(
        taken,
        {
            ours: sum(any(_is_filled(row, name) for name in names) for row in rows) / len(rows)
            for ours, names in taken.items()
        },
        {ours: names for ours, names in other.items() if names},
        tuple(name for name in fills if name not in used),
        position if order != ROWS_ORDER else ROWS_ORDER,
        (*_notes(taken, fills, sample, hash_users), *([] if wide is None else [wide.note()])),
        wide,
    )


def cell(row: Row, name: str) -> object | None:
    """The value of a cell; None if it is empty."""
    value = row.get(name)
    return None if value is None or (isinstance(value, str) and not value.strip()) else value


class _Sample:
    """The first rows of a log, and what their columns hold."""

    def __init__(self, rows: Sequence[Row], fills: Counter[str], items: ItemIds, unit_is_given: bool) -> None:
        self._rows, self._fills, self._items, self._unit_is_given = rows, fills, items, unit_is_given

    def values(self, name: str) -> list[object]:
        """The first values of a column."""
        found = (row[name] for row in self._rows if _is_filled(row, name))
        return list(islice(found, CHECKED_VALUES))

    def candidates(self, ours: str, names: Sequence[str]) -> list[str]:
        """Columns that can be ours, the best first."""
        found = [name for name in names if self._fills[name] and rank_of(ours, name) is not None]
        if not found:
            found = [name for name in names if rank_of(ours, name) is not None]
        if not found:
            found = self._by_values(ours, names)
        return sorted(found, key=lambda name: self._order(ours, name))

    def first_and_others(self, ours: str, found: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The column to take, with a second one that completes it, and the columns that are not used."""
        first = found[0]
        others = [name for name in found[1:] if ours != "user_id" or not is_last_resort(ours, name)]
        more: list[str] = []
        if ours == "timestamp" and all(map(is_day, self.values(first)[:100])):
            more = [name for name in others if self._share(name, is_clock) == 1][:1]
        elif ours == "item_id":
            for name in others:
                if self._completes((first, *more), name):
                    more.append(name)
        return (first, *more), tuple(name for name in others if name not in more)

    def _completes(self, taken: Sequence[str], name: str) -> bool:
        """Whether a column has ids where the taken ones are empty: known ids, or in no row beside the others."""
        empty = [not any(_is_filled(row, other) for other in taken) for row in self._rows]
        filled = [_is_filled(row, name) for row in self._rows]
        if not any(gap and has for gap, has in zip(empty, filled, strict=True)):
            return False
        apart = all(gap or not has for gap, has in zip(empty, filled, strict=True))
        return apart or self.known_share(name) > 0

    def known_share(self, name: str) -> float:
        """Share of a column's ids that are in the index."""
        ids = {as_text(value).strip() for value in self.values(name)}
        return len(self._items.known(ids)) / len(ids) if ids else 0.0

    def _share(self, name: str, fits: Any) -> float:
        values = self.values(name)
        return sum(map(fits, values)) / len(values) if values else 0.0

    def _by_values(self, ours: str, names: Sequence[str]) -> list[str]:
        if ours == "item_id":
            return [name for name in names if self.known_share(name) >= MIN_KNOWN]
        if ours == "timestamp":
            dates = [name for name in names if self._share(name, lambda v: not isinstance(v, int) and is_time(v)) == 1]
            return dates if len(dates) == 1 else []
        return []

    def _order(self, ours: str, name: str) -> tuple[bool, bool, float, float, int]:
        best = float(self._fills[name])
        if ours == "timestamp" and not self._unit_is_given:
            best *= self._share(name, is_time)
        known = self.known_share(name) if ours == "item_id" else 0.0
        rank = rank_of(ours, name)
        return best == 0, is_last_resort(ours, name), -known, -best, len(self._fills) if rank is None else rank


def _mapped(name: str, ours: str, fills: Mapping[str, int], place: str) -> str:
    if name in fills:
        return name
    same = [other for other in fills if plain_name(other) == plain_name(name)]
    if len(same) == 1:
        return same[0]
    raise CatalogError(
        f"{place}: --map {ours}={quote_name(name)}: there is no column {name!r}; its columns are {_listed(fills)}"
    )


def _position(order: str, fills: Mapping[str, int], place: str) -> str:
    same = [name for name in fills if name == order] or [
        name for name in fills if plain_name(name) == plain_name(order)
    ]
    if len(same) != 1:
        raise CatalogError(
            f"{place} has no column {order!r} for --order; its columns are {_listed(fills)}. Use --order rows if its "
            "rows are in order"
        )
    return same[0]


def _missing(ours: str, names: Sequence[str], place: str) -> str:
    message = f"{place} has no column {ours}, and no other name for it; its columns are {_listed(names)}. "
    message += f"Name yours with --map {ours}=NAME"
    if ours == "timestamp":
        position = next((name for name in names if plain_name(name) in POSITIONS), None)
        message += f"; if the log has an order but no times, use --order {shlex.quote(position or 'COLUMN')}"
        message += " (0 is the oldest)" if position else " (positions, 0 is the oldest) or --order rows"
    return message


def _listed(names: Any) -> str:
    text = ", ".join(sorted(map(str, names)))
    return text if len(text) <= 300 else text[:300] + "…"


def _notes(
    taken: Mapping[str, tuple[str, ...]], fills: Mapping[str, int], sample: _Sample, hash_users: bool
) -> list[str]:
    notes = []
    users = taken["user_id"][0]
    if is_last_resort("user_id", users):
        notes.append(
            f"each value of {users!r} counts as a user of its own; name a better column with --map user_id=NAME"
        )
    if not hash_users and any(
        isinstance(value, str) and _EMAIL.fullmatch(value.strip()) for value in sample.values(users)[:100]
    ):
        notes.append(f"user ids are e-mail addresses (column {users!r}) and are stored as they are; see --hash-users")
    if "timestamp" in taken and len(taken["timestamp"]) == 1 and all(map(is_day, sample.values(taken["timestamp"][0]))):
        notes.append("times are whole days, so the order of a user's events within a day is not known")
    if "weight" not in taken:
        for name in fills:
            if plain_name(name) in NOT_WEIGHTS:
                notes.append(
                    f"{name!r} is not used as a weight; --map {shlex.quote(f'weight={quote_name(name)}')} uses it"
                )
    return notes


def _first_filled(row: Row, names: Sequence[str]) -> object | None:
    """The first value that is not empty; NaN if there is no other, so that it is refused and not taken for empty."""
    if len(names) == 1:
        return cell(row, names[0])
    values = [value for name in names if (value := cell(row, name)) is not None]
    return next((value for value in values if value == value), values[0] if values else None)


def _is_filled(row: Row, name: str) -> bool:
    value = cell(row, name)
    return value is not None and value == value
