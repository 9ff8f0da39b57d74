"""Adoption of another audit log: the remedy if the database's own log is lost, cut, changed, or was never linked.

Decisions in force stay, unless a person's decision in the adopted log replaces them. The adopted log gets entries for
everything that it lacks: people's decisions and open appeals, with author and time; scored decisions with their
evidence; and other decisions in force, as decisions of the person who adopts. People's decisions that only the log has
are put in force. One entry records the adoption.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstsight.errors import AuditLogError
from firstsight.records import Record
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.bound_log import BoundLog
from firstsight.safety.audit.entry_kinds import ADOPT, ADOPTION_SUBJECT, APPEAL, DECISION, OVERRIDE, OVERTURN
from firstsight.safety.audit.human_decisions import Reviews
from firstsight.safety.audit.link_creation import link_to_end
from firstsight.safety.audit.log_consistency import held_items, is_logged, last_actions, unlogged_decisions
from firstsight.safety.audit.log_link import Entry, read_link, write_link
from firstsight.safety.audit.override_table import (
    DECISION_COLUMN,
    apply_decisions,
    read_item_decisions,
    read_reviews,
    write_reviews,
)
from firstsight.safety.audit.score_table import TABLE as SCORES
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.store import Store

LOST_REASON = "in force when this log was adopted; its own entry is not in the log"
"""Reason of a decision whose own entry is lost."""


@dataclass(frozen=True)
class Adoption(Record):
    """Result of an adoption."""

    log: Path  # the adopted log
    entry_id: str  # of the entry that records the adoption
    logged: Mapping[str, int]  # number of decisions and appeals added to the log, by kind of entry
    known: int  # number of people's decisions in the log now
    new: bool  # the log had no entries before


def adopt(store: Store, log: AuditLog, *, by: str, wait_s: float = 0.0) -> Adoption:
    """Make a log the audit log of a database; safe to repeat after a kill.

    Args:
        store: the database.
        log: a log that verifies, or the path of a new log.
        by: name of the person who adopts.
        wait_s: seconds to wait for another process that is writing.

    Raises:
        AuditLogError: the log does not verify, or cannot be written.
        DatabaseBusyError, StoreError: the database cannot be written.
    """
    with store.writing(wait_s):
        new = log.is_empty()
        verification = log.verify()
        if not verification.ok and not new:
            problem = verification.problems[0]
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
            apply_decisions(store, reviews, items)
        write_link(store, link_to_end(log), plan)
        BoundLog.open(store, log)  # finishes an unfinished scoring
    return Adoption(log.path, entry_id, logged, len(reviews.decisions), new)


def _human_entries(store: Store, log: AuditLog, by: str) -> list[Entry]:
    """Return entries for people's decisions and appeals that the log lacks or has only in an older form."""
    in_log, stored = Reviews.read(log), read_reviews(store)
    entries: list[Entry] = []
    for item_id, decision in sorted(stored.decisions.items()):
        logged = in_log.decisions.get(item_id)
        if logged is None or logged.time < decision.time:
            record: dict[str, Any] = {
                "action": decision.action,
                "policies": list(decision.policies),
                "reason": decision.reason,
            }
            record |= {
                "by": decision.by,
                "digest": decision.digest,
                "carried": {"entry": decision.entry_id, "time": decision.time},
            }
            entries.append((OVERRIDE, item_id, record))
    decided = stored.decisions.keys() | in_log.decisions.keys()
    lost = {item_id: choice for item_id, choice in _decided_by_people(store).items() if item_id not in stored.decisions}
    lost |= {item_id: (action, []) for item_id, action in unlogged_decisions(store).items()}
    for item_id, row in read_item_decisions(store, sorted(lost)).items():
        action, policies = lost[item_id]
        known = item_id in in_log.decisions and in_log.decisions[item_id].action == action
        if known or (row.get(DECISION_COLUMN) or "allow") != action:  # in the log, or no longer in force
            continue
        record = {"action": action, "policies": policies, "reason": LOST_REASON, "by": by, "digest": row["digest"]}
        entries.append((OVERRIDE, item_id, record | {"carried": {}}))
    for item_id, appeal in sorted(stored.appeals.items()):
        if item_id not in in_log.appeals and (item_id not in decided or _is_newer(appeal.time, in_log, item_id)):
            record = {"reason": appeal.reason, "by": appeal.by}
            record |= {"carried": {"entry": appeal.entry_id, "time": appeal.time}}
            entries.append((APPEAL, item_id, record))
    return entries


def _is_newer(time: str, in_log: Reviews, item_id: str) -> bool:
    """Whether a time is later than the log's last decision about an item."""
    decision = in_log.decisions.get(item_id)
    return decision is None or decision.time < time


def _decided_by_people(store: Store) -> dict[str, tuple[str, list[str]]]:
    """Return item id -> (action, policies) that a scoring of an earlier version took from a log, now perhaps lost."""
    table = open_side_table(store, SCORES)
    if table is None:
        return {}
    search = table.search().where('record LIKE \'%"source": "human"%\'').select(["item_id", "decision", "record"])
    decided = {}
    for row in search.limit(None).to_arrow().to_pylist():
        evidence = json.loads(row["record"])["evidence"]
        policies = sorted({piece["policy_id"] for piece in evidence if piece["source"] == "human"})
        decided[row["item_id"]] = (row["decision"], policies)
    return decided


def _scoring_entries(store: Store, log: AuditLog, people: list[Entry]) -> list[Entry]:
    """Return entries for scored decisions in force that are neither in the log nor among `people`."""
    logged = last_actions(log)
    logged |= {item_id: (record["action"], True) for kind, item_id, record in people if kind == OVERRIDE}
    held = {item_id: action for item_id, action in held_items(store).items() if not is_logged(logged, item_id, action)}
    table = open_side_table(store, SCORES)
    if not held or table is None:
        return []
    rows = table.search().where("record IS NOT NULL").select(["item_id", "record"]).limit(None).to_arrow()
    records = zip(rows["item_id"].to_pylist(), rows["record"].to_pylist(), strict=True)
    return [(DECISION, name, json.loads(str(record)) | {"carried": {}}) for name, record in records if name in held]
