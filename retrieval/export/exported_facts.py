"""Facts as columns of an export: `colours` is a struct, `colours.red` one of its fields, `tags` a struct of all tags.

The names are those of filters: `SELECT colours.red FROM 'items.parquet'` works in DuckDB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from firstsight.storage.facts.fact_names import FACTS, TAGS, FactColumn, FactNames


class ExportedFacts:
    """The facts of a database under the names of an export.

    Args:
        schema: of `items`.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._names = FactNames(schema)
        self._own = {name.lower() for name in schema.names}
        self._tags = [column for column in self._names.columns if column.name.startswith(f"{TAGS}.")]

    @property
    def columns(self) -> list[str]:
        """Names of the columns by default: one for each fact, and one for all tags."""
        plain = [self._shown(column.name) for column in self._names.columns if column not in self._tags]
        return [*plain, *([self._shown(TAGS)] if self._tags else [])]

    @property
    def known(self) -> list[str]:
        """All names: `columns`, and each field and tag."""
        return list(dict.fromkeys([*self.columns, *(name for name, _, _ in self._names.shown())]))

    def has(self, name: str) -> bool:
        """Whether a name is one of a fact, in any case, and of no column of the catalogue."""
        return self._is_tags(name) or self._names.find(name) is not None

    def stored_columns(self, name: str) -> list[str]:
        """Columns of `items` that an exported column comes from."""
        if self._is_tags(name):
            return [column.column for column in self._tags]
        return [self._found(name)[0].column]

    def field(self, name: str) -> pa.Field[Any]:
        """Field of an exported column."""
        if self._is_tags(name):
            return pa.field(name, pa.struct([(_tag(column), column.type) for column in self._tags]))
        column, child = self._found(name)
        return pa.field(name, column.type if child is None else column.children[child])

    def array(self, name: str, rows: pa.Table) -> pa.Array[Any]:
        """Values of an exported column.

        Args:
            rows: with its `stored_columns`.
        """
        if self._is_tags(name):
            parts: Sequence[Any] = [rows[column.column].combine_chunks() for column in self._tags]
            return pa.StructArray.from_arrays(list(parts), [_tag(column) for column in self._tags])
        column, child = self._found(name)
        values: Any = rows[column.column].combine_chunks()
        if child is not None:
            values = pc.struct_field(values, child)  # null where the struct is
        return cast("pa.Array[Any]", values)

    def _is_tags(self, name: str) -> bool:
        lower = name.lower()
        return bool(self._tags) and (lower == f"{FACTS}.{TAGS}" or (lower == TAGS and TAGS not in self._own))

    def _found(self, name: str) -> tuple[FactColumn, str | None]:
        found = self._names.find(name)
        assert found is not None, name  # checked by `has`
        return found

    def _shown(self, name: str) -> str:
        return f"{FACTS}.{name}" if name.lower() in self._own else name


def _tag(column: FactColumn) -> str:
    return column.name.removeprefix(f"{TAGS}.")
