"""The semantic ID of each item, in a table of its own, and filters on it.

With codes in a column of `items`, each fit would take all rows out of the vector index. So the codes have their own
table, and this module turns filters on `semantic_id` into filters on `item_id`. Rows are written once and never
change. Each row belongs to a version of the codebooks. The codebooks are the last write of a fit; a version is in use
once they are stored.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from firstsight.errors import QueryError
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.store import Store, quote
from firstsight.storage.tables import TIME

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


def replace_semantic_ids(store: Store, where: str) -> str:
    """Replace conditions on `semantic_id` in a filter with conditions on `item_id`.

    Supported are =, !=, IN, LIKE and their negations with a literal; items without a semantic ID match the negations.

    Raises:
        QueryError: no item has a semantic ID yet, the filter uses another comparison, or more than `MOST_MATCHES` items
            match.
    """
    if COLUMN not in where or COLUMN in store.items.schema.names:
        return where
    answered = _PREDICATE.sub(lambda found: _item_condition(store, where, found), where)
    for token in _TOKEN.findall(answered):
        if token.strip('`"') == COLUMN:
            raise QueryError(
                f"the filter {where!r} asks of {COLUMN} what it cannot; ask for =, !=, IN or LIKE with a text, such as "
                f"{COLUMN} LIKE '12-%'"
            )
    return answered


_LITERAL = r"'(?:[^'\\]|''|\\(?!'))*'"
_PREDICATE = re.compile(
    rf"""(?P<other>{_LITERAL}) | [`"]?\b{COLUMN}\b[`"]? \s*
    (?: (?P<sign>=|!=|<>) \s* (?P<one>{_LITERAL})
      | (?P<not>NOT\s+)? LIKE \s* (?P<like>{_LITERAL})
      | (?P<notin>NOT\s+)? IN \s* \( (?P<several> \s* {_LITERAL} (?: \s*,\s* {_LITERAL} )* \s*) \) )""",
    re.IGNORECASE | re.VERBOSE,
)
_TOKEN = re.compile(rf"{_LITERAL}|[`\"]?\b\w+\b[`\"]?")


def _item_condition(store: Store, where: str, found: re.Match[str]) -> str:
    if found["other"] is not None:
        return found[0]
    if found["like"] is not None:
        condition, negated = f"LIKE {found['like']}", found["not"] is not None
    elif found["several"] is not None:
        condition, negated = f"IN ({found['several']})", found["notin"] is not None
    else:
        condition, negated = f"= {found['one']}", found["sign"] != "="
    ids = _matching(store, condition)
    if len(ids) > MOST_MATCHES:
        raise QueryError(
            f"the filter {where!r} matches more than {MOST_MATCHES:,} items by {COLUMN}; give a longer prefix"
        )
    if not ids:
        return "(item_id IS NOT NULL)" if negated else "(item_id IS NULL)"  # an id is never null
    return f"(item_id {'NOT ' if negated else ''}IN ({', '.join(map(quote, ids))}))"


def _matching(store: Store, condition: str) -> list[str]:
    version = newest_version(store)
    table = None if version is None else open_side_table(store, CODES_TABLE)
    if table is None:
        raise QueryError(f"no item of {store.uri} has a semantic ID yet; run first: firstsight semantic-ids fit")
    search = table.search().where(f"version = {version} AND {COLUMN} {condition}").select(["item_id"])
    return [str(item_id) for item_id in search.limit(MOST_MATCHES + 1).to_arrow()["item_id"].to_pylist()]
