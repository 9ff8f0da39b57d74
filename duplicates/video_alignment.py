"""Alignment of two videos: frames are matched, then vote on a common offset and speed.

Copies of a video are rarely sampled at the same moments. So a frame matches by its embedding or its fingerprint, and
its time must be within the reach of the other frame: half the gap to the next frame. Each pair of matching frames
proposes an offset at each of a few speeds. The proposal with the most votes is then tested: enough of the frames in the
overlap must match.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.media.fingerprints import MAX_DISTANCE, Fingerprints, distances, orient
from firstsight.vectors import Vectors

SPEEDS = tuple(1.1 ** (step / 4) for step in (0, -1, 1, -2, 2, -3, 3, -4, 4))
"""Speed factors to try, nearest to 1 first, from 1 / 1.1 to 1.1."""

MIN_COSINE, MAX_COSINE = 0.85, 0.95
"""Bounds of the cosine at which two frames match. Within them it is the median cosine of frames of the same video."""

NEAR_DISTANCE, NEAR_COSINE = 64, 0.6
"""Two frames also match at this distance in bits and this cosine: a poor copy, or a camera that moved a little."""

MIN_FRAMES = 3
"""Minimum number of matching frames in one of the videos; the other must have two."""
MIN_SECONDS = 2.0
"""Minimum time between the first and the last matching frame of one of the videos."""
MIN_OVERLAP = 0.6
"""Minimum share of frames in the overlap that match, by weight, for the video with the larger share."""
MIN_OTHER_OVERLAP = 0.3
"""The same minimum for the other video: its frames may be denser and show moments between the frames of the first."""
MIN_SHARE = 0.5
"""Minimum share of a whole video that matches, by weight, for the video with the larger share."""

_SLACK_S = 0.5
_SPEED_MARGIN = 1.1  # a speed further from 1 needs this factor more votes, because sampled frames fit wrong speeds too
_MAX_VOTES = 300  # only the most similar pairs of frames vote


@dataclass(frozen=True)
class Frames:
    """The frames of one video except flat ones, in order of time."""

    times: NDArray[np.float64]  # (n,) seconds, ascending
    vectors: Vectors  # (n, dim) unit rows
    fingerprints: Fingerprints  # (n, 32)
    weights: NDArray[np.float64]  # (n,) 0 to 1; low for frames of many items


@dataclass(frozen=True)
class Alignment:
    """The alignment of two videos: second in the second video = speed * second in the first + offset_s."""

    offset_s: float
    speed: float
    frames: int  # number of matching frames of the first video
    seconds: float  # from the first matching frame of the first video to the last
    share: float  # 0 to 1: matching part of a video by weight; the larger of both videos' shares
    mirrored: bool
    best: tuple[int, int]  # indices of the two most similar frames
    distance: int  # between their fingerprints, in bits
    cosine: float  # between their vectors


def align(first: Frames, second: Frames) -> Alignment | None:
    """Find the part that two videos share.

    Returns:
        The alignment; None if they share too little to be duplicates.
    """
    cosines = first.vectors @ second.vectors.T
    plain = distances(first.fingerprints[:, None], second.fingerprints)
    mirrored = distances(orient(first.fingerprints, "mirror")[:, None], second.fingerprints)
    bits = np.minimum(plain, mirrored)
    matches = (cosines >= _min_cosine(first, second)) | (bits <= MAX_DISTANCE)
    matches |= (bits <= NEAR_DISTANCE) & (cosines >= NEAR_COSINE)
    if min(matches.any(axis=1).sum(), matches.any(axis=0).sum()) < 2:
        return None
    i, j = np.nonzero(matches)
    if len(i) > _MAX_VOTES:
        best = np.argsort(bits[i, j] - 100 * cosines[i, j], kind="stable")[:_MAX_VOTES]
        best.sort()
        i, j = i[best], j[best]
    offset, speed, agreeing = _vote(first, second, i, j)
    i, j = i[agreeing], j[agreeing]
    share = _share_if_enough(first, second, offset, speed, np.unique(i), np.unique(j))
    if share is None:
        return None
    at = int(np.argmin(bits[i, j] - cosines[i, j]))
    best_pair = int(i[at]), int(j[at])
    return Alignment(
        offset_s=offset,
        speed=speed,
        frames=len(np.unique(i)),
        seconds=float(np.ptp(first.times[i])),
        share=share,
        mirrored=_is_mirrored(plain[i, j], mirrored[i, j]),
        best=best_pair,
        distance=int(bits[best_pair]),
        cosine=float(cosines[best_pair]),
    )


def _min_cosine(first: Frames, second: Frames) -> float:
    """The cosine at which frames match: higher than among frames of the same video."""
    own = [
        float(np.median((video.vectors @ video.vectors.T)[np.triu_indices(len(video.times), 1)]))
        for video in (first, second)
        if len(video.times) > 1
    ]
    return float(np.clip(max(own, default=MIN_COSINE), MIN_COSINE, MAX_COSINE))


def _vote(
    first: Frames, second: Frames, i: NDArray[np.int64], j: NDArray[np.int64]
) -> tuple[float, float, NDArray[np.bool_]]:
    """The offset and speed with the most votes, and a mask of the matches (i, j) that agree with them."""
    reach = np.minimum(_reach(first.times)[i], _reach(second.times)[j]) + _SLACK_S
    weights = first.weights[i] * second.weights[j]
    starts = np.flatnonzero(np.append(True, np.diff(i) > 0))
    best: tuple[float, float, float, NDArray[np.bool_]] | None = None
    for speed in SPEEDS:
        offsets = second.times[j] - speed * first.times[i]  # (matches,) each match proposes its own offset
        apart = np.abs(offsets[None, :] - offsets[:, None]) / reach
        agree = np.where(apart <= 1, (1.0 - 0.2 * apart) * weights, 0.0)  # (proposals, matches)
        # count each frame once; i is sorted, so the matches of a frame are adjacent
        scores = np.maximum.reduceat(agree, starts, axis=1).sum(axis=1)
        at = int(np.argmax(scores))
        if best is None or scores[at] > best[0] * _SPEED_MARGIN:
            voters = agree[at] > 0
            best = float(scores[at]), float(np.median(offsets[voters])), speed, voters
    assert best is not None
    return best[1], best[2], best[3]


def _share_if_enough(
    first: Frames,
    second: Frames,
    offset: float,
    speed: float,
    matched: NDArray[np.int64],
    matched_second: NDArray[np.int64],
) -> float | None:
    """The larger of both videos' matching shares; None if they share too little to be duplicates."""
    if max(len(matched), len(matched_second)) < MIN_FRAMES or min(len(matched), len(matched_second)) < 2:
        return None
    if max(np.ptp(first.times[matched]), np.ptp(second.times[matched_second])) < MIN_SECONDS:
        return None
    there = speed * first.times + offset
    back = (second.times - offset) / speed
    shares = []
    overlaps = []
    for video, other, mapped, own in ((first, second, there, matched), (second, first, back, matched_second)):
        margin = _reach(other.times).max()
        within = (mapped >= other.times[0] - margin) & (mapped <= other.times[-1] + margin)
        within[own] = True
        weight = video.weights[own].sum()
        overlaps.append(float(weight / video.weights[within].sum()))
        shares.append(float(weight / video.weights.sum()))
    if max(overlaps) < MIN_OVERLAP or min(overlaps) < MIN_OTHER_OVERLAP or max(shares) < MIN_SHARE:
        return None
    return max(shares)


def _is_mirrored(plain: NDArray[np.int64], mirrored: NDArray[np.int64]) -> bool:
    """Whether most near frames are nearer when one is mirrored; the arguments are distances in bits."""
    near = np.minimum(plain, mirrored) <= 2 * MAX_DISTANCE
    return bool(near.any() and np.mean(mirrored[near] < plain[near]) > 0.5)


def _reach(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) half the larger gap to a frame's neighbours, in seconds."""
    if len(times) < 2:
        return np.zeros(len(times))
    gaps = np.diff(times)
    return np.asarray(np.maximum(np.append(gaps[0], gaps), np.append(gaps, gaps[-1])) / 2)
