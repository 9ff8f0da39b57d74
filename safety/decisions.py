"""What was decided about an item, and the evidence for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from firstsight.indexer.tables import Part

Action = Literal["allow", "review", "block"]
"""What happens to an item: it is shown, a person looks at it, it is left out."""

Source = Literal["head", "zero_shot", "hash", "words", "human"]
"""Where a piece of evidence comes from."""

ACTIONS: tuple[Action, ...] = ("allow", "review", "block")
"""Every action, the mildest first."""


@dataclass(frozen=True)
class Evidence:
    """One reason for a decision: a view, the policy it falls under, and the score beside the cut it passed."""

    policy_id: str
    view_id: str  # empty where the evidence is about the item as a whole
    part: Part | None
    uri: str | None  # as the catalogue has it; None for a title
    time_s: float | None  # second of a frame in its video
    score: float  # probability of the policy, 0 to 1; of a hash its distance in bits, of a person 1
    cut: float  # what the score passed
    source: Source

    def as_dict(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Decision:
    """What is done with an item, and why; made under one version of the policies."""

    item_id: str
    action: Action
    evidence: tuple[Evidence, ...]  # the gravest first
    policy_version: str
    head_versions: Mapping[str, int] = field(default_factory=dict)  # policy id -> version of the head that scored
    decided_at: datetime | None = None  # UTC

    def as_dict(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        return {
            "item_id": self.item_id,
            "action": self.action,
            "evidence": [one.as_dict() for one in self.evidence],
            "policy_version": self.policy_version,
            "head_versions": dict(self.head_versions),
            "decided_at": None if self.decided_at is None else self.decided_at.isoformat(),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Decision:
        """A decision from what `as_dict` gave."""
        return cls(
            item_id=plain["item_id"],
            action=plain["action"],
            evidence=tuple(Evidence(**one) for one in plain["evidence"]),
            policy_version=plain["policy_version"],
            head_versions=dict(plain["head_versions"]),
            decided_at=None if plain["decided_at"] is None else datetime.fromisoformat(plain["decided_at"]),
        )


def gravest(actions: list[Action]) -> Action:
    """The most severe of some actions; allow where there are none."""
    return max(actions, key=ACTIONS.index, default="allow")
