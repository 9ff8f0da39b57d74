"""Columns of `items` with facts that firstsight has found, such as colours and language.

They are stored as `fact_NAME`, so that they never collide with the catalogue's own columns. Filters also accept `NAME`,
unless the catalogue has a column of that name, and always `facts.NAME`. The columns of tags are `fact_tag_NAME`
(`tags.NAME` in filters) and `fact_tag_NAME_p` (`tags.NAME_p`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from firstsight.storage.table_store import TableStore
from firstsight.storage.tables import FACT_PREFIX as FACT_PREFIX
from firstsight.storage.tables import is_fact_column as is_fact_column

TAG_PREFIX: Final = "fact_tag_"

OCR_TEXT: Final = "fact_ocr_text"
"""Column with the lines of text in an item's pictures; empty if there are none, null if no picture was read."""


def add_fact_columns(store: TableStore, fields: Sequence[pa.Field[Any]]) -> None:
    """Add columns of facts to `items`, unless they exist; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    missing = [field for field in fields if field.name not in store.items.schema.names]
    if missing:
        store.maintain(store.items, lambda items: items.add_columns(pa.schema(missing)))


def column_or_fact(names: Collection[str], name: str) -> str | None:
    """The column of `items` that has a value such as `language`: the catalogue's own, else the one of a fact or tag.

    Args:
        names: columns of `items`.
        name: name of a column, fact or tag, as in filters: `colour`, `facts.colour`, `category`, `tags.category`,
            `quality.problems`.

    Returns:
        The name under which it is stored; of `quality.problems`, that of the column `fact_quality`. None if there is
        neither.
    """
    fact = name.removeprefix("facts.")
    tag = fact.removeprefix("tags.")
    listed = [*([name] if fact == name else []), f"{FACT_PREFIX}{fact}", f"{TAG_PREFIX}{tag}"]
    struct = fact.partition(".")[0]
    if struct not in (fact, "tags"):
        listed.append(f"{FACT_PREFIX}{struct}")
    return next((column for column in listed if column in names), None)


def has_column_or_fact(schema: pa.Schema, name: str) -> bool:
    """Whether `items` has a value for a name; see `column_or_fact`."""
    column = column_or_fact(schema.names, name)
    if column is None or not is_fact_column(column) or not pa.types.is_struct(schema.field(column).type):
        return column is not None
    return name.rpartition(".")[2] in {field.name for field in schema.field(column).type}


def value_of(row: Mapping[str, Any], name: str) -> Any:
    """Value of a column, fact or tag in a row of `items`; None if it is unknown; see `column_or_fact`."""
    column = column_or_fact(row, name)
    value = None if column is None else row[column]
    if column is not None and is_fact_column(column) and isinstance(value, Mapping):
        return value.get(name.rpartition(".")[2])
    return value
