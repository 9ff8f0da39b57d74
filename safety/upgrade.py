"""Upgrading the safety tables of a database of layout 1, which kept people's decisions in the audit log alone."""

from __future__ import annotations

from firstsight.errors import SafetyError
from firstsight.indexer.store import Store
from firstsight.safety.audit import AuditLog
from firstsight.safety.known_decisions import link_from_log, link_problem
from firstsight.safety.log_link import read_link
from firstsight.safety.reviews import Reviews


def plan(store: Store) -> list[str]:
    """What `apply` would do, in sentences; nothing where the database is linked to its log, or has no usable one."""
    log = _usable_log(store)
    if log is None:
        return []
    reviews = Reviews.read(log)
    return [
        f"Copy {len(reviews.decisions):,} decisions by people and {len(reviews.appeals):,} open appeals from the audit "
        f"log {log.path} into the database.",
        "Store the ids of the log's first and last entries.",
    ]


def apply(store: Store) -> None:
    """Copy people's decisions from the audit log into the database, and link the two; safe to repeat after a kill.

    A log that is missing, that does not verify, or that does not know all decisions in force is left alone: then
    scoring refuses, and names `firstsight safety audit --adopt`. The caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    log = _usable_log(store)
    if log is not None:
        link_from_log(store, log, of_earlier_version=True)


def _usable_log(store: Store) -> AuditLog | None:
    """The log of a database that is not linked to one yet, if it is whole and knows what is in force."""
    if read_link(store)[0] is not None:
        return None
    try:
        log = AuditLog.of(store.uri)
        return None if log.is_empty() or link_problem(store, log, of_earlier_version=True) else log
    except SafetyError:  # an object store without $FIRSTSIGHT_SAFETY_LOG, or a log that cannot be read
        return None
