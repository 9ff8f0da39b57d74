"""Pairs of near-duplicate items, with their evidence.

Two items are near-duplicates if the other item contains at least half of the pictures of one of them, or half of one of
its videos. Pictures of many items (a size chart, an intro) count little: a picture's weight is its rarity, relative to
the rarest picture of its item.

    views with fingerprints -> view_pairs.py: pairs of views that look alike
                            -> pictures: share of the item | videos without fingerprints of their own:
                               video_alignment.py
    fingerprints of videos  -> prints/: pairs of videos that share a part
                            -> pairs of items -> groups.py
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from firstsight.duplicates.prints.stored_prints import (
    StoredPrints,
    VideoPair,
    find_video_pairs,
    sound_agreement,
)
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
    that it is compared with. If two videos were compared by their own fingerprints, the views are the stored frames
    nearest to the most similar moments.
    """

    kind: Literal["pictures", "video"]
    view_id: str | None  # None if no frame of the video is stored
    other_view_id: str | None
    distance: int  # between the two fingerprints, in bits; of videos with their own fingerprints the mean of all codes
    cosine: float | None  # between the vectors of the two views
    mirrored: bool
    share: float  # 0 to 1: shared part of an item's pictures or video; the larger of both items' shares
    offset_s: float | None = None  # videos only: second in the other video = speed * second in this video + offset_s
    speed: float | None = None
    seconds: float | None = None  # length in this video from the first matching frame to the last
    time_s: float | None = None  # second of the view in its video
    other_time_s: float | None = None
    start_s: float | None = None  # videos with their own fingerprints: second in this video at which the match starts
    identical: bool | None = None  # the same: whether both videos are the same file
    region: str | None = None  # the same: part of the frame that matches: whole, centre, core, strip or inner
    other_region: str | None = None
    sound: float | None = None  # the same: share of equal bits of both sound tracks; .66 or more for the same sound

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
        swapped = replace(
            e,
            view_id=e.other_view_id,
            other_view_id=e.view_id,
            time_s=e.other_time_s,
            other_time_s=e.time_s,
            region=e.other_region,
            other_region=e.region,
        )
        if e.offset_s is not None and e.speed is not None and e.seconds is not None:
            swapped = replace(swapped, offset_s=-e.offset_s / e.speed, speed=1 / e.speed, seconds=e.seconds * e.speed)
            if e.start_s is not None:
                swapped = replace(swapped, start_s=max(0.0, e.speed * e.start_s + e.offset_s))
        return DuplicatePair(self.other_id, self.item_id, swapped)


def find_duplicates(
    store: Store, settings: DuplicateSettings | None = None, *, only: Collection[str] | None = None
) -> list[DuplicatePair]:
    """Find all pairs of near-duplicate items, ordered by their ids.

    Args:
        settings: thresholds for pictures; None for the defaults.
        only: item ids; every pair must contain one of them. None for all pairs.
    """
    return pairs_of_views(PictureViews.read(store), settings, prints=StoredPrints.read(store), only=only)


def pairs_of_views(
    views: PictureViews,
    settings: DuplicateSettings | None = None,
    *,
    prints: StoredPrints | None = None,
    only: Collection[str] | None = None,
    weigh: bool = True,
    chained: bool = False,
) -> list[DuplicatePair]:
    """Find pairs of near-duplicate items among these views, ordered by their ids.

    Args:
        settings: thresholds for pictures; None for the defaults.
        prints: fingerprints of the videos of these items. Two videos that both have some are compared by them alone.
        only: item ids; every pair must contain one of them. None for all pairs.
        weigh: give pictures of many items less weight. If False, a pair does not depend on other items.
        chained: leave out pairs of videos that a chain of other pairs connects already, which takes less time.
    """
    settings = settings or DuplicateSettings()
    found = list(_by_prints(views, prints, only, chained=chained)) if prints is not None and len(prints) else []
    if len(views):
        probes = None
        if only is not None:
            selected = np.array([item_id in only for item_id in views.item_ids], dtype=bool)
            probes = np.flatnonzero(selected[views.items])
        view_pairs = _without_printed_videos(views, find_view_pairs(views, probes), prints)
        same = view_pairs.only(_are_same(view_pairs, settings))
        weights = _weights(views, same) if weigh else np.ones(len(views))
        found += [*_by_videos(views, view_pairs, weights), *_by_pictures(views, same, weights)]
    pairs: dict[tuple[str, str], DuplicatePair] = {}
    for pair in found:
        pairs.setdefault((pair.item_id, pair.other_id), pair)
    return [pairs[key] for key in sorted(pairs)]


