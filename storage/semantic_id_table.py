"""The semantic ID of every item, in a table beside `items`, and conditions on it.

A column of `items` would take every row out of the vector index when codes are fitted, so that codes live here, and a
condition on `semantic_id` is answered here and handed on as ids. A row is written once and never changes. Rows belong
to a version of the codebooks; a version counts once its codebooks are stored, which is the last write of a fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from firstsight.errors import QueryError
from firstsight.storage.conditions import is_in, shortened
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

if TYPE_CHECKING:
    from firstsight.storage.condition_parser import Condition

CODES_TABLE = "semantic_ids"
CODEBOOKS_TABLE = "semantic_codebooks"
COLUMN = "semantic_id"

MOST_MATCHES = 20_000
"""Items that a condition on semantic IDs may choose: they become ids in the search's own condition."""


def _fields(*fields: pa.Field[Any], key: tuple[str, pa.DataType]) -> pa.Schema:
    own = pa.field(key[0], key[1], nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"})
    return pa.schema([own, *fields])


CODES_SCHEMA = _fields(
    pa.field("version", pa.int64(), nullable=False),
    pa.field("item_id", pa.string(), nullable=False),
    pa.field("semantic_id", pa.string(), nullable=False),  # codes and copy, joined by "-": "12-200-7-0"
    pa.field("codes", pa.list_(pa.int32()), nullable=False),  # of the levels, coarse to fine
    pa.field("copy", pa.int32(), nullable=False),  # how many items of the same codes came before
    key=("row_id", pa.string()),  # "version/item_id"
)
CODEBOOKS_SCHEMA = _fields(
    pa.field("fitted_at", TIME, nullable=False),
    pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder whose vectors it was fitted on
    pa.field("levels", pa.int64(), nullable=False),
    pa.field("codes", pa.int64(), nullable=False),
    pa.field("dim", pa.int64(), nullable=False),
    pa.field("width", pa.int64(), nullable=False),  # dimensions in which a further level compares
    pa.field("means", pa.list_(pa.float32()), nullable=False),  # levels × codes × dim
    pa.field("axes", pa.list_(pa.float32()), nullable=False),  # (levels - 1) × dim × width
    pa.field("centroids", pa.list_(pa.float32()), nullable=False),  # (levels - 1) × codes × width
    pa.field("figures", pa.string(), nullable=False),  # JSON
    key=("version", pa.int64()),
)


def newest_version(store: Store) -> int | None:
    """The version of the codebooks in use; None where none were fitted."""
    table = open_side_table(store, CODEBOOKS_TABLE)
    if table is None:
        return None
    rows: list[dict[str, Any]] = table.search().select(["version"]).limit(None).to_arrow().to_pylist()
    return max((int(row["version"]) for row in rows), default=None)


def replace_semantic_ids(store: Store, condition: Condition) -> Condition:
    """Replace what a condition says of `semantic_id` with conditions on `item_id`.

    It can use =, !=, IN and LIKE with texts, and NOT; an item without a semantic ID fulfils the negations.

    Raises:
        QueryError: nothing has semantic IDs yet, the condition uses them in another way, or more than `MOST_MATCHES`
            items match.
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
