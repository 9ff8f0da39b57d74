"""Adopting another audit log: the way out where the database's own is lost, cut or changed, or was never linked.

No decision in force is taken back, unless a person's decision in the adopted log does. What that log does not know is
added to it: people's decisions and open appeals with who made them and when, scored decisions with their evidence, and
what neither explains as a decision of the person who adopts. People's decisions that only the log knows are put in
force. One entry tells of all this.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from firstsight.errors import AuditLogError
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.bound_log import BoundLog
from firstsight.safety.audit.human_decisions import APPEAL, OVERRIDE, OVERTURN, Reviews
from firstsight.safety.audit.log_consistency import (
    DECISION,
    held_items,
    is_logged,
    last_actions,
    link_to_end,
    unlogged_decisions,
)
from firstsight.safety.audit.log_link import Entry, read_link, write_link
from firstsight.safety.audit.override_table import (
    DECISION_COLUMN,
    decided_rows,
    put_in_force,
    read_reviews,
    write_reviews,
)
from firstsight.safety.audit.score_table import TABLE as SCORES
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.store import Store

ADOPT = "adopt"
"""Kind of the entry that tells of an adoption; its subject is `ADOPTION_SUBJECT`."""

ADOPTION_SUBJECT = "audit-log"

LOST_REASON = "in force when this log was adopted; its own entry is not in the log"
"""Reason of a decision that is taken over without its own."""


@dataclass(frozen=True)
class Adoption:
    """What an adoption did."""

    entry_id: str  # of the log
    logged: dict[str, int]  # decisions and appeals that the log did not know, by kind of entry
    known: int  # people's decisions that are in force now
    new: bool  # the log had no entries before


def adopt(store: Store, log: AuditLog, *, by: str, wait_s: float = 0.0) -> Adoption:
    """Let a log be the database's from now on; safe to repeat after a kill.

    Args:
        store: the database.
        log: a log that verifies, or a place for a new one.
        by: who decides this.
        wait_s: seconds to wait for another process that is writing.

    Raises:
        AuditLogError: the log does not verify, or cannot be written.
        DatabaseBusyError, StoreError: the database cannot be written.
    """
    with store.writing(wait_s):
        new = log.is_empty()
        found = log.verify()
        if not found.ok and not new:
            problem = found.problems[0]
            raise AuditLogError(
                f"the audit log {log.path} does not verify (line {problem.line}: {problem.what}) and was not adopted; "
                "restore it from a copy, or adopt a new one: name a file that does not exist yet"
            )
        log.check_writable()
        link, plan = read_link(store)
        before = None if link is None else {"first": link.first, "last": link.last.entry_id}
        people = _human_entries(store, log, by)
        entries = [*people, *_scoring_entries(store, log, people)]
        logged = {kind: sum(entry[0] == kind for entry in entries) for kind in (OVERRIDE, OVERTURN, APPEAL, DECISION)}
        record = {"by": by, "instead_of": before, "logged": logged}
        entry_id = log.append_many([*entries, (ADOPT, ADOPTION_SUBJECT, record)])[-1]
        reviews = Reviews.read(log)
        items = reviews.decisions.keys() | reviews.appeals.keys()
        if items:
            write_reviews(store, reviews, items)
            put_in_force(store, reviews, items)
        write_link(store, link_to_end(log), plan)
        BoundLog.open(store, log)  # finishes what was in hand
    return Adoption(entry_id, logged, len(reviews.decisions), new)


def _human_entries(store: Store, log: AuditLog, by: str) -> list[Entry]:
    """Entries of people's decisions and appeals that the log does not have, or has older ones of."""
    theirs, ours = Reviews.read(log), read_reviews(store)
    entries: list[Entry] = []
    for item_id, made in sorted(ours.decisions.items()):
        there = theirs.decisions.get(item_id)
        if there is None or there.time < made.time:
            record: dict[str, Any] = {"action": made.action, "policies": list(made.policies), "reason": made.reason}
            record |= {"by": made.by, "digest": made.digest, "carried": {"entry": made.entry_id, "time": made.time}}
            entries.append((OVERRIDE, item_id, record))
    told = ours.decisions.keys() | theirs.decisions.keys()
    lost = {item_id: made for item_id, made in _decided_by_people(store).items() if item_id not in ours.decisions}
    lost |= {item_id: (action, []) for item_id, action in unlogged_decisions(store).items()}
    for item_id, row in decided_rows(store, sorted(lost)).items():
        action, policies = lost[item_id]
        known = item_id in theirs.decisions and theirs.decisions[item_id].action == action
        if known or (row.get(DECISION_COLUMN) or "allow") != action:  # in the log, or not in force any more
            continue
        record = {"action": action, "policies": policies, "reason": LOST_REASON, "by": by, "digest": row["digest"]}
        entries.append((OVERRIDE, item_id, record | {"carried": {}}))
    for item_id, appeal in sorted(ours.appeals.items()):
        if item_id not in theirs.appeals and (item_id not in told or _is_newer(appeal.time, theirs, item_id)):
            record = {"reason": appeal.reason, "by": appeal.by}
            record |= {"carried": {"entry": appeal.entry_id, "time": appeal.time}}
            entries.append((APPEAL, item_id, record))
    return entries


def _is_newer(time: str, theirs: Reviews, item_id: str) -> bool:
    made = theirs.decisions.get(item_id)
    return made is None or made.time < time


def _decided_by_people(store: Store) -> dict[str, tuple[str, list[str]]]:
    """Actions and policies that a scoring of an earlier version took from a log, which may be lost now."""
    table = open_side_table(store, SCORES)
    if table is None:
        return {}
    search = table.search().where('record LIKE \'%"source": "human"%\'').select(["item_id", "decision", "record"])
    found = {}
    for row in search.limit(None).to_arrow().to_pylist():
        evidence = json.loads(row["record"])["evidence"]
        policies = sorted({one["policy_id"] for one in evidence if one["source"] == "human"})
        found[row["item_id"]] = (row["decision"], policies)
    return found


def _scoring_entries(store: Store, log: AuditLog, people: list[Entry]) -> list[Entry]:
    """Entries of scored decisions in force that neither the log nor the entries of people's decisions tell of."""
    told = last_actions(log)
    told |= {item_id: (record["action"], True) for kind, item_id, record in people if kind == OVERRIDE}
    held = {item_id: action for item_id, action in held_items(store).items() if not is_logged(told, item_id, action)}
    table = open_side_table(store, SCORES)
    if not held or table is None:
        return []
    rows = table.search().where("record IS NOT NULL").select(["item_id", "record"]).limit(None).to_arrow()
    records = zip(rows["item_id"].to_pylist(), rows["record"].to_pylist(), strict=True)
    return [(DECISION, name, json.loads(str(record)) | {"carried": {}}) for name, record in records if name in held]
