"""Conditions over the columns of `items`: checked, joined, and explained when they cannot be read."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from operator import itemgetter
from weakref import WeakKeyDictionary

from firstsight.errors import QueryError
from firstsight.storage.facts.fact_names import FactNames
from firstsight.storage.facts.item_values import find_item_value
from firstsight.storage.semantic_id_table import replace_semantic_ids
from firstsight.storage.sql.conditions import ConditionLimits, is_in, shortened
from firstsight.storage.store import Store
from firstsight.storage.tables import is_shown_column


def build_condition(store: Store, where: str | None, kinds: Sequence[str]) -> str | None:
    """The condition that LanceDB filters with, or None.

    Args:
        where: an SQL condition over the columns of `items`, over facts, and over `semantic_id`.
        kinds: "product", "video", "live"; none means all of them.

    Raises:
        QueryError: the condition cannot be read, or names a column that is not there.
    """
    conditions = []
    if where is not None:
        conditions.append(f"({_check_condition(store, where)})")
    if kinds:
        conditions.append(is_in("kind", kinds))
    return " AND ".join(conditions) or None


NOT_BLOCKED = "(safety_decision IS NULL OR safety_decision != 'block')"
"""The condition that a safety decision does not keep an item out."""

MAX_BLOCKED_IDS = 5_000
"""Blocked items up to which they are read past: a vector search under a condition looks into every partition."""

_BLOCKED: WeakKeyDictionary[Store, tuple[int, frozenset[str] | None]] = WeakKeyDictionary()
"""What `blocked_items` has found, by the version of the items that it is of."""


def blocked_items(store: Store) -> frozenset[str] | None:
    """The ids of the items that a safety decision keeps out; None where they are more than can be read past."""
    if "safety_decision" not in store.items.schema.names:
        return frozenset()
    version = store.items_version
    state, blocked = _BLOCKED.get(store, (-1, None))
    if state != version:
        search = store.items.search().where("safety_decision = 'block'").select(["item_id"]).limit(MAX_BLOCKED_IDS + 1)
        found = search.to_arrow()["item_id"].to_pylist()
        blocked = None if len(found) > MAX_BLOCKED_IDS else frozenset(str(item_id) for item_id in found)
        _BLOCKED[store] = (version, blocked)
    return blocked


_EXPIRING: WeakKeyDictionary[Store, tuple[int, list[tuple[datetime, str]] | None]] = WeakKeyDictionary()
"""Items that expire at some time, the first one first, by the version of the items; None if they are too many."""


def not_expired(now: datetime) -> str:
    """The condition that an item has not expired."""
    return f"(expires_at IS NULL OR expires_at > timestamp '{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}')"


def expired_items(store: Store, now: datetime) -> frozenset[str] | None:
    """The ids of the items that have expired; None where they are more than can be read past."""
    version = store.items_version
    known_version, expiring = _EXPIRING.get(store, (-1, None))
    if known_version != version:
        search = store.items.search().where("expires_at IS NOT NULL").select(["item_id", "expires_at"])
        found = search.limit(MAX_BLOCKED_IDS + 1).to_arrow().to_pylist()
        rows = sorted((row["expires_at"], str(row["item_id"])) for row in found)
        expiring = None if len(rows) > MAX_BLOCKED_IDS else rows
        _EXPIRING[store] = (version, expiring)
    if expiring is None:
        return None
    return frozenset(item_id for _, item_id in expiring[: bisect_right(expiring, now, key=itemgetter(0))])


def find_collapse_column(store: Store, name: str) -> str:
    """The column of `items` to collapse by: of the catalogue, else of a fact such as `tags.category`.

    Raises:
        QueryError: there is none; it names the columns and the facts.
    """
    value = find_item_value(store, name, [column for column in store.items.schema.names if is_shown_column(column)])
    if value is None:
        raise QueryError(f"there is no column {name!r} to collapse by; the columns are {_columns(store)}")
    if value.field is not None:
        raise QueryError(f"{name!r} is a share or a measure; collapse by a column or a fact with names, such as colour")
    return value.column


def _check_condition(store: Store, where: str) -> str:
    """Parse the filter, let LanceDB plan it, and explain in terms of this database what either does not accept."""
    if not where.strip():
        raise QueryError("the filter is empty; leave --where out, or give a condition such as price < 50")
    # these import sqlglot: only if there is a filter
    from firstsight.retrieval.ranking.filter_types import explain_type_mismatch
    from firstsight.storage.sql.condition_parser import parse_condition

    limits = ConditionLimits(hint=f"the columns are {_columns(store)}")
    facts = FactNames(store.items.schema)
    parsed = parse_condition(where, limits, facts.resolve)
    if mismatch := explain_type_mismatch(parsed.tree, store.filter_kinds(), facts.kinds):
        raise QueryError(f"the filter {shortened(where)!r} {mismatch}")
    condition = replace_semantic_ids(store, parsed)
    try:
        store.items.search().where(f"({condition.sql})").limit(1).explain_plan()
    except (ValueError, RuntimeError, OSError) as error:
        raise QueryError(explain_condition_error(store, where, str(error))) from None
    return condition.sql


_NOISE = (
    r"(Invalid (user )?input, |Invalid user input: |Error parsing (statement|function): |Error during planning: )",
    r"SELECT 1 FROM t WHERE .*\(sql parser error: ",
    r"(Error resolving filter expression .*?: |invalid SQL predicate: |sql parser error: )",
    r",? ?\S+\.rs:[\d:]+$",
    r"[ .)]+$",
)
"""Parts of LanceDB's messages around the reason: its layers, the statement that it builds, places in its source."""


def explain_condition_error(store: Store, where: str, message: str) -> str:
    """Explain LanceDB's error about a condition in terms of this database."""
    columns, where = _columns(store), shortened(where)
    unknown = re.search(r"No field named ([^\s.]+(?:\.[^\s.]+)*)", message)
    if unknown:
        name = unknown.group(1).rstrip(".").strip('`"')
        return f"the filter {where!r} asks for {name!r}, which is no column; the columns are {columns}"
    said = message.splitlines()[0]
    for noise in _NOISE:
        said = re.sub(noise, "", said)
    used = [(name, kind) for name, kind in store.filter_kinds().items() if _names(where, name)]
    types = ", ".join(f"{name} is a {kind} column" for name, kind in used)
    if types and re.search(r"coerc|expects|requires|type", message):
        return f"the filter {where!r} cannot be read ({said}); {types}; firstsight index --types changes a type"
    return f"the filter {where!r} cannot be read ({said}); the columns are {columns}"


def _names(where: str, name: str) -> bool:
    return re.search(rf"(?<![\w']){re.escape(name)}(?![\w'])", where, re.IGNORECASE) is not None


def _columns(store: Store) -> str:
    """The columns that a filter is likely to use, for messages."""
    facts = FactNames(store.items.schema).described()
    shown = ", ".join(name for name in store.items.schema.names if is_shown_column(name))
    return f"{shown}; the facts are {facts}" if facts else shown
