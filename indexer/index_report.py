"""Counts and report of an index run."""

from __future__ import annotations

from dataclasses import dataclass, field

from firstsight.duplicates.item_pairs import DuplicatePair
from firstsight.indexer.column_types import TypeChange
from firstsight.indexer.media_columns import UnusedMedia


@dataclass
class Counts:
    """Progress of an index run."""

    total: int = 0  # items to check
    items: int = 0  # items done; the last of them may still wait for their write
    encoded: int = 0  # encoded and written
    refreshed: int = 0  # written without encoding, because only columns changed
    unchanged: int = 0  # left as they are
    empty: int = 0  # encoded items with no title, text, picture or video
    skipped_rows: int = 0  # catalogue rows left out by --skip-bad-rows
    pruned: int = 0  # removed, because the catalogue has dropped them
    pictures: int = 0  # catalogue pictures encoded
    frames: int = 0  # video frames encoded
    texts: int = 0  # titles encoded
    media: int = 0  # pictures and videos tried
    failed_media: int = 0  # pictures and videos that could not be used
    failed_texts: int = 0  # titles that the encoder failed on
    duplicates: int = 0  # encoded items that are near-duplicates of another item; 0 without the check

    @property
    def failure_rate(self) -> float:
        """Share of failed media, or of failed titles if that is larger, 0 to 1."""
        of_media = self.failed_media / self.media if self.media else 0.0
        of_texts = self.failed_texts / (self.texts + self.failed_texts) if self.failed_texts else 0.0
        return max(of_media, of_texts)


@dataclass(frozen=True)
class IndexReport:
    """Result of an index run."""

    run_id: str
    outcome: str  # "finished", or "stopped" by `should_stop`
    seconds: float
    counts: Counts
    reasons: dict[str, int] = field(default_factory=dict)  # failure reason -> number of media
    duplicates: tuple[DuplicatePair, ...] = ()  # near-duplicates of encoded items; empty without the check
    unused_media: tuple[UnusedMedia, ...] = ()  # unused columns that look like pictures or videos
    no_media_used: bool = False  # True if such a column exists and the run used no picture, or no medium at all
    type_changes: tuple[TypeChange, ...] = ()  # columns that changed their type, or stayed text because of a value
