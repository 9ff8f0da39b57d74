"""The semantic ID of each item, in a table of its own, and filters on it.

With codes in a column of `items`, each fit would take all rows out of the vector index. So the codes have their own
table, and this module turns filters on `semantic_id` into filters on `item_id`. Rows are written once and never
change. Each row belongs to a version of the codebooks. The codebooks are the last write of a fit; a version is in use
once they are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from firstsight.errors import QueryError
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.sql.conditions import is_in, shortened
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

if TYPE_CHECKING:
    from firstsight.storage.sql.condition_parser import Condition

CODES_TABLE = "semantic_ids"
CODEBOOKS_TABLE = "semantic_codebooks"
COLUMN = "semantic_id"

MOST_MATCHES = 20_000
"""Maximum number of items for a filter on semantic IDs: their ids become part of the search's filter."""


def _fields(*fields: pa.Field[Any], key: tuple[str, pa.DataType]) -> pa.Schema:
    key_field = pa.field(key[0], key[1], nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"})
    return pa.schema([key_field, *fields])


CODES_SCHEMA = _fields(
    pa.field("version", pa.int64(), nullable=False),
    pa.field("item_id", pa.string(), nullable=False),
    pa.field("semantic_id", pa.string(), nullable=False),  # codes and copy, joined by "-": "12-200-7-0"
    pa.field("codes", pa.list_(pa.int32()), nullable=False),  # one per level, coarse to fine
    pa.field("copy", pa.int32(), nullable=False),  # number of earlier items with the same codes
    key=("row_id", pa.string()),  # "version/item_id"
)
CODEBOOKS_SCHEMA = _fields(
    pa.field("fitted_at", TIME, nullable=False),
    pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder that made the vectors
    pa.field("levels", pa.int64(), nullable=False),
    pa.field("codes", pa.int64(), nullable=False),
    pa.field("dim", pa.int64(), nullable=False),
    pa.field("width", pa.int64(), nullable=False),  # dimensions that levels after the first compare
    pa.field("means", pa.list_(pa.float32()), nullable=False),  # levels × codes × dim
    pa.field("axes", pa.list_(pa.float32()), nullable=False),  # (levels - 1) × dim × width
    pa.field("centroids", pa.list_(pa.float32()), nullable=False),  # (levels - 1) × codes × width
    pa.field("figures", pa.string(), nullable=False),  # JSON
    key=("version", pa.int64()),
)


def newest_version(store: Store) -> int | None:
    """The version of the codebooks in use; None before the first fit."""
    table = open_side_table(store, CODEBOOKS_TABLE)
    if table is None:
        return None
    rows: list[dict[str, Any]] = table.search().select(["version"]).limit(None).to_arrow().to_pylist()
    return max((int(row["version"]) for row in rows), default=None)


def newest_fingerprint(store: Store) -> str | None:
    """The encoder, by its fingerprint, of the vectors to which the codebooks in use were fitted; None before a fit."""
    table, version = open_side_table(store, CODEBOOKS_TABLE), newest_version(store)
    if table is None or version is None:
        return None
    rows = table.search().where(f"version = {version}").select(["fingerprint"]).limit(None).to_arrow()
    return str(rows["fingerprint"][0].as_py())


def replace_semantic_ids(store: Store, condition: Condition) -> Condition:
    """Replace conditions on `semantic_id` in a filter with conditions on `item_id`.

    Supported are =, !=, IN, LIKE and their negations with a text; items without a semantic ID match the negations.

    Raises:
        QueryError: no item has a semantic ID yet, the filter uses another comparison, or more than `MOST_MATCHES` items
            match.
    """
    if COLUMN in store.items.schema.names:
        return condition

    def answer(comparison: str, negated: bool) -> str:
        return _item_condition(store, condition.text, comparison, negated)

    usage = f"compare it with a text by =, !=, IN or LIKE, such as {COLUMN} LIKE '12-%'"
    return condition.replace_column(COLUMN, answer, usage)


def _item_condition(store: Store, where: str, comparison: str, negated: bool) -> str:
    ids = _matching(store, comparison)
    if len(ids) > MOST_MATCHES:
        raise QueryError(
            f"the filter {shortened(where)!r} matches more than {MOST_MATCHES:,} items by {COLUMN}; give a longer "
            "prefix"
        )
    if not ids:
        return "(item_id IS NOT NULL)" if negated else "(item_id IS NULL)"  # an id is never null
    return f"({'NOT ' if negated else ''}{is_in('item_id', ids)})"


def _matching(store: Store, comparison: str) -> list[str]:
    version = newest_version(store)
    table = None if version is None else open_side_table(store, CODES_TABLE)
    if table is None:
        raise QueryError(f"no item of {store.uri} has a semantic ID yet; run first: firstsight semantic-ids fit")
    search = table.search().where(f"version = {version} AND {COLUMN} {comparison}").select(["item_id"])
    return [str(item_id) for item_id in search.limit(MOST_MATCHES + 1).to_arrow()["item_id"].to_pylist()]
