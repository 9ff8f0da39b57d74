"""Upgrade of the safety tables from layout 1, which kept people's decisions only in the audit log."""

from __future__ import annotations

from firstsight.errors import SafetyError
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.human_decisions import Reviews
from firstsight.safety.audit.link_creation import has_unlinked_decisions, link_from_log, link_problem
from firstsight.safety.audit.log_link import read_link
from firstsight.storage.store import Store
from firstsight.storage.upgrade import UpgradeChange

SECONDS = 0.1
"""Estimated time of a commit."""

SECONDS_PER_ENTRY = 200e-6
"""Estimated time to check an entry of the log three times, 66 µs each."""


def plan(store: Store) -> list[UpgradeChange]:
    """List the changes that `apply` would make, or the reason why it cannot.

    The list is empty if the database is linked to its log or needs no link.
    """
    log, problem = _usable_log(store)
    if problem:
        return [
            UpgradeChange(
                f"Copy no decisions by people: {problem}. Restore the log, or adopt another with firstsight safety "
                "audit --adopt; until then, commands that decide or score refuse."
            )
        ]
    if log is None:
        return []
    reviews = Reviews.read(log)
    people = (
        f"Copy {len(reviews.decisions):,} decisions by people and {len(reviews.appeals):,} open appeals from the audit "
        f"log {log.path} into the database."
    )
    rows, head = len(reviews.decisions.keys() | reviews.appeals.keys()), log.head()
    return [
        UpgradeChange(people, rows=rows, seconds=SECONDS + SECONDS_PER_ENTRY * (head.sequence if head else 0)),
        UpgradeChange("Store the ids of the log's first and last entries.", rows=1, seconds=SECONDS),
    ]


def apply(store: Store) -> None:
    """Copy people's decisions from the audit log into the database, and link the two; safe to repeat after a kill.

    Nothing changes if the log is missing, does not verify, or lacks a decision in force. Scoring then fails, and its
    message names `firstsight safety audit --adopt`.

    Args:
        store: the database; the caller holds its writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    log, _ = _usable_log(store)
    if log is not None:
        link_from_log(store, log, of_earlier_version=True)


def _usable_log(store: Store) -> tuple[AuditLog | None, str]:
    """Return the log to link a database to, or why it cannot be used.

    Returns:
        `(log, "")` if the log verifies and has all decisions in force; `(None, reason)` if it cannot be used;
        `(None, "")` if there is nothing to link.
    """
    if read_link(store)[0] is not None:
        return None, ""
    try:
        log = AuditLog.of(store.uri)
        if log.is_empty():
            return None, f"the audit log {log.path} is empty" if has_unlinked_decisions(store) else ""
        problem = link_problem(store, log, of_earlier_version=True)
        return (None, problem) if problem else (log, "")
    except SafetyError as error:  # an object store without $FIRSTSIGHT_SAFETY_LOG, or a log that cannot be read
        return None, str(error) if has_unlinked_decisions(store) else ""
