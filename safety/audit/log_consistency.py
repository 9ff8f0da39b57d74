"""Comparison of the decisions in force in a database with its audit log."""

from __future__ import annotations

import shlex

from firstsight.errors import AuditLogError
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.entry_kinds import DECISION, OVERRIDE, OVERTURN
from firstsight.safety.audit.override_table import DECISION_COLUMN, read_reviews
from firstsight.safety.audit.score_table import ScoreTable
from firstsight.storage.store import Store


def held_items(store: Store) -> dict[str, str]:
    """Return item id -> decision of the items that are blocked or in review, as searches see them."""
    if DECISION_COLUMN not in store.items.schema.names:
        return {}
    held = store.items.search().where(f"{DECISION_COLUMN} IN ('review', 'block')").select(["item_id", DECISION_COLUMN])
    return {row["item_id"]: row[DECISION_COLUMN] for row in held.limit(None).to_arrow().to_pylist()}


def unlogged_decisions(store: Store) -> dict[str, str]:
    """Return item id -> decision of the held items whose decision comes neither from a scoring nor from a person.

    Scorings and people's decisions are logged before they are in force, so the log lacks exactly these.
    """
    held = held_items(store)
    if not held:
        return {}
    scored = ScoreTable(store).decisions()
    decided = read_reviews(store).decisions
    return {
        item_id: action
        for item_id, action in held.items()
        if scored.get(item_id) != action and (item_id not in decided or decided[item_id].action != action)
    }


def require_logged_decisions(store: Store, log: AuditLog) -> None:
    """Check that the audit log has all decisions in force.

    Raises:
        AuditLogError: it lacks some; the message names the first and the remedy.
    """
    unknown = unlogged_decisions(store)
    if unknown:
        first = min(unknown)
        raise AuditLogError(
            f"{len(unknown):,} items of {store.uri} have decisions that are not in the audit log {log.path}, such as "
            f"{unknown[first]} of {first!r}; nothing was scored. Restore the database or the log from a copy, or add "
            f"these decisions to the log: {adopt_command(store, log)}"
        )


def last_actions(log: AuditLog) -> dict[str, tuple[str, bool]]:
    """Return item id -> (last action, whether a person chose it) of the items in the log.

    Raises:
        AuditLogError: the log cannot be read.
        SafetyError: a line of the log is no entry.
    """
    actions = {}
    for entry in log.entries(kinds=[DECISION, OVERRIDE, OVERTURN]):
        action = entry.record.get("action")
        if isinstance(action, str):
            actions[entry.subject] = (action, entry.kind != DECISION)
    return actions


def is_logged(actions: dict[str, tuple[str, bool]], item_id: str, action: str) -> bool:
    """Whether the log explains an item's decision.

    An item in review may have the last action "block" by a person: changed items go from such a block to review.

    Args:
        actions: from `last_actions`.
        item_id: the item.
        action: its decision in force.
    """
    last = actions.get(item_id)
    return last is not None and (last[0] == action or (action == "review" and last == ("block", True)))


def adopt_command(store: Store, log: AuditLog) -> str:
    """Return the command that makes a log the audit log of a database."""
    return f"firstsight safety audit --adopt {shlex.quote(str(log.path))} --db {shlex.quote(store.uri)}"
