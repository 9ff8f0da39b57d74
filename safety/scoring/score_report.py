"""Result of a scoring."""

from __future__ import annotations

from dataclasses import dataclass

from firstsight.records import Record


@dataclass(frozen=True)
class ScoreReport(Record):
    """Result of a scoring."""

    run_id: str
    scored: int = 0  # items
    everything: bool = False  # whether all items were scored, or only new and changed ones
    allow: int = 0
    review: int = 0
    block: int = 0
    written: int = 0  # rows of `items` with a new decision
    seconds: float = 0.0
    policy_version: str = ""
    zero_shot: tuple[str, ...] = ()  # policies scored by prompts, without calibration
    unscored: tuple[str, ...] = ()  # policies without a head in use, except those of words or detectors alone
