"""First link between a database and its audit log: for databases of an earlier version, which have none."""

from __future__ import annotations

from firstsight.errors import AuditLogError
from firstsight.safety.audit.audit_entries import EMPTY_HEAD
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.entry_kinds import SCORE
from firstsight.safety.audit.human_decisions import Reviews
from firstsight.safety.audit.log_consistency import adopt_command, held_items, is_logged, last_actions
from firstsight.safety.audit.log_link import LogLink, write_link
from firstsight.safety.audit.override_table import DECISION_COLUMN, write_reviews
from firstsight.safety.audit.score_table import SCORING, ScoreTable
from firstsight.storage.store import Store


def has_unlinked_decisions(store: Store) -> bool:
    """Whether a database without a link holds decisions of an earlier version, which logged them."""
    if ScoreTable(store).decisions():
        return True
    by_people = f"{DECISION_COLUMN} IS NOT NULL AND safety_scores IS NULL"  # on items that were never scored
    return DECISION_COLUMN in store.items.schema.names and store.items.count_rows(by_people) > 0


def link_from_log(store: Store, log: AuditLog, *, of_earlier_version: bool) -> LogLink:
    """Link a database without a link to its log, and copy people's decisions from the log into the database.

    Args:
        store: the database; the caller holds its writer lock.
        log: a log with entries.
        of_earlier_version: True if the database surely comes from an earlier version; otherwise the log must hold one
            of its scorings or decisions.

    Raises:
        AuditLogError: the log does not verify, does not know this database, or lacks a decision in force.
    """
    problem = link_problem(store, log, of_earlier_version=of_earlier_version)
    if problem:
        raise AuditLogError(
            f"{problem}; nothing was decided. Restore the log from a copy, or name it with $FIRSTSIGHT_SAFETY_LOG; to "
            f"use this log: {adopt_command(store, log)}"
        )
    reviews = Reviews.read(log)
    if reviews.decisions or reviews.appeals:
        write_reviews(store, reviews, reviews.decisions.keys() | reviews.appeals.keys())
    link = link_to_end(log)
    write_link(store, link)
    return link


def link_to_end(log: AuditLog) -> LogLink:
    """Return a link to the log's last entry: the database then knows all entries.

    Raises:
        AuditLogError: the log does not verify.
    """
    first, last = None, EMPTY_HEAD
    for entry, head in log.entries_since(EMPTY_HEAD, None):
        first, last = first or entry.entry_id, head
    return LogLink(first, last, LogLink.to_empty_log().began)


def link_problem(store: Store, log: AuditLog, *, of_earlier_version: bool) -> str:
    """Return why a log cannot be linked to a database without a link; an empty text if it can.

    Args:
        store, log, of_earlier_version: as for `link_from_log`.
    """
    verification = log.verify()
    if not verification.ok:
        problem = verification.problems[0]
        return f"the audit log {log.path} does not verify (line {problem.line}: {problem.what})"
    held, logged = held_items(store), last_actions(log)
    unknown = {item_id: action for item_id, action in held.items() if not is_logged(logged, item_id, action)}
    if unknown:
        first = min(unknown)
        return (
            f"{len(unknown):,} items of {store.uri} have decisions that are not in the audit log {log.path}, such as "
            f"{unknown[first]} of {first!r}"
        )
    if not of_earlier_version and not held:
        scorings = {entry.subject for entry in log.entries(kinds=[SCORE])}
        if not scorings & _scorings(store):
            return f"the audit log {log.path} has entries, but none of them is about {store.uri}"
    return ""


def _scorings(store: Store) -> set[str]:
    """Ids of the scorings in `runs`."""
    return {run["run_id"] for run in store.run_rows() if run["settings"].get("kind") == SCORING}
