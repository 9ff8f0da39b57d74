"""Pairs of near-duplicate items, with their evidence.

Two items are near-duplicates if the other item contains at least half of the pictures of one of them, or half of one of
its videos. Pictures of many items (a size chart, an intro) count little: a picture's weight is its rarity, relative to
the rarest picture of its item.

    views with fingerprints -> view_pairs.py: pairs of views that look alike
                            -> pictures: share of the item | videos: video_alignment.py
                            -> pairs of items -> groups.py
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from firstsight.duplicates.video_alignment import MIN_SHARE, Alignment, Frames, align
from firstsight.duplicates.view_pairs import PictureViews, ViewPairs, find_view_pairs
from firstsight.errors import QueryError
from firstsight.media.fingerprints import MAX_DISTANCE
from firstsight.records import Record
from firstsight.storage.store import Store

_FREQUENCY_TOLERANCE = 4.0


@dataclass(frozen=True)
class DuplicateSettings(Record):
    """Thresholds for two pictures to count as the same.

    Either `max_distance` and `min_cosine` must both hold, or `near_distance` and `near_cosine`.

    Raises:
        QueryError: a value is out of range.
    """

    max_distance: int = MAX_DISTANCE  # maximum bits between fingerprints, 0 to 31
    min_cosine: float = 0.8  # minimum cosine of the vectors, -1 to 1; for another colour it is often below .93
    near_distance: int = 64  # maximum bits if the vectors are nearly equal, 0 to 90; 0 turns this rule off
    near_cosine: float = 0.96  # minimum cosine of nearly equal vectors, .93 to 1; holds after a margin is cropped

    def __post_init__(self) -> None:
        for name, low, high in (
            *(("max_distance", 0, MAX_DISTANCE), ("min_cosine", -1, 1)),
            *(("near_distance", 0, 90), ("near_cosine", 0.93, 1)),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise QueryError(f"{name} must be between {low:g} and {high:g}, not {value:g}")


class DuplicateOptions(TypedDict, total=False):
    """The fields of `DuplicateSettings`, as keyword arguments."""

    max_distance: int
    min_cosine: float
    near_distance: int
    near_cosine: float


@dataclass(frozen=True)
class DuplicateEvidence(Record):
    """The reason why two items are near-duplicates: their two most similar views, and the shared part.

    `view_id` and `time_s` belong to the item that holds this evidence; the fields named `other_…` belong to the item
    that it is compared with.
    """

    kind: Literal["pictures", "video"]
    view_id: str
    other_view_id: str
    distance: int  # between the two fingerprints, in bits
    cosine: float  # between the two vectors
    mirrored: bool
    share: float  # 0 to 1: shared part of an item's pictures or video; the larger of both items' shares
    offset_s: float | None = None  # videos only: second in the other video = speed * second in this video + offset_s
    speed: float | None = None
    seconds: float | None = None  # length in this video from the first matching frame to the last
    time_s: float | None = None  # second of the view in its video
    other_time_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The evidence as plain values for JSON. Fields without a value are left out."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in super().to_dict().items()
            if value is not None
        }


@dataclass(frozen=True)
class DuplicatePair(Record):
    """Two near-duplicate items, with the evidence from the side of `item_id`."""

    item_id: str
    other_id: str
    evidence: DuplicateEvidence

    def to_dict(self) -> dict[str, Any]:
        """The pair as plain values for JSON, with the fields of its evidence."""
        return {"item_id": self.item_id, "other_id": self.other_id, **self.evidence.to_dict()}

    def swapped(self) -> DuplicatePair:
        """The same pair, with the evidence from the side of the other item."""
        e = self.evidence
        offset = speed = seconds = None
        if e.offset_s is not None and e.speed is not None and e.seconds is not None:
            offset, speed, seconds = -e.offset_s / e.speed, 1 / e.speed, e.seconds * e.speed
        swapped = DuplicateEvidence(
            *(e.kind, e.other_view_id, e.view_id, e.distance, e.cosine, e.mirrored, e.share),
            *(offset, speed, seconds, e.other_time_s, e.time_s),
        )
        return DuplicatePair(self.other_id, self.item_id, swapped)


def find_duplicates(
    store: Store, settings: DuplicateSettings | None = None, *, only: Collection[str] | None = None
) -> list[DuplicatePair]:
    """Find all pairs of near-duplicate items, ordered by their ids.

    Args:
        settings: thresholds; None for the defaults.
        only: item ids; every pair must contain one of them. None for all pairs.
    """
    views = PictureViews.read(store)
    probes = None
    if only is not None:
        selected = np.array([item_id in only for item_id in views.item_ids], dtype=bool)
        probes = np.flatnonzero(selected[views.items])
    return pairs_of_views(views, settings, probes=probes)


def pairs_of_views(
    views: PictureViews,
    settings: DuplicateSettings | None = None,
    *,
    probes: NDArray[np.int64] | None = None,
    weigh: bool = True,
) -> list[DuplicatePair]:
    """Find pairs of near-duplicate items among these views, ordered by their ids.

    Args:
        settings: thresholds; None for the defaults.
        probes: row numbers of `views`; every pair of views must contain one of them. None for all pairs.
        weigh: give pictures of many items less weight. If False, a pair does not depend on other items.
    """
    if not len(views):
        return []
    settings = settings or DuplicateSettings()
    view_pairs = find_view_pairs(views, probes)
    same = view_pairs.only(_are_same(view_pairs, settings))
    weights = _weights(views, same) if weigh else np.ones(len(views))
    pairs = {(pair.item_id, pair.other_id): pair for pair in _by_videos(views, view_pairs, weights)}
    for pair in _by_pictures(views, same, weights):
        pairs.setdefault((pair.item_id, pair.other_id), pair)
    return [pairs[key] for key in sorted(pairs)]


def _are_same(view_pairs: ViewPairs, settings: DuplicateSettings) -> NDArray[np.bool_]:
    sure = (view_pairs.distance <= settings.max_distance) & (view_pairs.cosine >= settings.min_cosine)
    near = (view_pairs.distance <= settings.near_distance) & (view_pairs.cosine >= settings.near_cosine)
    return sure | near


def _weights(views: PictureViews, same: ViewPairs) -> NDArray[np.float64]:
    """(n,) weight of each view: its rarity relative to the rarest of its item's pictures or its video, which has 1.

    A view may be in `_FREQUENCY_TOLERANCE` more items than the rarest without losing weight. Copies of a video have
    frames of different moments, so some frames match in all copies and others in few.
    """
    ends = np.concatenate([same.left, same.right])
    items = np.concatenate([views.items[same.right], views.items[same.left]])
    seen = np.unique(ends * len(views.item_ids) + items) // max(len(views.item_ids), 1)
    frequency = 1.0 + np.bincount(seen, minlength=len(views))
    _, owner = np.unique(np.stack([views.items, views.videos], axis=1), axis=0, return_inverse=True)
    owner = owner.ravel()
    rarest = np.full(owner.max(initial=0) + 1, np.inf)
    np.minimum.at(rarest, owner, frequency)
    return np.asarray(np.minimum(1.0, (rarest[owner] + _FREQUENCY_TOLERANCE) / frequency))


def _by_pictures(views: PictureViews, same: ViewPairs, weights: NDArray[np.float64]) -> Iterator[DuplicatePair]:
    """Yield pairs of items if the other item contains at least half of the pictures of one of them."""
    of_pictures = same.only(views.videos[same.left] < 0)
    if not len(of_pictures.left):
        return
    count = len(views.item_ids)
    total = np.bincount(views.items, weights=weights * (views.videos < 0), minlength=count)
    pair = views.items[of_pictures.left] * count + views.items[of_pictures.right]
    keys, place = np.unique(pair, return_inverse=True)
    shares = np.zeros(len(keys))
    for rows, owner in ((of_pictures.left, keys // count), (of_pictures.right, keys % count)):
        _, first = np.unique(place * len(views) + rows, return_index=True)  # count each picture once per pair of items
        matched = np.bincount(place[first], weights=weights[rows[first]], minlength=len(keys))
        shares = np.maximum(shares, matched / total[owner])
    order = np.lexsort((-of_pictures.cosine, of_pictures.distance, place))
    best = order[np.unique(place[order], return_index=True)[1]]
    for n in np.flatnonzero(shares >= MIN_SHARE - 1e-9):
        link = best[n]
        left, right = int(of_pictures.left[link]), int(of_pictures.right[link])
        yield _pair(
            views,
            *(left, right, int(of_pictures.distance[link]), float(of_pictures.cosine[link])),
            mirrored=bool(of_pictures.mirrored[link]),
            kind="pictures",
            share=min(float(shares[n]), 1.0),
        )


def _by_videos(views: PictureViews, view_pairs: ViewPairs, weights: NDArray[np.float64]) -> Iterator[DuplicatePair]:
    """Yield pairs of items with videos that share a part; of several videos, the pair with the largest share."""
    best: dict[tuple[int, int], tuple[Alignment, int, int]] = {}
    starts = np.flatnonzero(np.append(True, np.diff(views.videos) != 0))
    ends = np.append(starts[1:], len(views))
    rows_of = {int(views.videos[start]): slice(start, end) for start, end in zip(starts, ends, strict=True)}
    for first, second in _videos_to_align(views, view_pairs, weights):
        left, right = rows_of[first], rows_of[second]
        alignment = align(_frames(views, left, weights), _frames(views, right, weights))
        if alignment is not None:
            key = int(views.items[left.start]), int(views.items[right.start])
            if key not in best or alignment.share > best[key][0].share:
                best[key] = alignment, int(left.start), int(right.start)
    for alignment, left_start, right_start in best.values():
        yield _pair(
            views,
            *(left_start + alignment.best[0], right_start + alignment.best[1], alignment.distance, alignment.cosine),
            mirrored=alignment.mirrored,
            kind="video",
            share=alignment.share,
            alignment=alignment,
        )


def _videos_to_align(views: PictureViews, view_pairs: ViewPairs, weights: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of videos with at least two similar frames, not only frames that many videos have."""
    frames = view_pairs.only(views.videos[view_pairs.left] >= 0)
    if not len(frames.left):
        return []
    count = int(views.videos.max()) + 1
    pair = views.videos[frames.left] * count + views.videos[frames.right]
    keys, place = np.unique(pair, return_inverse=True)
    enough = np.ones(len(keys), dtype=bool)
    weight = np.zeros(len(keys))
    for rows in (frames.left, frames.right):
        _, first = np.unique(place * len(views) + rows, return_index=True)
        enough &= np.bincount(place[first], minlength=len(keys)) >= 2
        weight = np.maximum(weight, np.bincount(place[first], weights=weights[rows[first]], minlength=len(keys)))
    return [(int(key // count), int(key % count)) for key in keys[enough & (weight >= 0.5)]]


def _frames(views: PictureViews, rows: slice, weights: NDArray[np.float64]) -> Frames:
    return Frames(views.times[rows], views.vectors[rows], views.fingerprints[rows], weights[rows])


def _pair(
    views: PictureViews,
    left: int,
    right: int,
    distance: int,
    cosine: float,
    *,
    mirrored: bool,
    kind: Literal["pictures", "video"],
    share: float,
    alignment: Alignment | None = None,
) -> DuplicatePair:
    evidence = DuplicateEvidence(kind, views.view_ids[left], views.view_ids[right], distance, cosine, mirrored, share)
    if alignment is not None:
        evidence = DuplicateEvidence(
            *(kind, views.view_ids[left], views.view_ids[right], distance, cosine, mirrored, share),
            *(alignment.offset_s, alignment.speed, alignment.seconds),
            *(float(views.times[left]), float(views.times[right])),
        )
    return DuplicatePair(views.item_ids[views.items[left]], views.item_ids[views.items[right]], evidence)
