"""Pairs of videos that may share a part, found without a comparison of all pairs.

    codes of all videos, once per second, without repeats -> pairs of near codes (hamming_pairs.py)
        -> pairs of videos with enough of them -> print_alignment.py

A code that is repeated for a while counts once, with the time that it stands for. A pair of videos is a candidate if
near codes stand for a part of one of them. So an intro or a test card that many videos share is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.duplicates.hamming_pairs import CodePairs, banded_batches
from firstsight.duplicates.prints.channels import CHANNELS, Channel
from firstsight.media.fingerprints import FINGERPRINT_BYTES, Fingerprints, distances, orient
from firstsight.media.video_prints import PRINTS_PER_S, REGION_PRINTS_PER_S, VideoPrints

MAX_DISTANCE: Final = 76
"""Maximum bits between near codes. Of those at 60 bits, four in five are found; among many codes, one in three."""

MIN_PART: Final = 0.1
"""Minimum share of one of two videos that near codes stand for."""

MAX_HITS: Final = 32
"""Near codes of a code that count in each search. Of the copies of one video, all are then compared with the first."""

MAX_CANDIDATES: Final = 200
"""Candidates of each video, those with the largest part."""

_REPEAT: Final = 16  # bits to the code before up to which a code is a repeat
_LONGEST: Final = 4  # codes that one of them stands for at most
_FEW_CODES: Final = 1 << 14  # up to which bands one bit apart are searched too
_JOINS: Final[tuple[tuple[Channel, Channel], ...]] = (
    ("whole", "whole"),
    ("whole", "centre"),
    ("whole", "core"),
    ("whole", "strip"),
    ("whole", "inner"),
    ("inner", "inner"),
    ("inner", "strip"),
    ("inner", "centre"),
    ("centre", "centre"),
)
_NOTHING: Final = np.zeros((0, FINGERPRINT_BYTES), np.uint8)
_SHUFFLED: Final = np.random.default_rng(0).permutation(8 * FINGERPRINT_BYTES)


@dataclass(frozen=True)
class Pool:
    """Codes of one channel of many videos, without repeats."""

    codes: Fingerprints  # (n, 32)
    videos: NDArray[np.int64]  # (n,) number of the video
    weights: NDArray[np.float64]  # (n,) share of its video that the code stands for

    @cached_property
    def shuffled(self) -> Fingerprints:
        """The codes with their bits in another order."""
        return np.packbits(np.unpackbits(self.codes, axis=1)[:, _SHUFFLED], axis=1)

    @cached_property
    def mirrored(self) -> Pool:
        """The codes of the mirrored pictures."""
        return replace(self, codes=orient(self.codes, "mirror"))

    def only(self, kept: NDArray[np.bool_]) -> Pool:
        """The codes selected by a mask."""
        return Pool(self.codes[kept], self.videos[kept], self.weights[kept])


def candidate_pairs(
    videos: Sequence[VideoPrints], *, probes: NDArray[np.bool_] | None = None, min_part: float = MIN_PART
) -> list[tuple[int, int]]:
    """Find pairs of videos that may share a part, as pairs of numbers, the lower one first.

    Args:
        videos: fingerprints of all videos.
        probes: mask of videos; every pair contains one of them. None for all pairs. The time grows with their number.
        min_part: minimum share of one of both videos that near codes stand for.
    """
    pools = {channel: _pool(videos, channel) for channel in CHANNELS}
    parts: dict[tuple[int, int], float] = {}
    for left, right in _JOINS:
        for pool, other in _sides(pools[left], pools[right], probes):
            for mirrored in (False, True):
                for pair, part in _join(pool, other, len(videos), min_part, mirrored=mirrored):
                    parts[pair] = max(part, parts.get(pair, 0.0))
    return _strongest(parts)


def _sides(left: Pool, right: Pool, probes: NDArray[np.bool_] | None) -> Iterator[tuple[Pool, Pool]]:
    """The pools to be joined; with probes, the second one has only codes of these videos."""
    if probes is None:
        yield left, right
        return
    yield left, right.only(probes[right.videos])
    if left is not right:
        yield right, left.only(probes[left.videos])


def _pool(videos: Sequence[VideoPrints], channel: Channel) -> Pool:
    rows = [_rows(video, channel) for video in videos]
    codes = np.concatenate([_NOTHING, *rows])
    owner = np.repeat(np.arange(len(rows)), [len(codes) for codes in rows])
    there = np.flatnonzero(codes.any(axis=1))
    codes, owner = codes[there], owner[there]
    new = np.ones(len(codes), dtype=bool)
    new[1:] = (owner[1:] != owner[:-1]) | (distances(codes[1:], codes[:-1]) > _REPEAT)
    starts = np.flatnonzero(new)
    repeats = np.arange(len(codes)) - np.repeat(starts, np.diff(np.append(starts, len(codes))))
    kept = np.flatnonzero(repeats % _LONGEST == 0)
    counts = np.diff(np.append(kept, len(codes)))
    return Pool(codes[kept], owner[kept], counts / np.bincount(owner, minlength=1)[owner[kept]])


def _rows(video: VideoPrints, channel: Channel) -> Fingerprints:
    """The codes of a channel, one per second."""
    if channel == "whole":
        return video.whole[:: PRINTS_PER_S // REGION_PRINTS_PER_S]
    return video.regions.get(channel, _NOTHING)


def _join(
    pool: Pool, other: Pool, count: int, min_part: float, *, mirrored: bool
) -> Iterator[tuple[tuple[int, int], float]]:
    """Yield pairs of different videos with the larger of the shares that near codes of two pools stand for."""
    within = pool is other and not mirrored
    lefts, rights = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for found in _near_codes(pool, None if within else other.mirrored if mirrored else other):
        kept = _first_hits(found, pool.videos, other.videos)
        lefts.append(found.left[kept])
        rights.append(found.right[kept])
    left, right = np.concatenate(lefts), np.concatenate(rights)
    if not len(left):
        return
    a, b = pool.videos[left], other.videos[right]
    pair = np.minimum(a, b) * count + np.maximum(a, b)
    keys, place = np.unique(pair, return_inverse=True)
    part = np.zeros(len(keys))
    for rows, side in ((left, pool), (right, other)):
        for lower in (True, False):  # a row belongs to the lower or the higher video of its pair
            of_side = np.flatnonzero((side.videos[rows] == keys[place] // count) == lower)
            _, first = np.unique(place[of_side] * len(side.videos) + rows[of_side], return_index=True)
            weights = side.weights[rows[of_side][first]]
            part = np.maximum(part, np.bincount(place[of_side][first], weights, minlength=len(keys)))
    for n in np.flatnonzero(part >= min_part):
        yield (int(keys[n] // count), int(keys[n] % count)), float(part[n])


def _near_codes(pool: Pool, other: Pool | None) -> Iterator[CodePairs]:
    """Batches of near codes. Of many codes, those are found that agree in 16 bits at one of 32 choices of bits."""
    flip = max(len(pool.codes), 0 if other is None else len(other.codes)) <= _FEW_CODES
    others = None if other is None else other.codes
    yield from banded_batches(pool.codes, others, max_distance=MAX_DISTANCE, flip=flip)
    if not flip:
        keys = pool.shuffled, None if other is None else other.shuffled
        yield from banded_batches(pool.codes, others, keys=keys, max_distance=MAX_DISTANCE, flip=False)


def _first_hits(found: CodePairs, videos: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first pairs of each left code, of different videos."""
    fits = np.flatnonzero(videos[found.left] != others[found.right])
    left = found.left[fits]
    starts = np.flatnonzero(np.append(True, left[1:] != left[:-1])[: len(left)])
    rank = np.arange(len(left)) - np.repeat(starts, np.diff(np.append(starts, len(left))))
    return fits[rank < MAX_HITS]


def _strongest(parts: dict[tuple[int, int], float]) -> list[tuple[int, int]]:
    """Pairs in order, without those that are beyond the number of candidates for both of their videos."""
    seen: dict[int, int] = {}
    chosen = []
    for pair in sorted(parts, key=lambda pair: (-parts[pair], pair)):
        taken = [seen.get(video, 0) for video in pair]
        if min(taken) < MAX_CANDIDATES:
            chosen.append(pair)
            for video in pair:
                seen[video] = seen.get(video, 0) + 1
    return sorted(chosen)
