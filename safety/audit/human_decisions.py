"""People's decisions about items: overrides, overturns, appeals, and the training labels that they give.

Each decision is logged first and then stored in `override_table.py`, so that a kill between the two loses no decision.
A decision holds for the item as the person saw it. When the encoded content of the item changes (its `digest`), scores
decide again, but an item that a person blocked goes to review first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from firstsight.records import Record
from firstsight.safety.audit.audit_entries import AuditEntry
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.entry_kinds import APPEAL, OVERRIDE, OVERTURN, REVIEW_KINDS
from firstsight.safety.policy.decisions import Action, Evidence


@dataclass(frozen=True)
class HumanDecision(Record):
    """A person's decision about an item."""

    item_id: str
    action: Action
    policies: tuple[str, ...]  # ids of the policies behind the decision
    reason: str
    by: str
    digest: str  # of the item, as the person saw it
    time: str  # UTC, ISO 8601
    entry_id: str
    kind: str = OVERRIDE  # or "overturn"

    def evidence(self) -> tuple[Evidence, ...]:
        """Return one piece of evidence for each policy."""
        return tuple(Evidence(policy, "", None, None, None, 1.0, 1.0, "human") for policy in self.policies)


@dataclass(frozen=True)
class Appeal(Record):
    """An open objection to a decision."""

    item_id: str
    by: str
    reason: str
    time: str
    entry_id: str


@dataclass(frozen=True)
class DecisionLabel(Record):
    """A training label from a person's decision: a row of the label file for `firstsight safety train`."""

    item_id: str
    policy: str
    label: int  # 1 for a block, 0 for an allow
    annotator: str
    weight: float = 1.0


@dataclass(frozen=True)
class Reviews:
    """People's decisions and open appeals, by item."""

    decisions: Mapping[str, HumanDecision]  # the last decision about each item
    appeals: Mapping[str, Appeal]  # open appeals
    judged: Mapping[tuple[str, str], HumanDecision] = field(
        default_factory=dict
    )  # the last decision of each item and policy

    @classmethod
    def read(cls, log: AuditLog, item_id: str | None = None) -> Reviews:
        """Read decisions and appeals from the log.

        Args:
            log: the audit log.
            item_id: only of this item; None for all items.

        Raises:
            AuditLogError: the log cannot be read.
            SafetyError: a line of the log is no entry.
        """
        return cls.of(log.entries(subject=item_id, kinds=REVIEW_KINDS))

    @classmethod
    def of(cls, entries: Iterable[AuditEntry], before: Reviews | None = None) -> Reviews:
        """Apply entries in their order to the state before them; without a state before, start empty."""
        decisions = dict(before.decisions) if before else {}
        appeals = dict(before.appeals) if before else {}
        judged = dict(before.judged) if before else {}
        for entry in entries:
            item_id, record = entry.subject, entry.record
            if entry.kind == APPEAL:
                appeals[item_id] = Appeal(item_id, record["by"], record["reason"], entry.time, entry.entry_id)
            elif entry.kind in (OVERRIDE, OVERTURN):
                decision = HumanDecision(
                    item_id=item_id,
                    action=record["action"],
                    policies=tuple(record["policies"]),
                    reason=record["reason"],
                    by=record["by"],
                    digest=record["digest"],
                    time=entry.time,
                    entry_id=entry.entry_id,
                    kind=entry.kind,
                )
                decisions[item_id] = decision
                judged |= {(item_id, policy): decision for policy in decision.policies}
                appeals.pop(item_id, None)
        return cls(decisions, appeals, judged)

    def in_force(self, item_id: str, digest: str) -> HumanDecision | None:
        """Return the person's decision that holds for an item now; None if scores decide.

        Args:
            item_id: the item.
            digest: `items.digest` now; empty while the item is being written.

        Returns:
            The decision; if a blocked item has changed since, a copy with the action "review".
        """
        decision = self.decisions.get(item_id)
        if decision is None or decision.digest == digest:
            return decision
        return replace(decision, action="review") if decision.action == "block" else None

    def labels(self, digests: Mapping[str, str]) -> list[DecisionLabel]:
        """Return the labels that decisions give; "review" gives none, and neither do items that changed since.

        Args:
            digests: `items.digest` of the items now; missing items get no label.
        """
        return [
            DecisionLabel(item_id, policy, int(decision.action == "block"), decision.by)
            for (item_id, policy), decision in sorted(self.judged.items())
            if decision.action != "review" and digests.get(item_id) == decision.digest
        ]
