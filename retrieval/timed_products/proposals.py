"""Proposals of timed products: frames of videos compared with pictures of products.

A frame votes for the product of its nearest picture. A shot shows a product if at least `min_agreement` of its frames
vote for it and, in the mean over these frames,

    1. the cosine has at least `min_relevance` among random pairs of frames and pictures, and
    2. the distance 1 - cosine is at most `max_ratio` times that to the nearest other product. A frame that is about as
       near to two products shows one of a kind, not this product (Lowe, "Distinctive Image Features from
       Scale-Invariant Keypoints", IJCV 2004, section 7.1).

A frame whose PDQ fingerprint is that of the picture has relevance 1. Shots that follow each other and show one product
become one proposal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from firstsight.errors import QueryError
from firstsight.media.fingerprints import MAX_DISTANCE, as_array, distances
from firstsight.records import Record
from firstsight.retrieval.moments import Span, compute_frame_spans
from firstsight.retrieval.ranking.relevance import RandomPairCosines
from firstsight.retrieval.timed_products.nearest_pictures import NearestProduct, nearest_products
from firstsight.storage.indexes.vector_index import vectors_of_column
from firstsight.storage.store import Store
from firstsight.storage.timed_product_table import TimedProductRow, entry_id

FRAMES_PER_PASS: Final = 4_096
"""Frames that are compared with all product pictures in one pass over them."""

VIDEOS_PER_READ: Final = 50

LONGEST_GAP_S: Final = 0.5
"""Maximum gap between two shots of one proposal, in seconds."""


@dataclass(frozen=True)
class ProposalSettings(Record):
    """Thresholds of proposals.

    Raises:
        QueryError: a threshold is out of range.
    """

    min_relevance: float = 0.75  # of the cosine of frame and picture, 0 to 1
    max_ratio: float = 0.7  # of the distance to the product and the distance to the nearest other one, 0 to 1
    min_agreement: float = 0.5  # share of the frames of a shot that must be nearest to the product, 0 to 1

    def __post_init__(self) -> None:
        for name in ("min_relevance", "max_ratio", "min_agreement"):
            if not 0 <= getattr(self, name) <= 1:
                raise QueryError(f"{name} is {getattr(self, name):g}; give a number from 0 to 1")


@dataclass(frozen=True)
class ComparedVideos:
    """Videos that were compared in one pass, with their proposals."""

    item_ids: tuple[str, ...]
    frames: int
    rows: tuple[TimedProductRow, ...]


@dataclass(frozen=True)
class _Frame:
    view: dict[str, Any]  # row of `views` without its vector
    nearest: NearestProduct
    relevance: float
    distance: int | None


def propose(
    store: Store, item_ids: Iterable[str], calibration: RandomPairCosines, settings: ProposalSettings
) -> Iterator[ComparedVideos]:
    """Compare the frames of videos with the pictures of all products, and yield proposals pass by pass.

    Args:
        item_ids: items with videos.
        calibration: cosines of random pairs of a picture or frame and a picture.

    A product is not proposed for its own video.
    """
    for names, views, vectors in _passes(store, item_ids):
        found = nearest_products(store, vectors)
        frames = [
            _frame(view, nearest, calibration)
            for view, nearest in zip(views, found, strict=True)
            if nearest is not None
        ]
        rows = [row for shots in _videos(frames) for row in _merged(_shot_rows(shots, settings))]
        yield ComparedVideos(names, len(views), tuple(rows))


def without_decided(proposed: Sequence[TimedProductRow], stored: Sequence[TimedProductRow]) -> list[TimedProductRow]:
    """Leave out proposals of a product in a stretch that a person or the catalogue has decided about."""
    decided = [row for row in stored if row["state"] != "proposed"]
    return [row for row in proposed if not any(_overlap(row, other) for other in decided)]


def _overlap(row: TimedProductRow, other: TimedProductRow) -> bool:
    if (row["video_id"], row["product_id"]) != (other["video_id"], other["product_id"]):
        return False
    end, other_end = (one["start_s"] if one["end_s"] is None else one["end_s"] for one in (row, other))
    return row["start_s"] <= other_end and other["start_s"] <= end


def _passes(
    store: Store, item_ids: Iterable[str]
) -> Iterator[tuple[tuple[str, ...], list[dict[str, Any]], np.ndarray[Any, np.dtype[np.float32]]]]:
    """Yield some items, their frames without vectors, and the vectors, (n, dim)."""
    names: list[str] = []
    views: list[dict[str, Any]] = []
    vectors: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    ids = sorted(set(item_ids))
    for start in range(0, len(ids), VIDEOS_PER_READ):
        part = ids[start : start + VIDEOS_PER_READ]
        table = store.view_rows(part)
        table = table.filter(np.array(table["part"].to_pylist(), dtype=object) == "frame") if len(table) else table
        names += part
        views += table.drop_columns(["vector"]).to_pylist()
        vectors.append(vectors_of_column(table["vector"].combine_chunks()))
        if len(views) >= FRAMES_PER_PASS or start + VIDEOS_PER_READ >= len(ids):
            yield tuple(names), views, np.concatenate(vectors)
            names, views, vectors = [], [], []


def _frame(view: dict[str, Any], nearest: NearestProduct, calibration: RandomPairCosines) -> _Frame:
    prints = (view["fingerprint"], nearest.picture.fingerprint)
    left, right = prints
    distance = None if left is None or right is None else int(distances(as_array([left]), as_array([right]))[0])
    is_copy = distance is not None and distance <= MAX_DISTANCE
    return _Frame(view, nearest, 1.0 if is_copy else calibration.relevance(nearest.cosine), distance)


def _videos(frames: Iterable[_Frame]) -> Iterator[list[tuple[Span, list[_Frame]]]]:
    """Yield the shots of each video with their frames, in order of time."""
    videos: dict[tuple[str, str], list[_Frame]] = {}
    for frame in frames:
        videos.setdefault((frame.view["item_id"], frame.view["uri"]), []).append(frame)
    for members in videos.values():
        members.sort(key=lambda frame: frame.view["time_s"])
        bounds = [None if f.view["start_s"] is None else (f.view["start_s"], f.view["end_s"]) for f in members]
        spans = compute_frame_spans([frame.view["time_s"] for frame in members], bounds)
        shots: dict[Span, list[_Frame]] = {}
        for frame, bound, span in zip(members, bounds, spans, strict=True):
            shots.setdefault(bound or span, []).append(frame)  # without shots, each frame has a span of its own
        yield sorted(shots.items(), key=lambda shot: shot[0])


def _shot_rows(shots: Iterable[tuple[Span, list[_Frame]]], settings: ProposalSettings) -> Iterator[TimedProductRow]:
    for (start_s, end_s), frames in shots:
        votes: dict[str, list[_Frame]] = {}
        for frame in frames:
            votes.setdefault(frame.nearest.picture.product, []).append(frame)
        for agreeing in votes.values():
            if _shows(agreeing, len(frames), settings):
                best = max(agreeing, key=lambda frame: (frame.relevance, frame.nearest.cosine))
                if best.nearest.picture.item_id != best.view["item_id"]:
                    yield _row(best, start_s, end_s, len(agreeing), len(frames))


def _shows(agreeing: Sequence[_Frame], frames: int, settings: ProposalSettings) -> bool:
    if len(agreeing) < settings.min_agreement * frames:
        return False
    if any(frame.distance is not None and frame.distance <= MAX_DISTANCE for frame in agreeing):
        return True
    relevance = np.mean([frame.relevance for frame in agreeing])
    distance = 1 - np.mean([frame.nearest.cosine for frame in agreeing])
    other = 1 - np.mean([frame.nearest.other for frame in agreeing])
    return bool(relevance >= settings.min_relevance and distance <= settings.max_ratio * other)


def _row(best: _Frame, start_s: float, end_s: float, agreeing: int, frames: int) -> TimedProductRow:
    view, picture = best.view, best.nearest.picture
    return TimedProductRow(
        entry_id=entry_id(view["item_id"], picture.item_id, start_s),
        video_id=view["item_id"],
        product_id=picture.item_id,
        uri=view["uri"],
        start_s=start_s,
        end_s=end_s,
        source="frames",
        state="proposed",
        frame_id=view["view_id"],
        time_s=view["time_s"],
        picture_id=picture.view_id,
        cosine=best.nearest.cosine,
        relevance=best.relevance,
        distance=best.distance,
        agreeing=agreeing,
        frames=frames,
        made_at=datetime.now(UTC),
        decided_by=None,
        decided_at=None,
    )


def _merged(rows: Iterable[TimedProductRow]) -> list[TimedProductRow]:
    """Join the proposals of one product in shots that follow each other; the better evidence stays."""
    merged: list[TimedProductRow] = []
    for row in rows:
        before = next((other for other in reversed(merged) if other["product_id"] == row["product_id"]), None)
        if before is None or row["start_s"] - (before["end_s"] or 0.0) > LONGEST_GAP_S:
            merged.append(row)
            continue
        best = max(before, row, key=lambda one: (one["relevance"] or 0.0, one["cosine"] or 0.0))
        joined = TimedProductRow(**best)
        joined |= {
            "entry_id": before["entry_id"],
            "start_s": before["start_s"],
            "end_s": row["end_s"],
            "agreeing": (before["agreeing"] or 0) + (row["agreeing"] or 0),
            "frames": (before["frames"] or 0) + (row["frames"] or 0),
        }
        merged[merged.index(before)] = joined
    return merged