def _without_printed_videos(views: PictureViews, view_pairs: ViewPairs, prints: StoredPrints | None) -> ViewPairs:
    """Leave out pairs of frames of two videos that both have fingerprints."""
    if prints is None or not len(prints) or not len(views.video_uris):
        return view_pairs
    known = prints.videos
    printed = np.zeros(len(views), dtype=bool)
    of_video = np.flatnonzero(views.videos >= 0)
    printed[of_video] = [
        (views.item_ids[item], views.video_uris[video]) in known
        for item, video in zip(views.items[of_video], views.videos[of_video], strict=True)
    ]
    return view_pairs.only(~(printed[view_pairs.left] & printed[view_pairs.right]))


def _by_prints(
    views: PictureViews, prints: StoredPrints, only: Collection[str] | None, *, chained: bool
) -> Iterator[DuplicatePair]:
    """Yield pairs of items with videos that share a part; of several videos, the pair with the largest share."""
    probes = None if only is None else np.array([item_id in only for item_id in prints.item_ids], dtype=bool)
    best: dict[tuple[str, str], tuple[float, VideoPair]] = {}
    for pair in find_video_pairs(prints, min_share=MIN_SHARE, probes=probes, chained=chained):
        ends = (prints.item_ids[pair.left], prints.item_ids[pair.right])
        key = (min(ends), max(ends))
        if key not in best or pair.share > best[key][0]:
            best[key] = pair.share, pair
    frames: dict[tuple[str, str], list[int]] = {}
    ends_of_best = {(prints.item_ids[n], prints.uris[n]) for _, pair in best.values() for n in (pair.left, pair.right)}
    for row in np.flatnonzero(views.videos >= 0):
        video = (views.item_ids[views.items[row]], views.video_uris[views.videos[row]])
        if video in ends_of_best:
            frames.setdefault(video, []).append(int(row))
    for _, pair in best.values():
        found = _print_pair(views, prints, pair, frames)
        yield found if found.item_id < found.other_id else found.swapped()


def _print_pair(
    views: PictureViews, prints: StoredPrints, pair: VideoPair, frames: Mapping[tuple[str, str], Sequence[int]]
) -> DuplicatePair:
    alignment = pair.alignment
    rows = []
    for number, second in zip((pair.left, pair.right), alignment.best_s, strict=True):
        of_video = frames.get((prints.item_ids[number], prints.uris[number]), ())
        rows.append(min(of_video, key=lambda row: abs(float(views.times[row]) - second), default=None))
    left, right = rows
    evidence = DuplicateEvidence(
        kind="video",
        view_id=None if left is None else views.view_ids[left],
        other_view_id=None if right is None else views.view_ids[right],
        distance=round(alignment.distance),
        cosine=None if left is None or right is None else float(views.vectors[left] @ views.vectors[right]),
        mirrored=alignment.mirrored,
        share=pair.share,
        offset_s=alignment.offset_s,
        speed=alignment.speed,
        seconds=alignment.end_s - alignment.start_s,
        time_s=None if left is None else float(views.times[left]),
        other_time_s=None if right is None else float(views.times[right]),
        start_s=alignment.start_s,
        identical=pair.identical,
        region=alignment.channels[0],
        other_region=alignment.channels[1],
        sound=sound_agreement(prints.prints[pair.left], prints.prints[pair.right], alignment),
    )
    return DuplicatePair(prints.item_ids[pair.left], prints.item_ids[pair.right], evidence)


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
