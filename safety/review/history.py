"""History of one item in words, from the audit log, for `firstsight safety explain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firstsight.records import Record
from firstsight.safety.audit.audit_entries import AuditEntry
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.entry_kinds import ADOPT, APPEAL, DECISION, OVERRIDE, OVERTURN


@dataclass(frozen=True)
class EntryDescription(Record):
    """One entry of the log, in words."""

    time: str  # UTC, ISO 8601
    kind: str
    entry_id: str
    text: str  # one sentence
    record: Mapping[str, Any]  # the whole record


def history(log: AuditLog, subject: str) -> list[EntryDescription]:
    """Describe all entries about an item or a policy, oldest first.

    Raises:
        AuditLogError: the log cannot be read.
        SafetyError: a line of the log is no entry.
    """
    return [describe_entry(entry) for entry in log.entries(subject=subject)]


def describe_entry(entry: AuditEntry) -> EntryDescription:
    """Describe an entry in words; an unknown kind is shown as it was recorded."""
    record = entry.record
    try:
        text = _describe(entry.kind, record)
    except (KeyError, TypeError, IndexError, ValueError):  # an entry of another version: show its plain record
        text = f"{entry.kind}: " + ", ".join(f"{name} {value}" for name, value in record.items())
    return EntryDescription(entry.time, entry.kind, entry.entry_id, text, record)


def _describe(kind: str, record: Mapping[str, Any]) -> str:
    if kind == OVERRIDE:
        return f"{record['by']} decided {record['action']} under {_join_names(record['policies'])}: {record['reason']}"
    if kind == APPEAL:
        return f"{record['by']} appealed: {record['reason']}"
    if kind == OVERTURN:
        before, action, policies = record["stood"], record["action"], _join_names(record["policies"])
        return f"{record['by']} overturned {before} to {action} under {policies}: {record['reason']}"
    if kind == ADOPT:
        before, logged = record["instead_of"], sum(record["logged"].values())
        instead = f" instead of the log that ended with {before['last']}" if before else ""
        return f"{record['by']} adopted this log{instead} and added {logged} missing entries"
    if kind == DECISION:
        evidence = "; ".join(_describe_evidence(piece) for piece in record["evidence"]) or "no evidence against it"
        return f"scoring decided {record['action']} under policies {record['policy_version']}: {evidence}"
    raise KeyError(kind)


def _describe_evidence(piece: Mapping[str, Any]) -> str:
    where = piece["view_id"] or "the item"
    if piece["time_s"] is not None:
        where += f" at {piece['time_s']:.1f} s"
    if piece["source"] == "words":
        return f"{piece['policy_id']}: {piece['note']}"
    if piece["source"] == "hash":
        return f"{piece['policy_id']}: {where} is {piece['score']:.0f} bits from a known hash"
    return f"{piece['policy_id']}: {where} has {piece['score']:.3f}, cut {piece['cut']:.3f} ({piece['source']})"


def _join_names(names: Sequence[str]) -> str:
    return ", ".join(names) or "no policy"
