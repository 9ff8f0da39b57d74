"""Caps and floors: how many items of one group a slate may have, or must have."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError

NEW = "new"
"""Name of the group of items without events."""

ColumnCodes = Callable[[str], tuple[NDArray[np.int64], NDArray[np.object_]]]
"""Reads a catalogue column: (n,) a number for each item's value, -1 for no value; and the values by number, as text."""


@dataclass(frozen=True)
class GroupLimit:
    """A number of slots for a group of items.

    Attributes:
        group: as in the settings: `new`, `COLUMN=VALUE`, or for caps `COLUMN`, which means each value of the column.
        slots: minimum or maximum number of items in the slate.
    """

    group: str
    slots: int

    @property
    def column(self) -> str | None:
        """The catalogue column; None for new items."""
        return None if self.group == NEW else self.group.partition("=")[0]

    @property
    def value(self) -> str | None:
        """The value in the column; None for new items, or for each value of the column."""
        _, equals, value = self.group.partition("=")
        return value if equals else None


def read_floors(floors: Mapping[str, float], k: int) -> tuple[GroupLimit, ...]:
    """Turn floors by group into numbers of slots; a share is rounded up.

    Raises:
        QueryError: a number is out of range, a group is no value of a column, or the floors need more than k slots.
    """
    limits = tuple(GroupLimit(group, _slots("floor", group, number, k, math.ceil)) for group, number in floors.items())
    for limit in limits:
        if limit.group != NEW and (not limit.column or limit.value in (None, "")):
            raise QueryError(
                f"{limit.group!r} is no group for a floor; give a value of a column, such as seller=acme, or new"
            )
        if limit.slots > k:
            raise QueryError(f"a floor of {limit.slots} for {limit.group} is more than the {k} slots; raise k")
    for column in {limit.column for limit in limits if limit.column}:
        total = sum(limit.slots for limit in limits if limit.column == column)
        if total > k:
            raise QueryError(f"the floors of {column} need {total} slots, more than the {k} of the slate; lower them")
    return limits


def read_caps(caps: Mapping[str, float], k: int) -> tuple[GroupLimit, ...]:
    """Turn caps by group into numbers of slots; a share is rounded down.

    Raises:
        QueryError: a number is out of range, or a group has no column.
    """
    limits = tuple(GroupLimit(group, _slots("cap", group, number, k, math.floor)) for group, number in caps.items())
    for limit in limits:
        if limit.group != NEW and (not limit.column or limit.value == ""):
            raise QueryError(
                f"{limit.group!r} is no group for a cap; give a column, a value such as seller=acme, or new"
            )
        if limit.slots < 1 and limit.value is None and limit.group != NEW:
            raise QueryError(f"a cap of {limit.slots} for each {limit.group} allows no items; it must be 1 or more")
    return limits


def check_contradictions(floors: Sequence[GroupLimit], caps: Sequence[GroupLimit]) -> None:
    """Refuse a floor above a cap of the same group.

    Raises:
        QueryError: there is one.
    """
    for floor in floors:
        for cap in caps:
            same = cap.group == floor.group or (cap.group != NEW and cap.value is None and cap.column == floor.column)
            if same and floor.slots > cap.slots:
                raise QueryError(
                    f"the floor of {floor.slots} for {floor.group} is above its cap of {cap.slots}; change one of them"
                )


def _slots(name: str, group: str, number: float, k: int, rounded: Callable[[float], int]) -> int:
    is_share = isinstance(number, float) and number <= 1
    if not number >= 0 or math.isinf(number) or not (is_share or float(number).is_integer()):
        raise QueryError(f"a {name} of {number} for {group} is out of range; give a count, or a share such as 0.1")
    # the product of a share and k can be off by rounding errors
    return rounded(round(number * k, 9)) if is_share else int(number)


@dataclass(frozen=True)
class GroupRules:
    """Caps and floors over the items of a space.

    Attributes:
        caps: pairs of (n,) codes and a number: at most so many items with the same code; -1 is not capped.
        floors: (group, (n,) bool, number): at least so many items of the mask.
    """

    caps: Sequence[tuple[NDArray[np.int64], int]] = field(default_factory=tuple)
    floors: Sequence[tuple[str, NDArray[np.bool_], int]] = field(default_factory=tuple)

    @classmethod
    def of(
        cls,
        floors: Iterable[GroupLimit],
        caps: Iterable[GroupLimit],
        *,
        column: ColumnCodes,
        is_new: NDArray[np.bool_],
    ) -> GroupRules | None:
        """Find the items of each group; None without caps and floors.

        Args:
            floors, caps: the limits.
            column: reads a catalogue column.
            is_new: (n,) whether an item has no events.

        Raises:
            QueryError: the catalogue has no such column.
        """
        codes_of_caps = []
        for cap in caps:
            if cap.column is not None and cap.value is None:
                codes_of_caps.append((column(cap.column)[0], cap.slots))
            else:
                codes_of_caps.append((np.where(_members(cap, column, is_new), 0, -1).astype(np.int64), cap.slots))
        masks = [(floor.group, _members(floor, column, is_new), floor.slots) for floor in floors if floor.slots]
        return cls(tuple(codes_of_caps), tuple(masks)) if codes_of_caps or masks else None


def _members(limit: GroupLimit, column: ColumnCodes, is_new: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) whether an item is of the group."""
    if limit.column is None:
        return is_new
    codes, names = column(limit.column)
    found = np.flatnonzero(names == limit.value)
    if not len(found):
        found = np.flatnonzero([_same_number(name, limit.value) for name in names])
    return np.isin(codes, found)


def _same_number(name: object, value: str | None) -> bool:
    """Whether 5 names the value 5.0."""
    try:
        return float(str(name)) == float(str(value))
    except ValueError:
        return False
