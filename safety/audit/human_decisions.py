"""What people decided about items: overrides, appeals, and the labels that come of them.

Each is logged first and then kept in `override_table.py`, so that a kill between the two cannot part what was decided
from what is recorded. A decision holds for the item as it was then: once what is encoded of it changes (its `digest`),
scores decide again, but an item that a person blocked goes to review first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from firstsight.safety.audit.audit_entries import AuditEntry
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.policy.decisions import Action, Evidence

OVERRIDE, APPEAL, OVERTURN = "override", "appeal", "overturn"
REVIEW_KINDS = (OVERRIDE, APPEAL, OVERTURN)
"""Entries of the audit log that people make."""


@dataclass(frozen=True)
class HumanDecision:
    """What a person decided about an item."""

    item_id: str
    action: Action
    policies: tuple[str, ...]  # ids of those it was judged under
    reason: str
    by: str
    digest: str  # of the item, when it was looked at
    time: str  # UTC, ISO 8601
    entry_id: str
    kind: str = OVERRIDE  # or "overturn"

    def evidence(self) -> tuple[Evidence, ...]:
        """As reasons for a decision, one a policy."""
        return tuple(Evidence(policy, "", None, None, None, 1.0, 1.0, "human") for policy in self.policies)


@dataclass(frozen=True)
class Appeal:
    """An objection to a decision that nobody has answered yet."""

    item_id: str
    by: str
    reason: str
    time: str
    entry_id: str


@dataclass(frozen=True)
class DecisionLabel:
    """A training label that a decision gave: a row of the labels that `firstsight safety train` reads."""

    item_id: str
    policy: str
    label: int  # 1 where a person blocked it under the policy, 0 where it was allowed
    annotator: str
    weight: float = 1.0


@dataclass(frozen=True)
class Reviews:
    """The state of every item that a person has decided about, or that somebody appeals."""

    decisions: Mapping[str, HumanDecision]  # the last of each item
    appeals: Mapping[str, Appeal]  # the open ones
    judged: Mapping[tuple[str, str], HumanDecision] = field(default_factory=dict)  # the last of each item and policy

    @classmethod
    def read(cls, log: AuditLog, item_id: str | None = None) -> Reviews:
        """Read them from the log, of one item or of all.

        Raises:
            SafetyError: the log cannot be read.
        """
        return cls.of(log.entries(subject=item_id, kinds=REVIEW_KINDS))

    @classmethod
    def of(cls, entries: Iterable[AuditEntry], before: Reviews | None = None) -> Reviews:
        """The state after some entries, in their order, from the state before them."""
        decisions = dict(before.decisions) if before else {}
        appeals = dict(before.appeals) if before else {}
        judged = dict(before.judged) if before else {}
        for entry in entries:
            item_id, record = entry.subject, entry.record
            if entry.kind == APPEAL:
                appeals[item_id] = Appeal(item_id, record["by"], record["reason"], entry.time, entry.entry_id)
            elif entry.kind in (OVERRIDE, OVERTURN):
                made = HumanDecision(
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
                decisions[item_id] = made
                judged |= {(item_id, policy): made for policy in made.policies}
                appeals.pop(item_id, None)
        return cls(decisions, appeals, judged)

    def in_force(self, item_id: str, digest: str) -> HumanDecision | None:
        """The person's decision that holds for an item as it is now; None where scores decide.

        Args:
            digest: `items.digest` now; empty while the item is being written.

        Returns:
            A decision whose action is "review" where a blocked item has changed since.
        """
        made = self.decisions.get(item_id)
        if made is None or made.digest == digest:
            return made
        return replace(made, action="review") if made.action == "block" else None

    def labels(self, digests: Mapping[str, str]) -> list[DecisionLabel]:
        """The labels that decisions gave, of the items that have not changed since; "review" gives none.

        Args:
            digests: `items.digest` of the items now; those that are not there have no labels.
        """
        return [
            DecisionLabel(item_id, policy, int(made.action == "block"), made.by)
            for (item_id, policy), made in sorted(self.judged.items())
            if made.action != "review" and digests.get(item_id) == made.digest
        ]
