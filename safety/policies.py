"""Policies: what an integrity team looks for, read from one YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from firstsight.indexer.tables import Part

DEFAULT_REGION = "default"
"""The cuts of every region that a policy does not name."""


@dataclass(frozen=True)
class Policy:
    """One thing to look for. Its id never changes; its name may."""

    id: str  # lower-case words joined by - ; immutable
    name: str
    severity: int  # 1 to 5, the gravest
    parts: frozenset[Part]  # views that are scored
    prompts: tuple[str, ...]  # texts that describe it
    neutral_prompts: tuple[str, ...]  # texts of what it is confused with and is fine
    cuts: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # region or "default" -> (review, block)
    parent: str | None = None  # id of the policy it is a kind of

    def cuts_in(self, region: str | None = None) -> tuple[float, float]:
        """`(review, block)`, scores 0 to 1, in a region; those of "default" where it has none of its own."""
        return self.cuts.get(region or DEFAULT_REGION, self.cuts[DEFAULT_REGION])
