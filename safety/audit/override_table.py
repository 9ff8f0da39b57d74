"""The table `safety_overrides`: what people decided about items, and the appeals that nobody has answered yet.

The audit log proves each of them; they are in force by this table, so that no lost or moved log un-blocks an item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from lancedb.table import Table

from firstsight.errors import AuditLogError, StoreError, first_line
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.human_decisions import REVIEW_KINDS, Appeal, HumanDecision, Reviews
from firstsight.safety.audit.log_link import COMMITS_PER_CLEANUP, KEEP_VERSIONS, read_link
from firstsight.safety.policy.decisions import ACTIONS, Action
from firstsight.storage.side_tables import open_side_table, unwritable, upsert
from firstsight.storage.sql.conditions import in_chunks, is_in, quote
from firstsight.storage.store import Store

TABLE = "safety_overrides"

DECISION_COLUMN = "safety_decision"
"""Column of `items`: review or block; null for what is shown, and for what was never scored."""

_FIELDS: list[pa.Field[Any]] = [
    pa.field("item_id", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("kind", pa.string()),  # override or overturn; null where the item is only appealed, and so are the next
    pa.field("action", pa.string()),
    pa.field("policies", pa.list_(pa.string())),
    pa.field("reason", pa.string()),
    pa.field("by", pa.string()),
    pa.field("digest", pa.string()),  # of the item, when it was looked at
    pa.field("time", pa.string()),  # UTC, ISO 8601
    pa.field("entry_id", pa.string()),  # of the audit log
    pa.field("appeal_by", pa.string()),  # null where no appeal is open, and so are the next
    pa.field("appeal_reason", pa.string()),
    pa.field("appeal_time", pa.string()),
    pa.field("appeal_entry_id", pa.string()),
]
SCHEMA = pa.schema(_FIELDS)
_DECISION = ("kind", "action", "reason", "by", "digest", "time", "entry_id")
_APPEAL = ("by", "reason", "time", "entry_id")


def read_reviews(store: Store, item_ids: Sequence[str] | None = None) -> Reviews:
    """The stored decisions and open appeals of all items, or of some; without `judged`, which the log alone has."""
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
    """Write what holds for some items, in one commit.

    Raises:
        StoreError: the database cannot be written.
    """
    rows = []
    for item_id in sorted(set(item_ids)):
        made, appeal = reviews.decisions.get(item_id), reviews.appeals.get(item_id)
        row: dict[str, Any] = {"item_id": item_id}
        if made is not None:
            row |= {name: getattr(made, name) for name in _DECISION} | {"policies": list(made.policies)}
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
    """What people decided and who appeals, as it is now: the stored state, and what the log has gone on with.

    A database of an earlier version has its people's decisions in the log alone. Where a log cannot be used, the stored
    state is all there is; commands that write refuse it.

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


def put_in_force(store: Store, reviews: Reviews, item_ids: Iterable[str]) -> int:
    """Write to `items` what people decided about some of them as they are now; the caller holds the writer lock.

    An item that has changed since keeps its decision until it is scored. The columns are made where the database was
    never scored.

    Returns:
        How many items changed.

    Raises:
        StoreError: the database cannot be written.
    """
    if DECISION_COLUMN not in store.items.schema.names:
        store.write_safety({})
    wrong: dict[Action, list[str]] = {action: [] for action in ACTIONS}
    for item_id, row in decided_rows(store, sorted(set(item_ids) & reviews.decisions.keys())).items():
        made = reviews.decisions[item_id]
        if made.digest == row["digest"] and (row[DECISION_COLUMN] or "allow") != made.action:
            wrong[made.action].append(item_id)
    for action, items in wrong.items():
        shown = "CAST(NULL AS STRING)" if action == "allow" else quote(action)
        for part in in_chunks(items):
            try:
                store.items.update(where=is_in("item_id", part), values_sql={DECISION_COLUMN: shown})
            except (OSError, RuntimeError) as error:
                raise StoreError(
                    f"{store.uri} could not be written ({first_line(error)}); the decision is in the audit log, and is "
                    "applied by the next command that writes"
                ) from error
    return sum(map(len, wrong.values()))


def decided_rows(store: Store, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`digest` and decision of those of these items that there are; the decision is missing if nothing was scored."""
    found: dict[str, dict[str, Any]] = {}
    columns = ["item_id", "digest", *({DECISION_COLUMN} & set(store.items.schema.names))]
    for part in store.rows_by_id(store.items, item_ids, columns=columns):
        found |= {row["item_id"]: row for row in part.to_pylist()}
    return found


def _rows(table: Table, item_ids: Sequence[str] | None) -> Iterable[Mapping[str, Any]]:
    if item_ids is None:
        yield from table.search().limit(None).to_arrow().to_pylist()
        return
    for part in Store.rows_by_id(table, item_ids):
        yield from part.to_pylist()
