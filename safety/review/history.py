"""What happened to one item, told from the audit log: the log's part of `firstsight safety explain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firstsight.safety.audit.audit_entries import AuditEntry
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.human_decisions import APPEAL, OVERRIDE, OVERTURN


@dataclass(frozen=True)
class EntryDescription:
    """One entry of the log, in words."""

    time: str  # UTC, ISO 8601
    kind: str
    entry_id: str
    text: str  # one sentence
    record: Mapping[str, Any]  # all that was recorded

    def as_dict(self) -> dict[str, Any]:
        """As plain values for a line of JSON."""
        return {**vars(self), "record": dict(self.record)}


def history(log: AuditLog, subject: str) -> list[EntryDescription]:
    """Everything the log says about an item, or a policy, oldest first.

    Raises:
        SafetyError: the log cannot be read.
    """
    return [describe_entry(entry) for entry in log.entries(subject=subject)]


def describe_entry(entry: AuditEntry) -> EntryDescription:
    """An entry in words; what is of a kind that is not known here is shown as it was recorded."""
    record = entry.record
    try:
        text = _describe(entry.kind, record)
    except (KeyError, TypeError, IndexError, ValueError):  # of another version: better shown plainly than not at all
        text = f"{entry.kind}: " + ", ".join(f"{name} {value}" for name, value in record.items())
    return EntryDescription(entry.time, entry.kind, entry.entry_id, text, record)


def _describe(kind: str, record: Mapping[str, Any]) -> str:
    if kind == OVERRIDE:
        return f"{record['by']} decided {record['action']} under {_join_names(record['policies'])}: {record['reason']}"
    if kind == APPEAL:
        return f"{record['by']} appealed: {record['reason']}"
    if kind == OVERTURN:
        stood, action, policies = record["stood"], record["action"], _join_names(record["policies"])
        return f"{record['by']} overturned {stood} to {action} under {policies}: {record['reason']}"
    if kind == "adopt":
        before, logged = record["instead_of"], sum(record["logged"].values())
        instead = f" instead of the log that ended with {before['last']}" if before else ""
        return f"{record['by']} adopted this log{instead}; {logged} entries in force that it did not have were added"
    if kind == "decision":
        evidence = "; ".join(_describe_evidence(one) for one in record["evidence"]) or "nothing spoke against it"
        return f"scoring decided {record['action']} under policies {record['policy_version']}: {evidence}"
    raise KeyError(kind)


def _describe_evidence(one: Mapping[str, Any]) -> str:
    where = one["view_id"] or "the item"
    if one["time_s"] is not None:
        where += f" at {one['time_s']:.1f} s"
    if one["source"] == "words":
        return f"{one['policy_id']}: {one['note']}"
    if one["source"] == "hash":
        return f"{one['policy_id']}: {where} is {one['score']:.0f} bits from a known hash"
    return f"{one['policy_id']}: {where} has {one['score']:.3f}, cut {one['cut']:.3f} ({one['source']})"


def _join_names(names: Sequence[str]) -> str:
    return ", ".join(names) or "no policy"
