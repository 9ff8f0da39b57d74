"""A past decision made again from its record alone, to show that it follows from the scores and cuts written there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firstsight.errors import SafetyError
from firstsight.safety.audit.audit_entries import AuditEntry
from firstsight.safety.audit.human_decisions import OVERRIDE, OVERTURN
from firstsight.safety.policy.decisions import Action, Decision, most_severe

DECISION = "decision"
"""Kind of the entries that scoring makes: `Decision.as_dict()` with what it was made from.

That is `scores` (policy id -> probability), `cuts` (policy id -> [review, block or null]) and `standing` (null, or the
action and whether a person said so).
"""


@dataclass(frozen=True)
class Replay:
    """A decision as it was recorded, and as its record makes it again."""

    entry_id: str
    recorded: Action
    replayed: Action
    steps: tuple[str, ...]  # what each score comes to, and what stood beside them

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
    scores, cuts = entry.record.get("scores"), entry.record.get("cuts")
    if not isinstance(scores, Mapping) or not isinstance(cuts, Mapping) or not scores.keys() <= cuts.keys():
        raise SafetyError(f"entry {entry.entry_id} does not record the scores and cuts that it was made from")
    actions: list[Action] = []
    steps = []
    for policy_id, score in scores.items():
        action, why = _outcome(score, *cuts[policy_id])
        actions.append(action)
        steps.append(f"{policy_id}: {why}, so {action}")
    replayed = most_severe(actions)
    if standing := entry.record.get("standing"):
        who = "a person" if standing["human"] else "a known picture, a listed word, or a change since a person's block,"
        steps.append(f"{who} says {standing['action']}")
        replayed = standing["action"] if standing["human"] else most_severe([replayed, standing["action"]])
    return Replay(entry.entry_id, decision.action, replayed, tuple(steps))


def _outcome(score: float, review: float, block: float | None) -> tuple[Action, str]:
    if block is not None and score >= block:
        return "block", f"score {score:.4f} reaches the block cut {block:.4f}"
    if score >= review:
        return "review", f"score {score:.4f} reaches the review cut {review:.4f}"
    return "allow", f"score {score:.4f} is below the review cut {review:.4f}"
