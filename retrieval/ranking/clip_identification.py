"""Find the videos that contain a clip, by their fingerprints, and the second at which it begins.

Frames tell what a video shows. Fingerprints tell whether it is the same recording, and where. They are compared with
those of the first items of the ranking, which come first if they contain at least half of the clip.

Alignment as for near-duplicates wants proof that it is no chance: a clip that hardly moves gives none, and in a clip of
seconds a border cannot be told from a calm part of the picture. But the items here already look like the clip. So the
clip, at speed 1, is also put at the place where its codes are nearest to those of the video. These are made with
several borders, and four times as dense as the stored ones, for the offset.

Copies of one recording differ from the clip by as few bits as the original does: which comes first is then chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.duplicates.prints.print_alignment import PrintAlignment, align_prints
from firstsight.duplicates.prints.stored_prints import StoredPrints
from firstsight.media.fingerprints import Fingerprints, distances
from firstsight.media.video_prints import CROPS_PER_S, PRINTS_PER_S, VideoPrints
from firstsight.retrieval.ranking.readings import Candidate
from firstsight.retrieval.results import ClipMatch
from firstsight.storage.store import Store

IDENTIFIED: Final = 16
"""Number of items of a ranking whose fingerprints are compared, the same for every page."""

MIN_SHARE: Final = 0.5
"""Minimum share of the clip that an identified video contains."""

MAX_DISTANCE: Final = 64.0
"""Maximum mean distance of near codes, in bits."""

_UNRELATED: Final = 128  # bits in which codes of unrelated pictures differ

_EQUAL: Final = 0.5
"""Bits by which the mean distances of places that fit equally differ."""

_NOISE: Final = 8.0
"""Bits by which the mean distances of the same match differ, between two ways to compare."""

_PART_FACTOR: Final = 0.9


def put_identified_first(store: Store, prints: VideoPrints, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Move the items that contain the clip to the front, with relevance 1; those that match best come first.

    Args:
        prints: of the clip.
        candidates: best first, at least `IDENTIFIED` or all there are.
    """
    first, rest = candidates[:IDENTIFIED], candidates[IDENTIFIED:]
    stored = StoredPrints.read(store, [candidate.item_id for candidate in first])
    found: dict[str, tuple[float, ClipMatch]] = {}
    for item_id, uri, of_item in zip(stored.item_ids, stored.uris, stored.prints, strict=True):
        alignment = align_prints(prints, of_item)
        if alignment is not None and alignment.share < MIN_SHARE:
            alignment = None
        nearest = _nearest_crop(prints, of_item.whole)
        if nearest is not None and (alignment is None or _agree(alignment, nearest)):
            offset_s, distance, share = nearest
            strength = share * prints.duration_s * (_UNRELATED - distance)
            match = ClipMatch(uri, offset_s, 1.0, share if alignment is None else max(share, alignment.share))
        elif alignment is not None:
            strength = alignment.seconds * (_UNRELATED - alignment.distance)
            if alignment.channels != ("whole", "whole"):
                strength *= _PART_FACTOR  # a version that shows a part of the picture is rather the copy
            match = ClipMatch(uri, alignment.offset_s, alignment.speed, alignment.share)
        else:
            continue
        if item_id not in found or strength > found[item_id][0]:
            found[item_id] = (strength, match)
    identified = [
        replace(candidate, relevance=1.0, clip=found[candidate.item_id][1])
        for candidate in sorted(first, key=lambda c: -found.get(c.item_id, (0.0,))[0])
        if candidate.item_id in found
    ]
    return [*identified, *(candidate for candidate in first if candidate.item_id not in found), *rest]


def _nearest_crop(prints: VideoPrints, video: Fingerprints) -> tuple[float, float, float] | None:
    """The nearest place of all crops of a clip, see `nearest_place`."""
    places = [nearest_place(prints.whole, video)]
    if prints.crops is not None:
        # all codes of a crop are compared only if half of them fit best
        rough = [nearest_place(crop[::2], video, CROPS_PER_S // 2) for crop in prints.crops]
        distances_of = [np.inf if place is None else place[1] for place in rough]
        if np.isfinite(min(distances_of)):
            places.append(nearest_place(prints.crops[int(np.argmin(distances_of))], video, CROPS_PER_S))
    return min((place for place in places if place is not None), key=lambda place: place[1], default=None)


def _agree(alignment: PrintAlignment, nearest: tuple[float, float, float]) -> bool:
    """Whether the nearest place may replace an alignment: it is near too, and the clip is not changed."""
    unchanged = alignment.speed == 1 and not alignment.mirrored
    return unchanged and nearest[1] <= alignment.distance + _NOISE


def nearest_place(
    clip: Fingerprints, video: Fingerprints, per_s: int = PRINTS_PER_S
) -> tuple[float, float, float] | None:
    """Find where a clip lies in a video that looks like it, at speed 1.

    Args:
        clip: (n, 32) codes, `per_s` a second; a row of zeros is no code.
        video: (m, 32) codes, `PRINTS_PER_S` a second.
        per_s: a multiple of `PRINTS_PER_S`.

    Returns:
        Second of the video at which the clip begins, mean distance of the codes there in bits, and the share of the
        clip that was compared; None if the codes are not near anywhere. If several places fit equally, the middle of
        the first stretch of them.
    """
    means, shares, first = _means_by_place(clip, video, per_s)
    if not means.size or means.min() > MAX_DISTANCE:
        return None
    best = int(np.argmin(means))
    low = high = best
    while low > 0 and means[low - 1] <= means[best] + _EQUAL:
        low -= 1
    while high + 1 < len(means) and means[high + 1] <= means[best] + _EQUAL:
        high += 1
    place = (low + high) / 2 if high > low else best + _between(means, best)
    return (first + place) / per_s, float(means[best]), float(shares[best])


def _means_by_place(
    clip: Fingerprints, video: Fingerprints, per_s: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Mean distance and compared share of the clip at each place, and the number of the first place.

    Place p begins p / per_s seconds after the video. The clip may begin before the video, or end after it.
    """
    step = per_s // PRINTS_PER_S
    n, m = len(clip), len(video)
    if not n or not m:
        return np.zeros(0), np.zeros(0), 0
    first = -(n // 2)
    count = step * m - (n + 1) // 2 + 1 - first
    sums, counts = np.zeros(count), np.zeros(count)
    there = video.any(axis=1)
    for row in np.flatnonzero(clip.any(axis=1)):
        bits = distances(clip[row], video)
        places = step * np.arange(m) - row - first  # where this row meets each code of the video
        met = there & (places >= 0) & (places < count)
        sums[places[met]] += bits[met]
        counts[places[met]] += 1
    shares = counts / (n / step)
    with np.errstate(invalid="ignore"):
        means = np.where(shares >= MIN_SHARE, sums / np.maximum(counts, 1), np.inf)
    return means, np.minimum(shares, 1.0), first


def _between(means: NDArray[np.float64], best: int) -> float:
    """Fraction of a place by which the true one differs: distances rise about evenly on both sides of it."""
    if not 0 < best < len(means) - 1:
        return 0.0
    before, here, after = means[best - 1 : best + 2]
    rise = max(before, after) - here
    return float((before - after) / (2 * rise)) if np.isfinite(rise) and rise > 0 else 0.0
