"""Settings, counts and report of a reindex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from firstsight.encoders.encoder_options import usable_cpus
from firstsight.records import Record


@dataclass(frozen=True)
class ReindexSettings:
    """How fast a reindex goes.

    Raises:
        ValueError: a value is out of range.
    """

    max_rate: float | None = None  # items per second; None: as fast as it can
    pause_s: float = 0.0  # seconds of rest after each batch of pictures or texts
    batch_size: int = 16  # pictures per encoder call; small batches leave the processor to searches in between
    text_batch_size: int = 64  # texts per encoder call
    decode_threads: int = field(default_factory=lambda: default_threads())  # pictures and videos decoded at once

    def __post_init__(self) -> None:
        if self.max_rate is not None and not self.max_rate > 0:
            raise ValueError(f"the rate must be above 0 items per second, not {self.max_rate:g}")
        if not 0 <= self.pause_s <= 3_600:
            raise ValueError(f"the pause must be 0 to 3,600 seconds, not {self.pause_s:g}")
        for name in ("batch_size", "text_batch_size", "decode_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


def default_threads() -> int:
    """Half of the processors that this process may use: the others are for searches."""
    return max(1, usable_cpus() // 2)


@dataclass(frozen=True)
class ReindexCounts(Record):
    """Counts of a running or finished reindex."""

    total: int = 0  # items without the new vectors at the start, and those that changed meanwhile
    items: int = 0  # of them tried
    encoded: int = 0  # items written with all their vectors
    views: int = 0  # vectors written
    failed: int = 0  # pictures, frames and texts without a new vector


@dataclass(frozen=True)
class ReindexReport(Record):
    """Result of a reindex."""

    db: str
    number: int  # of the new vector set
    encoder: str
    outcome: str  # "finished", or "stopped" by `should_stop`
    seconds: float
    counts: ReindexCounts
    missing: int  # items that still lack a vector of the new encoder
    reasons: Mapping[str, int] = field(default_factory=dict)  # failed views by reason
    examples: tuple[str, ...] = ()  # first messages about failed views
