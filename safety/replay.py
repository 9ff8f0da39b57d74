"""A past decision made again from its record alone, to show that it follows from the scores and cuts written there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firstsight.errors import SafetyError
from firstsight.safety.audit_entries import AuditEntry
from firstsight.safety.decisions import Action, Decision, Evidence, gravest
from firstsight.safety.reviews import OVERRIDE, OVERTURN

DECISION = "decision"
"""Kind of the entries that scoring makes: `Decision.as_dict()` with `cuts`, policy id -> [review, block or null]."""


@dataclass(frozen=True)
class Replay:
    """A decision as it was recorded, and as its record makes it again."""

    entry_id: str
    recorded: Action
    replayed: Action
    steps: tuple[str, ...]  # what each piece of evidence comes to, and why

    @property
    def same(self) -> bool:
        """Whether the record gives the decision that was made."""
        return self.recorded == self.replayed

    def as_dict(self) -> dict[str, Any]:
        """As plain values for a line of JSON."""
        return {**vars(self), "steps": list(self.steps), "same": self.same}


def replay(entry: AuditEntry) -> Replay:
    """Decide again from what an entry of the log records; no table, model or policy file is read.

    Raises:
        SafetyError: the entry records no decision, or not what it was made from.
    """
    if entry.kind in (OVERRIDE, OVERTURN):
        action: Action = entry.record["action"]
        said = f"{entry.record['by']} decided {action}: {entry.record['reason']}"
        return Replay(entry.entry_id, action, action, (said,))
    if entry.kind != DECISION:
        raise SafetyError(f"entry {entry.entry_id} is of kind {entry.kind!r}, which decides nothing about an item")
    try:
        decision = Decision.from_dict(entry.record)
    except (KeyError, TypeError, ValueError) as error:
        raise SafetyError(f"entry {entry.entry_id} does not record a whole decision ({error!r})") from None
    cuts = entry.record.get("cuts", {})
    actions: list[Action] = []
    steps = []
    for one in decision.evidence:
        action, why = _outcome(one, cuts, entry.entry_id)
        actions.append(action)
        steps.append(f"{one.policy_id} {one.view_id}: {why}, so {action}")
    return Replay(entry.entry_id, decision.action, gravest(actions), tuple(steps))


def _outcome(one: Evidence, cuts: Mapping[str, Any], entry_id: str) -> tuple[Action, str]:
    if one.source == "hash":
        known = one.score <= one.cut
        return "block" if known else "allow", f"{one.score:.0f} bits {'within' if known else 'beyond'} {one.cut:.0f}"
    if one.policy_id not in cuts:
        raise SafetyError(
            f"entry {entry_id} records no cuts of policy {one.policy_id!r}, so that it cannot be replayed"
        )
    review, block = cuts[one.policy_id]
    if block is not None and one.score >= block:
        return "block", f"score {one.score:.4f} reaches the block cut {block:.4f}"
    if one.score >= review:
        return "review", f"score {one.score:.4f} reaches the review cut {review:.4f}"
    return "allow", f"score {one.score:.4f} is below the review cut {review:.4f}"
