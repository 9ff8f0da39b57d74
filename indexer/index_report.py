"""Counts and report of an index run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from firstsight.duplicates.item_pairs import DuplicatePair
from firstsight.indexer.columns.column_plan import ColumnUse
from firstsight.indexer.columns.column_types import TypeChange
from firstsight.indexer.columns.unused_media import UnusedMedia
from firstsight.records import Record


@dataclass(frozen=True)
class Counts(Record):
    """Progress of an index run."""

    total: int = 0  # items to check
    items: int = 0  # items done; the last of them may still wait for their write
    encoded: int = 0  # encoded and written
    refreshed: int = 0  # written without encoding, because only columns changed
    unchanged: int = 0  # left as they are
    empty: int = 0  # encoded items with no title, text, picture or video
    skipped_rows: int = 0  # catalogue rows left out by --skip-bad-rows
    pruned: int = 0  # removed, because the catalogue has dropped them
    pictures: int = 0  # encoded pictures of items
    frames: int = 0  # encoded video frames of items
    texts: int = 0  # titles encoded
    passages: int = 0  # passages of timed text encoded
    lines: int = 0  # lines of timed text in them
    media: int = 0  # pictures, videos and timed texts tried, once for each item that uses them
    shared_media: int = 0  # of `media`: those that an earlier item had fetched and encoded
    failed_media: int = 0  # pictures, videos and timed texts that could not be used
    failed_texts: int = 0  # titles that the encoder failed on
    failed_facts: int = 0  # media of items with a fact that could not be found; the media themselves are indexed
    duplicates: int = 0  # encoded items that are near-duplicates of another item; 0 without the check

    @property
    def failure_rate(self) -> float:
        """Share of failed media, or of failed titles if that is larger, 0 to 1."""
        of_media = self.failed_media / self.media if self.media else 0.0
        of_texts = self.failed_texts / (self.texts + self.failed_texts) if self.failed_texts else 0.0
        return max(of_media, of_texts)


class RunningCounts(Counter[str]):
    """Counts that a run changes, by the names of the fields of `Counts`."""

    def freeze(self) -> Counts:
        """The counts of this moment."""
        return Counts(**self)


@dataclass(frozen=True)
class IndexReport(Record):
    """Result of an index run."""

    run_id: str
    outcome: str  # "finished", or "stopped" by `should_stop`
    seconds: float
    counts: Counts
    reasons: Mapping[str, int] = field(default_factory=dict)  # failure reason -> number of media
    duplicates: tuple[DuplicatePair, ...] = ()  # near-duplicates of encoded items; empty without the check
    unused_media: tuple[UnusedMedia, ...] = ()  # unused columns that look like pictures or videos
    type_changes: tuple[TypeChange, ...] = ()  # columns that changed their type, or stayed text because of a value
    format: str = ""  # of the catalogue, such as "CSV"
    columns: tuple[ColumnUse, ...] = ()  # what each column of the catalogue is used for
    notes: tuple[str, ...] = ()  # sentences about the catalogue, such as files that were left out
    merged_variants: int = 0  # rows that belong to the item of an earlier variant
    stored_variants: int = 0  # items of earlier runs that are such variants now; `prune` removes them
    lacking_facts: Mapping[str, int] = field(
        default_factory=dict
    )  # stored items without a fact that is on; of many, estimated
    reduction: Mapping[str, Any] | None = None  # method, dimensions and recall of reduced vectors; None for whole ones
    no_media_used: bool = False  # True if such a column exists and the run used no picture, or no medium at all
