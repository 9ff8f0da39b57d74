"""Full check of an audit log: its entries, the database's link to it, and the decisions in force."""

from __future__ import annotations

from dataclasses import replace

from firstsight.errors import AuditLogError
from firstsight.safety.audit.audit_entries import LogProblem, Verification
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
    """Check every entry, the database's link to the log, and whether the log holds the decisions in force.

    Args:
        store: the database; it is only read.
        log: the log.
        expected: id of an entry that must be in the log, kept elsewhere.

    Returns:
        The problems; a problem of the database has line 0 and names the remedy.

    Raises:
        AuditLogError: the log cannot be read.
    """
    verification = log.verify(expected)
    if not verification.ok:  # changed entries prove nothing about items
        return verification
    link, _ = read_link(store)
    problems: list[str] = []
    unsettled: set[str] = set()  # items that the next writing command updates from the log
    if link is not None:
        try:
            for entry, _ in log.entries_since(link.last, link.first):
                if link.first is None and entry.sequence == 1 and entry.time < link.began:
                    raise AuditLogError(f"the audit log {log.path} is older than this database's link to a log")
                unsettled.add(entry.subject)
        except AuditLogError as error:
            problems.append(f"{error}, so it is not the log of {store.uri}; to use it: {adopt_command(store, log)}")
    logged = last_actions(log)
    held = held_items(store)
    unknown = {item_id: action for item_id, action in held.items() if not is_logged(logged, item_id, action)}
    unknown |= unlogged_decisions(store) if link is not None else {}
    unlogged = sorted(unknown.keys() - unsettled)
    if unlogged:
        problems.append(
            f"{len(unlogged):,} items of {store.uri} have decisions that are not in the audit log, such as "
            f"{unknown[unlogged[0]]} of {unlogged[0]!r}; to add them to the log: {adopt_command(store, log)}"
        )
    found = tuple(LogProblem(0, problem) for problem in problems)
    return replace(verification, problems=found, head=None if found else verification.head)
