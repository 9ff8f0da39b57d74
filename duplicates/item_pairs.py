"""Near-duplicate items: pairs with their evidence, and groups of them.

Two items are near-duplicates when at least half of the pictures of one, or of one of its videos, are in the other.
What many items have in common (a size chart, an intro) counts little in that half: a picture weighs as much as it is
rare, beside the rarest of its item.

    views with fingerprints -> view_pairs.py: pairs that look alike
                            -> pictures: share of the item | videos: video_alignment.py
                            -> pairs of items -> groups, each around one item that all others are near-duplicates of
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from firstsight.duplicates.video_alignment import MIN_SHARE, Alignment, Frames, align
from firstsight.duplicates.view_pairs import PictureViews, ViewPairs, find_view_pairs
from firstsight.errors import QueryError
from firstsight.media.fingerprints import MAX_DISTANCE
from firstsight.storage.store import Store

_FREQUENCY_TOLERANCE = 4.0


@dataclass(frozen=True)
class DuplicateSettings:
    """What makes two pictures the same.

    Raises:
        QueryError: a value out of range.
    """

    max_distance: int = MAX_DISTANCE  # of their fingerprints, 0 to 31 bits: sure, if their vectors agree
    min_cosine: float = 0.8  # of their vectors, -1 to 1, within max_distance; another colour is often below .93
    near_distance: int = 64  # bits, 0 to 90: near enough, where their vectors are nearly the same; 0 for never
    near_cosine: float = 0.96  # that nearly, .93 to 1: as after cutting off a margin

    def __post_init__(self) -> None:
        for name, low, high in (
            *(("max_distance", 0, MAX_DISTANCE), ("min_cosine", -1, 1)),
            *(("near_distance", 0, 90), ("near_cosine", 0.93, 1)),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise QueryError(f"{name} must be between {low:g} and {high:g}, not {value:g}")


@dataclass(frozen=True)
class DuplicateEvidence:
    """Why two items are near-duplicates: the two views that are most alike, and how much of them there is.

    Of the two items the first is the one that the evidence is kept with; the other is the one it is compared with.
    """

    kind: Literal["pictures", "video"]
    view_id: str
    other_view_id: str
    distance: int  # of the two fingerprints, bits
    cosine: float  # of the two vectors
    mirrored: bool
    share: float  # 0 to 1: how much of the pictures, or of the video, of the item of which more is in the other
    offset_s: float | None = None  # of videos: second in the other's = speed * second in the first's + offset_s
    speed: float | None = None
    seconds: float | None = None  # of the first's, from the first frame that matches to the last
    time_s: float | None = None  # second of the view
    other_time_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As plain values that JSON can hold; what only videos have is left out of others."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
            if value is not None
        }


@dataclass(frozen=True)
class DuplicatePair:
    """Two items that are near-duplicates; the evidence as seen from `item_id`."""

    item_id: str
    other_id: str
    evidence: DuplicateEvidence

    def swapped(self) -> DuplicatePair:
        """The same as seen from the other item."""
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
    """Every pair of near-duplicate items, ordered by their ids.

    Args:
        only: item ids of which each pair has to hold one; None for all pairs.
    """
    views = PictureViews.read(store)
    probes = None
    if only is not None:
        wanted = np.array([item_id in only for item_id in views.item_ids], dtype=bool)
        probes = np.flatnonzero(wanted[views.items])
    return pairs_of_views(views, settings, probes=probes)


def pairs_of_views(
    views: PictureViews,
    settings: DuplicateSettings | None = None,
    *,
    probes: NDArray[np.int64] | None = None,
    weigh: bool = True,
) -> list[DuplicatePair]:
    """The pairs of near-duplicate items among these views, ordered by their ids.

    Args:
        probes: rows of which each pair of views has to hold one; None for all pairs.
        weigh: count what many items have in common little. Without it a pair does not depend on what else there is.
    """
    if not len(views):
        return []
    settings = settings or DuplicateSettings()
    view_pairs = find_view_pairs(views, probes)
    same = view_pairs.only(_are_same(view_pairs, settings))
    weights = _weights(views, same) if weigh else np.ones(len(views))
    found = {(pair.item_id, pair.other_id): pair for pair in _by_videos(views, view_pairs, weights)}
    for pair in _by_pictures(views, same, weights):
        found.setdefault((pair.item_id, pair.other_id), pair)
    return [found[key] for key in sorted(found)]


def _are_same(view_pairs: ViewPairs, settings: DuplicateSettings) -> NDArray[np.bool_]:
    sure = (view_pairs.distance <= settings.max_distance) & (view_pairs.cosine >= settings.min_cosine)
    near = (view_pairs.distance <= settings.near_distance) & (view_pairs.cosine >= settings.near_cosine)
    return sure | near


def _weights(views: PictureViews, same: ViewPairs) -> NDArray[np.float64]:
    """(n,) how rare each view is, beside the rarest of its item's pictures or of its video: 1 for that one.

    A few more items than have the rarest cost nothing: of several copies of a video some frames are found by all of
    them and some, taken at other moments, by few.
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
    """Items of which one has at least half of its pictures in the other."""
    of_pictures = same.only(views.videos[same.left] < 0)
    if not len(of_pictures.left):
        return
    count = len(views.item_ids)
    total = np.bincount(views.items, weights=weights * (views.videos < 0), minlength=count)
    pair = views.items[of_pictures.left] * count + views.items[of_pictures.right]
    keys, place = np.unique(pair, return_inverse=True)
    shares = np.zeros(len(keys))
    for rows, owner in ((of_pictures.left, keys // count), (of_pictures.right, keys % count)):
        _, first = np.unique(place * len(views) + rows, return_index=True)  # a picture counts once for a pair of items
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
    """Items with videos that show the same for long enough; of several such videos, those that share most."""
    best: dict[tuple[int, int], tuple[Alignment, int, int]] = {}
    starts = np.flatnonzero(np.append(True, np.diff(views.videos) != 0))
    ends = np.append(starts[1:], len(views))
    rows_of = {int(views.videos[start]): slice(start, end) for start, end in zip(starts, ends, strict=True)}
    for first, second in _videos_to_align(views, view_pairs, weights):
        left, right = rows_of[first], rows_of[second]
        found = align(_frames(views, left, weights), _frames(views, right, weights))
        if found is not None:
            key = int(views.items[left.start]), int(views.items[right.start])
            if key not in best or found.share > best[key][0].share:
                best[key] = found, int(left.start), int(right.start)
    for found, left_start, right_start in best.values():
        yield _pair(
            views,
            *(left_start + found.best[0], right_start + found.best[1], found.distance, found.cosine),
            mirrored=found.mirrored,
            kind="video",
            share=found.share,
            alignment=found,
        )


def _videos_to_align(views: PictureViews, view_pairs: ViewPairs, weights: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of videos of which at least two frames look alike, and not only what many videos have."""
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
