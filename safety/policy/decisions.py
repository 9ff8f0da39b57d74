"""What was decided about an item, and the evidence for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from firstsight.storage.tables import Part

if TYPE_CHECKING:
    from firstsight.safety.policy.policies import Policy
    from firstsight.safety.policy.policy_heads import Head

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
    note: str = ""  # what else says why: the word that was found, the known picture's name

    def as_dict(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        return dict(vars(self))


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


def most_severe(actions: list[Action]) -> Action:
    """The most severe of some actions; allow where there are none."""
    return max(actions, key=ACTIONS.index, default="allow")


@dataclass(frozen=True)
class Override:
    """A decision about an item that does not come from scores: a known picture, listed words, a person's decision."""

    action: Action
    evidence: tuple[Evidence, ...]

    @property
    def digest(self) -> str:
        """Names its content: what was decided on another is decided again."""
        plain = [self.action, *(one.as_dict() for one in self.evidence)]
        return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=8).hexdigest()

    @property
    def human(self) -> bool:
        """Whether a person decided: then nothing else counts."""
        return any(one.source == "human" for one in self.evidence)


@dataclass(frozen=True)
class Cuts:
    """The cuts of several policies in one region, ready to be compared with many scores."""

    review: NDArray[np.float64]  # (policies,)
    block: NDArray[np.float64]  # (policies,) infinite where nothing is blocked
    min_age: NDArray[np.int64]  # (policies,) 0 where there is none

    @classmethod
    def of(cls, heads: Sequence[Head], policies: Mapping[str, Policy], region: str | None = None) -> Cuts:
        """The cuts of heads in a region."""
        review, block, ages = [], [], []
        for head in heads:
            policy = policies[head.policy_id]
            low, high = head.cuts(policy, region)
            if region in policy.blocked_regions and head.calibrated:
                high = low
            elif policy.min_age is not None:
                high = None  # kept from younger people, not from all
            review.append(low)
            block.append(np.inf if high is None else high)
            ages.append(policy.min_age or 0)
        return cls(np.array(review), np.array(block), np.array(ages, dtype=np.int64))

    def action_indices(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """(n,) places in `ACTIONS` for (n, policies) scores; NaN passes no cut."""
        passed = np.where(scores >= self.block, 2, np.where(scores >= self.review, 1, 0))
        return np.asarray(passed.max(axis=1, initial=0), dtype=np.int64)

    def min_ages(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """(n,) the least age that items with these scores are for, in years; 0 for any."""
        return np.asarray(np.where(scores >= self.review, self.min_age, 0).max(axis=1, initial=0), dtype=np.int64)


def combine(scored: Action, override: Override | None) -> Action:
    """The graver of the scores' action and the override's; a person's action counts alone."""
    if override is None:
        return scored
    return override.action if override.human else most_severe([scored, override.action])
