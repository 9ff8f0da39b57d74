"""Decisions about items, with their evidence, and overrides of scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from firstsight.records import Record
from firstsight.storage.tables import Part

if TYPE_CHECKING:
    from firstsight.safety.policy.policies import Policy
    from firstsight.safety.policy.policy_heads import Head

Action = Literal["allow", "review", "block"]
"""Outcome for an item: show it, let a person review it, or hide it."""

Source = Literal["head", "zero_shot", "hash", "words", "detector", "human"]
"""Source of a piece of evidence."""

ACTIONS: tuple[Action, ...] = ("allow", "review", "block")
"""All actions, the least severe first."""


@dataclass(frozen=True)
class Evidence(Record):
    """One reason for a decision: a view, a policy, and the score that passed the policy's cut."""

    policy_id: str
    view_id: str  # empty if the evidence is about the whole item
    part: Part | None
    uri: str | None  # as in the catalogue; None for a title
    time_s: float | None  # second of a frame in its video
    score: float  # probability, 0 to 1; for a hash the distance in bits, for a person 1
    cut: float  # the cut that the score passed
    source: Source
    note: str = ""  # more detail: the matched word, or the name of the known picture

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; all fields are, and a scoring converts millions of pieces."""
        return dict(vars(self))


@dataclass(frozen=True)
class Decision(Record):
    """The action for an item with its reasons, under one version of the policies."""

    item_id: str
    action: Action
    evidence: tuple[Evidence, ...]  # the most severe first
    policy_version: str
    head_versions: Mapping[str, int] = field(default_factory=dict)  # policy id -> version of the scoring head
    decided_at: datetime | None = None  # UTC

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "item_id": self.item_id,
            "action": self.action,
            "evidence": [piece.to_dict() for piece in self.evidence],
            "policy_version": self.policy_version,
            "head_versions": dict(self.head_versions),
            "decided_at": None if self.decided_at is None else self.decided_at.isoformat(),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Decision:
        """Read a decision from the values of `to_dict`."""
        return cls(
            item_id=plain["item_id"],
            action=plain["action"],
            evidence=tuple(Evidence(**piece) for piece in plain["evidence"]),
            policy_version=plain["policy_version"],
            head_versions=dict(plain["head_versions"]),
            decided_at=None if plain["decided_at"] is None else datetime.fromisoformat(plain["decided_at"]),
        )


def most_severe(actions: list[Action]) -> Action:
    """Return the most severe action; "allow" for an empty list."""
    return max(actions, key=ACTIONS.index, default="allow")


@dataclass(frozen=True)
class Override:
    """A decision about an item that overrides its scores: by a known picture, a listed word, or a person."""

    action: Action
    evidence: tuple[Evidence, ...]

    @property
    def digest(self) -> str:
        """Digest of the content; an item whose override has a new digest is decided again."""
        plain = [self.action, *(piece.to_dict() for piece in self.evidence)]
        return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=8).hexdigest()

    @property
    def human(self) -> bool:
        """Whether a person decided; then scores and other evidence do not count."""
        return any(piece.source == "human" for piece in self.evidence)


@dataclass(frozen=True)
class Cuts:
    """Cuts of several policies in one region, as arrays."""

    review: NDArray[np.float64]  # (policies,)
    block: NDArray[np.float64]  # (policies,) infinite if the policy blocks nothing
    min_age: NDArray[np.int64]  # (policies,) years; 0 without an age limit

    @classmethod
    def of(cls, heads: Sequence[Head], policies: Mapping[str, Policy], region: str | None = None) -> Cuts:
        """Collect the cuts of heads.

        Args:
            heads: heads that score, in the order of the scores.
            policies: policies by id.
            region: region whose cuts apply; None for the default cuts.
        """
        review, block, ages = [], [], []
        for head in heads:
            policy = policies[head.policy_id]
            low, high = head.cuts(policy, region)
            if region in policy.blocked_regions and head.calibrated:
                high = low
            elif policy.min_age is not None:
                high = None  # hidden from younger people, not from all
            review.append(low)
            block.append(np.inf if high is None else high)
            ages.append(policy.min_age or 0)
        return cls(np.array(review), np.array(block), np.array(ages, dtype=np.int64))

    def action_indices(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return (n,) places in `ACTIONS` for (n, policies) scores; NaN passes no cut."""
        passed = np.where(scores >= self.block, 2, np.where(scores >= self.review, 1, 0))
        return np.asarray(passed.max(axis=1, initial=0), dtype=np.int64)

    def min_ages(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the (n,) minimum ages in years for (n, policies) scores; 0 for no limit."""
        return np.asarray(np.where(scores >= self.review, self.min_age, 0).max(axis=1, initial=0), dtype=np.int64)


def combine(scored: Action, override: Override | None) -> Action:
    """Return the more severe of the scored action and the override's; a person's action counts alone."""
    if override is None:
        return scored
    return override.action if override.human else most_severe([scored, override.action])
