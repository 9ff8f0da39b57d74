"""Columns of `items` with facts that firstsight has found, such as colours and language.

They are stored as `fact_NAME`, so that they never collide with the catalogue's own columns. Filters also accept `NAME`,
unless the catalogue has a column of that name, and always `facts.NAME`. The columns of tags are `fact_tag_NAME`
(`tags.NAME` in filters) and `fact_tag_NAME_p` (`tags.NAME_p`).
"""

from __future__ import annotations

from collections.abc import Sequence
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
