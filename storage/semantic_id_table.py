"""The semantic ID of every item, in a table beside `items`, and conditions on it.

A column of `items` would take every row out of the vector index when codes are fitted, so that codes live here, and a
condition on `semantic_id` is answered here and handed on as ids. A row is written once and never changes. Rows belong
to a version of the codebooks; a version counts once its codebooks are stored, which is the last write of a fit.
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


def replace_semantic_ids(store: Store, where: str) -> str:
    """A condition in which those on `semantic_id` are conditions on `item_id`.

    Read are =, !=, IN, LIKE and their negations with a literal; an item without a semantic ID fits the negations.

    Raises:
        QueryError: nothing has semantic IDs yet, another kind of condition on them, or more matches than may be.
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
