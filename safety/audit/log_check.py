"""The whole check of an audit log: its entries, its link to the database, and the decisions in force."""

from __future__ import annotations

from dataclasses import replace

from firstsight.errors import AuditLogError
from firstsight.safety.audit.audit_entries import Problem, Verification
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.log_consistency import (
    adopt_command,
    held_items,
    is_logged,
    last_actions,
    unlogged_decisions,
)
from firstsight.safety.audit.log_link import read_link
from firstsight.storage.store import Store


def check_log(store: Store, log: AuditLog, expected: str | None = None) -> Verification:
    """Look at every entry, at whether the log is the one that the database knows, and at the decisions in force.

    Args:
        store: the database; it is only read.
        log: the log.
        expected: an entry's id that was kept elsewhere; it has to be in the log still.

    Returns:
        What was found; a problem of the database has line 0, and names what to do.
    """
    found = log.verify(expected)
    if not found.ok:  # entries that were changed tell nothing about items
        return found
    link, _ = read_link(store)
    problems: list[str] = []
    unsettled: set[str] = set()  # items that the next command that writes brings up to the log
    if link is not None:
        try:
            for entry, _ in log.entries_since(link.last, link.first):
                if link.first is None and entry.sequence == 1 and entry.time < link.began:
                    raise AuditLogError(f"the audit log {log.path} was begun before this database had one")
                unsettled.add(entry.subject)
        except AuditLogError as error:
            problems.append(f"{error}, which {store.uri} knows; to go on with this log: {adopt_command(store, log)}")
    told = last_actions(log)
    unknown = {item_id: action for item_id, action in held_items(store).items() if not is_logged(told, item_id, action)}
    unknown |= unlogged_decisions(store) if link is not None else {}
    named = sorted(unknown.keys() - unsettled)
    if named:
        problems.append(
            f"{len(named):,} items of {store.uri} carry decisions that the audit log does not know, such as "
            f"{unknown[named[0]]} of {named[0]!r}; to take them over into the log: {adopt_command(store, log)}"
        )
    return replace(found, problems=tuple(Problem(0, problem) for problem in problems))
