"""Entries of timed products as results show them: a product in a video, with its seconds and its evidence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from firstsight.records import Record
from firstsight.storage.store import Store
from firstsight.storage.timed_product_table import (
    EntrySource,
    EntryState,
    TimedProductRow,
    open_timed_products,
    read_entries,
)

SHOWN_STATES: Final[tuple[EntryState, ...]] = ("accepted",)
"""States of the entries that results show."""


@dataclass(frozen=True)
class ProductEvidence(Record):
    """Why a product was proposed: its nearest picture and the frame nearest to that picture."""

    view_id: str  # of the frame
    time_s: float  # second of the frame
    picture_id: str  # view id of the product's picture
    cosine: float  # of frame and picture, -1 to 1
    relevance: float  # of that cosine, 0 to 1
    distance: int | None  # of their PDQ fingerprints in bits, 0 to 256; None if one of the two is flat
    agreeing: int  # frames of the shot whose nearest product is this one
    frames: int  # frames of the shot

    def to_dict(self) -> dict[str, Any]:
        """The evidence as JSON fields, with rounded numbers."""
        rounded = {"cosine": round(self.cosine, 4), "relevance": round(self.relevance, 4)}
        return super().to_dict() | rounded | {"time_s": round(self.time_s, 3)}


@dataclass(frozen=True)
class TimedProduct(Record):
    """A product in a video.

    Attributes:
        entry_id: key of the entry, to accept or reject it.
        video_id: item id of the video.
        product_id: item id of the product.
        start_s: first second.
        end_s: last second; None if the catalogue gives none.
        source: catalogue, or frames for a proposal.
        state: proposed, accepted or rejected; entries of the catalogue are accepted.
        evidence: of a proposal; None for an entry of the catalogue.
        decided_by: who accepted or rejected the proposal.
    """

    entry_id: str
    video_id: str
    video_title: str | None
    product_id: str
    product_title: str | None
    start_s: float
    end_s: float | None
    source: EntrySource
    state: EntryState
    evidence: ProductEvidence | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None

    def without_review(self) -> TimedProduct:
        """The entry without its evidence and the person who decided, as results show it."""
        return replace(self, evidence=None, decided_by=None, decided_at=None)

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON fields; evidence and decision are left out if there are none."""
        plain = super().to_dict() | {"start_s": round(self.start_s, 3)}
        plain["end_s"] = None if self.end_s is None else round(self.end_s, 3)
        optional = ("evidence", "decided_by", "decided_at")
        return {name: value for name, value in plain.items() if value is not None or name not in optional}


def read_timed_products(
    store: Store,
    *,
    videos: Collection[str] | None = None,
    products: Collection[str] | None = None,
    entries: Collection[str] | None = None,
    states: Collection[EntryState] = SHOWN_STATES,
    include_blocked: bool = False,
) -> list[TimedProduct]:
    """Read entries, in order of video and second, whose video and product are both in the database.

    Args:
        videos, products, entries: as for `timed_product_table.read_entries`.
        states: only entries in these states; empty for all.
        include_blocked: include entries whose video or product a safety decision blocks.
    """
    rows = read_entries(store, videos=videos, products=products, entries=entries, states=states)
    titles = _visible_titles(store, {row[side] for row in rows for side in ("video_id", "product_id")}, include_blocked)
    return [_timed_product(row, titles) for row in rows if {row["video_id"], row["product_id"]} <= titles.keys()]


def timed_products_of_videos(store: Store, item_ids: Sequence[str]) -> dict[str, tuple[TimedProduct, ...]]:
    """Accepted entries of each of these items, by item id; items that show no product are left out.

    One read for all items, and none in a database without timed products.
    """
    if open_timed_products(store) is None:
        return {}
    found: dict[str, list[TimedProduct]] = {}
    for entry in read_timed_products(store, videos=item_ids):
        found.setdefault(entry.video_id, []).append(entry.without_review())
    return {item_id: tuple(entries) for item_id, entries in found.items()}


def videos_of_product(store: Store, item_id: str) -> tuple[TimedProduct, ...]:
    """Accepted entries of a product, in order of video and second."""
    return tuple(entry.without_review() for entry in read_timed_products(store, products=[item_id]))


def _visible_titles(store: Store, item_ids: set[str], include_blocked: bool) -> dict[str, str | None]:
    decided = ["safety_decision"] if "safety_decision" in store.items.schema.names else []
    rows = store.column_values(sorted(item_ids), ["title", *decided])
    return {
        item_id: row["title"]
        for item_id, row in rows.items()
        if include_blocked or row.get("safety_decision") != "block"
    }


def _timed_product(row: TimedProductRow, titles: dict[str, str | None]) -> TimedProduct:
    return TimedProduct(
        entry_id=row["entry_id"],
        video_id=row["video_id"],
        video_title=titles[row["video_id"]],
        product_id=row["product_id"],
        product_title=titles[row["product_id"]],
        start_s=row["start_s"],
        end_s=row["end_s"],
        source=row["source"],
        state=row["state"],
        evidence=_evidence(row),
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
    )


def _evidence(row: TimedProductRow) -> ProductEvidence | None:
    if row["frame_id"] is None or row["picture_id"] is None:
        return None
    return ProductEvidence(
        view_id=row["frame_id"],
        time_s=row["time_s"] or 0.0,
        picture_id=row["picture_id"],
        cosine=row["cosine"] or 0.0,
        relevance=row["relevance"] or 0.0,
        distance=row["distance"],
        agreeing=row["agreeing"] or 0,
        frames=row["frames"] or 0,
    )
