"""The table `safety_overrides`: people's decisions about items, and open appeals.

The audit log proves each decision. This table puts it in force, so that a lost or moved log never unblocks an item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from lancedb.table import Table

from firstsight.errors import AuditLogError, StoreError, first_line
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.entry_kinds import REVIEW_KINDS
from firstsight.safety.audit.human_decisions import Appeal, HumanDecision, Reviews
from firstsight.safety.audit.log_link import COMMITS_PER_CLEANUP, KEEP_VERSIONS, read_link
from firstsight.safety.policy.decisions import ACTIONS, Action
from firstsight.storage.side_tables import open_side_table, unwritable, upsert
from firstsight.storage.sql.conditions import in_chunks, is_in, quote
from firstsight.storage.store import Store

TABLE = "safety_overrides"

DECISION_COLUMN = "safety_decision"
"""Column of `items`: review or block; null for shown items and for items that were never scored."""

_FIELDS: list[pa.Field[Any]] = [
    pa.field("item_id", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field(
        "kind", pa.string()
    ),  # override or overturn; this and the next fields are null if the item is only appealed
    pa.field("action", pa.string()),
    pa.field("policies", pa.list_(pa.string())),
    pa.field("reason", pa.string()),
    pa.field("by", pa.string()),
    pa.field("digest", pa.string()),  # of the item, as the person saw it
    pa.field("time", pa.string()),  # UTC, ISO 8601
    pa.field("entry_id", pa.string()),  # of the audit log
    pa.field("appeal_by", pa.string()),  # this and the next fields are null without an open appeal
    pa.field("appeal_reason", pa.string()),
    pa.field("appeal_time", pa.string()),
    pa.field("appeal_entry_id", pa.string()),
]
SCHEMA = pa.schema(_FIELDS)
_DECISION = ("kind", "action", "reason", "by", "digest", "time", "entry_id")
_APPEAL = ("by", "reason", "time", "entry_id")


def read_reviews(store: Store, item_ids: Sequence[str] | None = None) -> Reviews:
    """Read the stored decisions and open appeals, without `Reviews.judged`, which only the log has.

    Args:
        store: the database.
        item_ids: only of these items; None for all.
    """
    table = open_side_table(store, TABLE)
    decisions: dict[str, HumanDecision] = {}
    appeals: dict[str, Appeal] = {}
    for row in () if table is None else _rows(table, item_ids):
        item_id = row["item_id"]
        if row["action"] is not None:
            plain = {name: row[name] for name in _DECISION}
            decisions[item_id] = HumanDecision(item_id=item_id, policies=tuple(row["policies"]), **plain)
        if row["appeal_entry_id"] is not None:
            appeals[item_id] = Appeal(item_id, **{name: row[f"appeal_{name}"] for name in _APPEAL})
    return Reviews(decisions, appeals)


def write_reviews(store: Store, reviews: Reviews, item_ids: Iterable[str]) -> None:
    """Replace the stored decisions and appeals of some items, in one commit.

    Args:
        store: the database; the caller holds its writer lock.
        reviews: decisions and appeals now in force, at least of these items.
        item_ids: items to write; an item without a decision or appeal in `reviews` loses its stored one.

    Raises:
        StoreError: the database cannot be written.
    """
    rows = []
    for item_id in sorted(set(item_ids)):
        decision, appeal = reviews.decisions.get(item_id), reviews.appeals.get(item_id)
        row: dict[str, Any] = {"item_id": item_id}
        if decision is not None:
            row |= {name: getattr(decision, name) for name in _DECISION} | {"policies": list(decision.policies)}
        if appeal is not None:
            row |= {f"appeal_{name}": getattr(appeal, name) for name in _APPEAL}
        rows.append(row)
    upsert(store, TABLE, SCHEMA, "item_id", rows)
    table = open_side_table(store, TABLE)
    if table is not None and table.version % COMMITS_PER_CLEANUP == 0:
        try:
            table.optimize(cleanup_older_than=KEEP_VERSIONS)
        except (OSError, RuntimeError) as error:
            raise unwritable(store, error) from error


def current_reviews(store: Store, log: AuditLog) -> Reviews:
    """Return people's decisions and open appeals as of now: the stored state and the newer entries of the log.

    A database of an earlier version has people's decisions only in the log. If the log cannot be used, the stored state
    is returned; commands that write refuse such a log.

    Raises:
        AuditLogError: the log of a database of an earlier version cannot be read.
    """
    link, _ = read_link(store)
    if link is None:
        return Reviews.read(log)
    stored = read_reviews(store)
    try:
        return Reviews.of(
            (entry for entry, _ in log.entries_since(link.last, link.first) if entry.kind in REVIEW_KINDS), stored
        )
    except AuditLogError:
        return stored


def apply_decisions(store: Store, reviews: Reviews, item_ids: Iterable[str]) -> int:
    """Write people's decisions to the table `items`.

    An item that has changed since its decision keeps its column until it is scored. A database that was never scored
    gets the columns.

    Args:
        store: the database; the caller holds its writer lock.
        reviews: people's decisions.
        item_ids: items to write.

    Returns:
        Number of changed items.

    Raises:
        StoreError: the database cannot be written.
    """
    if DECISION_COLUMN not in store.items.schema.names:
        store.write_safety({})
    changes: dict[Action, list[str]] = {action: [] for action in ACTIONS}
    for item_id, row in read_item_decisions(store, sorted(set(item_ids) & reviews.decisions.keys())).items():
        decision = reviews.decisions[item_id]
        if decision.digest == row["digest"] and (row[DECISION_COLUMN] or "allow") != decision.action:
            changes[decision.action].append(item_id)
    store.note_changed(item_id for items in changes.values() for item_id in items)
    for action, items in changes.items():
        value = "CAST(NULL AS STRING)" if action == "allow" else quote(action)
        for part in in_chunks(items):
            try:
                store.items.update(where=is_in("item_id", part), values_sql={DECISION_COLUMN: value})
            except (OSError, RuntimeError) as error:
                raise StoreError(
                    f"{store.uri} could not be written ({first_line(error)}); the decision is in the audit log, and "
                    "the next command that writes applies it"
                ) from error
    return sum(map(len, changes.values()))


def read_item_decisions(store: Store, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read `item_id`, `digest` and `safety_decision` of items in the table `items`.

    Returns:
        A row for each stored item; without the decision column if the database was never scored.
    """
    read: dict[str, dict[str, Any]] = {}
    columns = ["item_id", "digest", *({DECISION_COLUMN} & set(store.items.schema.names))]
    for part in store.rows_by_id(store.items, item_ids, columns=columns):
        read |= {row["item_id"]: row for row in part.to_pylist()}
    return read


def _rows(table: Table, item_ids: Sequence[str] | None) -> Iterable[Mapping[str, Any]]:
    if item_ids is None:
        yield from table.search().limit(None).to_arrow().to_pylist()
        return
    for part in Store.rows_by_id(table, item_ids):
        yield from part.to_pylist()
