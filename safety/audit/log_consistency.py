"""Whether the audit log knows the decisions that are in force in a database."""

from __future__ import annotations

import shlex

from firstsight.errors import AuditLogError
from firstsight.safety.audit.audit_entries import EMPTY_HEAD
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.human_decisions import OVERRIDE, OVERTURN, Reviews
from firstsight.safety.audit.log_link import LogLink, write_link
from firstsight.safety.audit.override_table import DECISION_COLUMN, read_reviews, write_reviews
from firstsight.safety.audit.score_table import SCORING, ScoreTable
from firstsight.storage.store import Store

DECISION, SCORE = "decision", "score"
"""Kinds of the entries that scorings make: one about an item, one about the run."""


def held_items(store: Store) -> dict[str, str]:
    """The decision of every item that is blocked or in review, as searches see it."""
    if DECISION_COLUMN not in store.items.schema.names:
        return {}
    found = store.items.search().where(f"{DECISION_COLUMN} IN ('review', 'block')").select(["item_id", DECISION_COLUMN])
    return {row["item_id"]: row[DECISION_COLUMN] for row in found.limit(None).to_arrow().to_pylist()}


def unlogged_decisions(store: Store) -> dict[str, str]:
    """The items whose decision comes neither from a scoring nor from a person, with that decision.

    Scorings and people's decisions are in force only once they are logged: the log does not know the others.
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
    """Refuse to go on where decisions are in force that the audit log does not know.

    Raises:
        AuditLogError: there are some; the first of them and what to do are named.
    """
    unknown = unlogged_decisions(store)
    if unknown:
        first = min(unknown)
        raise AuditLogError(
            f"{len(unknown):,} items of {store.uri} carry decisions that the audit log {log.path} does not know, such "
            f"as {unknown[first]} of {first!r}; nothing was scored. Restore the database or the log from a copy, or "
            f"take these decisions over into the log: {adopt_command(store, log)}"
        )


def has_unlinked_decisions(store: Store) -> bool:
    """Whether an earlier version, which logged them, has left decisions in a database without a link."""
    if ScoreTable(store).decisions():
        return True
    by_people = f"{DECISION_COLUMN} IS NOT NULL AND safety_scores IS NULL"  # of items that were never scored
    return DECISION_COLUMN in store.items.schema.names and store.items.count_rows(by_people) > 0


def link_from_log(store: Store, log: AuditLog, *, of_earlier_version: bool) -> LogLink:
    """Link a database that has no link to the log that it used under an earlier version, with people's decisions in it.

    Args:
        store: the database; the caller holds its writer lock.
        log: a log that is not empty.
        of_earlier_version: the database is known to be one; otherwise the log has to tell of its scorings or decisions.

    Raises:
        AuditLogError: the log does not verify, knows nothing of this database, or not all that is in force.
    """
    problem = link_problem(store, log, of_earlier_version=of_earlier_version)
    if problem:
        raise AuditLogError(
            f"{problem}; nothing was decided. Restore the log from a copy, or name it with $FIRSTSIGHT_SAFETY_LOG; to "
            f"take this one: {adopt_command(store, log)}"
        )
    reviews = Reviews.read(log)
    if reviews.decisions or reviews.appeals:
        write_reviews(store, reviews, reviews.decisions.keys() | reviews.appeals.keys())
    link = link_to_end(log)
    write_link(store, link)
    return link


def link_to_end(log: AuditLog) -> LogLink:
    """A link to a log as it is now, all of it known.

    Raises:
        AuditLogError: it does not verify.
    """
    first, last = None, EMPTY_HEAD
    for entry, head in log.entries_since(EMPTY_HEAD, None):
        first, last = first or entry.entry_id, head
    return LogLink(first, last, LogLink.to_empty_log().began)


def link_problem(store: Store, log: AuditLog, *, of_earlier_version: bool) -> str:
    """Why a log cannot be taken for that of a database without a link; empty where it can."""
    found = log.verify()
    if not found.ok:
        return f"the audit log {log.path} does not verify (line {found.problems[0].line}: {found.problems[0].what})"
    held, told = held_items(store), last_actions(log)
    unknown = {item_id: action for item_id, action in held.items() if not is_logged(told, item_id, action)}
    if unknown:
        first = min(unknown)
        return (
            f"{len(unknown):,} items of {store.uri} carry decisions that the audit log {log.path} does not know, such "
            f"as {unknown[first]} of {first!r}"
        )
    if not of_earlier_version and not held:
        scorings = {entry.subject for entry in log.entries(kinds=[SCORE])}
        if not scorings & _scorings(store):
            return f"the audit log {log.path} has entries, and none of them is about {store.uri}"
    return ""


def last_actions(log: AuditLog) -> dict[str, tuple[str, bool]]:
    """For every item that the log tells of, the last action about it, and whether a person chose it.

    Raises:
        AuditLogError, SafetyError: the log cannot be read.
    """
    told = {}
    for entry in log.entries(kinds=[DECISION, OVERRIDE, OVERTURN]):
        action = entry.record.get("action")
        if isinstance(action, str):
            told[entry.subject] = (action, entry.kind != DECISION)
    return told


def is_logged(told: dict[str, tuple[str, bool]], item_id: str, action: str) -> bool:
    """Whether a log knows an item's decision; what a person blocked may be in review since, because it has changed."""
    last = told.get(item_id)
    return last is not None and (last[0] == action or (action == "review" and last == ("block", True)))


def adopt_command(store: Store, log: AuditLog) -> str:
    """The command that lets a log be a database's."""
    return f"firstsight safety audit --adopt {shlex.quote(str(log.path))} --db {shlex.quote(store.uri)}"


def _scorings(store: Store) -> set[str]:
    """Ids of the scorings that are noted in `runs`."""
    return {run["run_id"] for run in store.run_rows() if run["settings"].get("kind") == SCORING}
