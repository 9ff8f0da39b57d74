"""Values of items by the names that people use: columns of the catalogue, facts, and fields of facts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from firstsight.storage.columns import ColumnKind, kind_of_arrow
from firstsight.storage.facts.fact_names import FactNames
from firstsight.storage.table_store import TableStore

_READ_ROWS = 10_000


@dataclass(frozen=True)
class ItemValue:
    """A value that each item has or lacks."""

    name: str  # that was asked for
    column: str  # of `items`
    field: str | None  # of a struct; None for the whole column
    type: pa.DataType

    @property
    def kind(self) -> ColumnKind:
        """Kind of the values, as filters show it."""
        return kind_of_arrow(self.type)

    def of_row(self, row: Mapping[str, Any]) -> Any:
        """The value of a row of `items`; None if it is unknown."""
        value = row.get(self.column)
        return value if self.field is None or value is None else value[self.field]

    def of_table(self, table: pa.Table | pa.RecordBatch) -> Any:
        """The values of rows of `items`, as an Arrow array or chunked array."""
        values = table[self.column]
        return values if self.field is None else pc.struct_field(values, self.field)


def find_item_value(store: TableStore, name: str, columns: Collection[str]) -> ItemValue | None:
    """Find the value that a name asks for: a column of the catalogue wins over a fact of the same name.

    Args:
        store: the database.
        name: of a column, or of a fact as in filters, such as `colour`, `facts.colour`, `tags.category`, `colours.red`.
        columns: columns of `items` that may be asked for, besides facts.

    Returns:
        None if there is no such value. A fact with fields, such as `colours`, is no value by itself.
    """
    schema = store.items.schema
    if name in columns and name in schema.names:
        return ItemValue(name, name, None, schema.field(name).type)
    found = FactNames(schema).find(name)
    if found is None:
        return None
    fact, field = found
    if field is None:
        return None if fact.children else ItemValue(name, fact.column, None, fact.type)
    return ItemValue(name, fact.column, field, fact.children[field])


def find_item_values(
    store: TableStore, names: Iterable[str], columns: Collection[str], missing: Callable[[str], Exception] | None
) -> list[ItemValue]:
    """Find the values that names ask for, each name once; see `find_item_value`.

    Args:
        store, columns: as for `find_item_value`.
        names: names of columns and facts.
        missing: makes the error for a name without a value, which is raised; None to leave such names out.
    """
    found = []
    for name in dict.fromkeys(names):
        value = find_item_value(store, name, columns)
        if value is not None:
            found.append(value)
        elif missing is not None:
            raise missing(name)
    return found


def known_values(store: TableStore, columns: Collection[str]) -> str:
    """The columns and facts that a name may ask for, for a message."""
    facts = FactNames(store.items.schema).described()
    listed = ", ".join(columns) or "none"
    return f"{listed}; the facts are {facts}" if facts else listed


def read_item_values(store: TableStore, value: ItemValue) -> Iterator[tuple[str, Any]]:
    """Yield the id and the value of each item."""
    search = store.items.search().select(["item_id", value.column]).limit(None)
    for batch in search.to_batches(_READ_ROWS):
        yield from zip(batch["item_id"].to_pylist(), value.of_table(batch).to_pylist(), strict=True)
