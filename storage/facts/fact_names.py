"""Names of facts in filters and results: `colour`, `colours.red`, `tags.category`, `facts.NAME`.

A tag also has its name alone, such as `category`, unless a column or another fact is called so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from firstsight.storage.columns import ColumnKind, kind_of_arrow
from firstsight.storage.facts.fact_columns import FACT_PREFIX, TAG_PREFIX
from firstsight.storage.sql.conditions import RefusalError, quote_name
from firstsight.storage.tables import is_fact_column

FACTS: Final = "facts"
"""First part of names that are always those of facts, and the key of facts in results."""

TAGS: Final = "tags"
"""First part of the names of tags."""

_DIGITS: Final = 4
"""Digits after the point of numbers in results: shares and probabilities are not more exact."""


@dataclass(frozen=True)
class FactColumn:
    """A column of `items` with facts."""

    name: str  # in filters and results, such as "colours" or "tags.category"
    column: str  # in the table
    type: pa.DataType

    @property
    def children(self) -> dict[str, pa.DataType]:
        """Fields of a struct, by name; empty for a plain column."""
        if not pa.types.is_struct(self.type):
            return {}
        return {field.name: field.type for field in self.type}

    def kinds(self) -> Iterator[tuple[str, ColumnKind]]:
        """Names in filters with their kinds."""
        if not self.children:
            yield self.name, kind_of_arrow(self.type)
        for child, kind in self.children.items():
            yield f"{self.name}.{child}", kind_of_arrow(kind)


class FactNames:
    """The names of the facts of a database.

    Args:
        schema: of `items`.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._own = {name.lower() for name in schema.names if not is_fact_column(name)}
        self.columns = tuple(
            FactColumn(fact_name(field.name), field.name, field.type) for field in schema if is_fact_column(field.name)
        )
        self._by_name = {column.name.lower(): column for column in self.columns}
        tags = [column for column in self.columns if column.name.startswith(f"{TAGS}.")]
        self._tags = {column.name.removeprefix(f"{TAGS}."): column for column in tags}

    def __bool__(self) -> bool:
        return bool(self.columns)

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        """Kinds by each name that a filter may use: `colour`, `facts.colour`, `colours.red`, `tags.category`, …"""
        found: dict[str, ColumnKind] = {}
        for column in self.columns:
            for name, kind in column.kinds():
                found[f"{FACTS}.{name}"] = kind
                if name.lower() not in self._own:
                    found[name] = kind
        for name, column in self._tags.items():
            found.setdefault(f"{FACTS}.{name}", kind_of_arrow(column.type))
            if name not in self._own:
                found.setdefault(name, kind_of_arrow(column.type))
        return found

    def shown(self) -> list[tuple[str, ColumnKind, str]]:
        """Shortest name for filters, kind and SQL of each value of the facts."""
        listed = []
        for column in self.columns:
            for name, kind in column.kinds():
                parts = name.removeprefix(column.name).lstrip(".")
                sql = quote_name(column.column) + (f".{quote_name(parts)}" if parts else "")
                listed.append((f"{FACTS}.{name}" if name.lower() in self._own else name, kind, sql))
        return listed

    def described(self) -> str:
        """The names for a message; the fields of a struct share one entry."""
        entries = []
        for column in self.columns:
            name = f"{FACTS}.{column.name}" if column.name.lower() in self._own else column.name
            entries.append(f"{name} ({', '.join(column.children)})" if column.children else name)
        return ", ".join(entries)

    def resolve(self, parts: Sequence[str]) -> str | None:
        """SQL for a name in a filter; None if it is the name of no fact.

        Args:
            parts: of the name, between its dots, in any case.

        Raises:
            RefusalError: the name starts with `facts.`, or with the name of a fact, and the rest is unknown.
        """
        lower = [part.lower() for part in parts]
        if (match := self._match(lower)) is not None:
            column, rest = match
            return self._field(column, ".".join(parts), rest)
        if len(lower) > 1 and (lower[0] == FACTS or (lower[0] == TAGS and self.columns)):
            known = self.described() or "none; firstsight facts status shows which are on"
            raise RefusalError(f"asks for {'.'.join(parts)!r}, which is no fact", f"the facts are {known}")
        return None

    def find(self, name: str) -> tuple[FactColumn, str | None] | None:
        """The column of a fact that a name asks for, and the field if it is one of a struct.

        Args:
            name: as in filters, in any case, such as `colours.red` or `facts.colour`.

        Returns:
            None if it is the name of no fact, or of a column of the catalogue.
        """
        match = self._match(name.lower().split("."))
        if match is None:
            return None
        column, rest = match
        if not rest:
            return column, None
        children = {child.lower(): child for child in column.children}
        return (column, children[rest[0]]) if len(rest) == 1 and rest[0] in children else None

    def _match(self, lower: Sequence[str]) -> tuple[FactColumn, Sequence[str]] | None:
        """The column that the parts of a name begin with, and the other parts."""
        named = len(lower) > 1 and lower[0] == FACTS
        rest = lower[1:] if named else lower
        if not named and len(rest) == 1 and rest[0] in self._own:
            return None
        for length in (2, 1):
            column = self._by_name.get(".".join(rest[:length])) if len(rest) >= length else None
            if column is not None:
                return column, rest[length:]
        if len(rest) == 1 and rest[0] in self._tags:
            return self._tags[rest[0]], ()
        return None

    @staticmethod
    def _field(column: FactColumn, asked: str, rest: Sequence[str]) -> str:
        if not rest:
            return quote_name(column.column)
        children = {child.lower(): child for child in column.children}
        if len(rest) == 1 and rest[0] in children:
            return f"{quote_name(column.column)}.{quote_name(children[rest[0]])}"
        known = f"it has {', '.join(column.children)}" if column.children else "it has no parts"
        raise RefusalError(f"asks for {asked!r}, which the fact {column.name!r} does not have", known)


def fact_name(column: str) -> str:
    """Name of a column with facts in filters and results: `fact_tag_category` is `tags.category`."""
    if column.startswith(TAG_PREFIX):
        return f"{TAGS}.{column.removeprefix(TAG_PREFIX)}"
    return column.removeprefix(FACT_PREFIX)


def facts_of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a row of `items`, without those that are unknown: {"colour": "red", "tags": {"category": "Tops"}}."""
    found: dict[str, Any] = {}
    for column, value in row.items():
        if is_fact_column(column) and (plain := _plain(value)) is not None:
            name = fact_name(column)
            if name.startswith(f"{TAGS}."):
                found.setdefault(TAGS, {})[name.removeprefix(f"{TAGS}.")] = plain
            else:
                found[name] = plain
    return found


def with_facts(columns: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Columns of an item as results show them: facts under the key `facts`, unless the catalogue has that column."""
    row = dict(columns)
    shown = {name: value for name, value in row.items() if not is_fact_column(name)}
    facts = facts_of_row(row)
    return {**shown, FACTS: facts} if facts and FACTS not in shown else shown


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items() if part is not None} or None
    return value
