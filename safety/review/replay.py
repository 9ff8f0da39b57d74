"""Replay of a past decision from its record alone, to show that it follows from the recorded scores and cuts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firstsight.errors import SafetyError
from firstsight.records import Record
from firstsight.safety.audit.audit_entries import AuditEntry
from firstsight.safety.audit.entry_kinds import DECISION, OVERRIDE, OVERTURN
from firstsight.safety.policy.decisions import Action, Decision, most_severe


@dataclass(frozen=True)
class Replay(Record):
    """A recorded decision, and the decision that its record gives."""

    entry_id: str
    recorded: Action
    replayed: Action
    steps: tuple[str, ...]  # outcome of each score, and of the override

    @property
    def same(self) -> bool:
        """Whether the record gives the recorded decision."""
        return self.recorded == self.replayed

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and `same` as plain values."""
        return super().to_dict() | {"same": self.same}


def replay(entry: AuditEntry) -> Replay:
    """Decide again from the record of a log entry; no table, model or policy file is read.

    Raises:
        SafetyError: the entry records no decision, or lacks its scores or cuts.
    """
    if entry.kind in (OVERRIDE, OVERTURN):
        action: Action = entry.record["action"]
        step = f"{entry.record['by']} decided {action}: {entry.record['reason']}"
        return Replay(entry.entry_id, action, action, (step,))
    if entry.kind != DECISION:
        raise SafetyError(f"entry {entry.entry_id} is of kind {entry.kind!r}, which decides nothing about an item")
    try:
        decision = Decision.from_dict(entry.record)
    except (KeyError, TypeError, ValueError) as error:
        raise SafetyError(f"entry {entry.entry_id} does not record a whole decision ({error!r})") from None
    scores, cuts = entry.record.get("scores"), entry.record.get("cuts")
    if not isinstance(scores, Mapping) or not isinstance(cuts, Mapping) or not scores.keys() <= cuts.keys():
        raise SafetyError(f"entry {entry.entry_id} does not record the scores and cuts of its decision")
    actions: list[Action] = []
    steps = []
    for policy_id, score in scores.items():
        action, reason = _outcome(score, *cuts[policy_id])
        actions.append(action)
        steps.append(f"{policy_id}: {reason}, so {action}")
    replayed = most_severe(actions)
    if override := entry.record.get("standing"):
        source = (
            "a person" if override["human"] else "a known picture, a listed word, or a change since a person's block,"
        )
        steps.append(f"{source} says {override['action']}")
        replayed = override["action"] if override["human"] else most_severe([replayed, override["action"]])
    return Replay(entry.entry_id, decision.action, replayed, tuple(steps))


def _outcome(score: float, review: float, block: float | None) -> tuple[Action, str]:
    if block is not None and score >= block:
        return "block", f"score {score:.4f} reaches the block cut {block:.4f}"
    if score >= review:
        return "review", f"score {score:.4f} reaches the review cut {review:.4f}"
    return "allow", f"score {score:.4f} is below the review cut {review:.4f}"
