"""Whether two videos show the same, and from which second on: frames matched, then a vote on offset and speed.

Frames of copies are rarely taken at the same moments, so a frame is matched by its embedding (or its fingerprint) and
then has to lie within the reach of its counterpart: half the gap to the next frame. Each pair of matching frames
proposes offsets at a few speeds; the one that most frames agree with is tested by what should match under it and does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.media.fingerprints import MAX_DISTANCE, Fingerprints, distances, orient
from firstsight.vectors import Vectors

SPEEDS = tuple(1.1 ** (step / 4) for step in (0, -1, 1, -2, 2, -3, 3, -4, 4))
"""Factors that are tried, nearest to 1 first, down to 1 / 1.1 and up to 1.1."""

LEAST_COSINE, MOST_COSINE = 0.85, 0.95
"""Bounds of the cosine from which two frames match: between them, the median among the videos' own frames."""

NEAR_DISTANCE, NEAR_COSINE = 64, 0.6
"""Two frames match at this distance and this cosine, too: a poor copy, or a camera that has moved a little."""

MIN_FRAMES = 3
MIN_SECONDS = 2.0
MIN_OVERLAP = 0.6
"""Share of the frames within the overlap that have to match: of the video of which more do, by weight."""
MIN_OTHER_OVERLAP = 0.3
"""The same share of the other video: frames taken more densely show what lies between those of the sparser one."""
MIN_SHARE = 0.5
"""Share of a whole video that has to be in the other, by weight: of the one of which more is."""

_SLACK_S = 0.5
_SPEED_MARGIN = 1.1  # another speed has to explain more, since frames taken at other moments suit a wrong one as well
_MAX_VOTES = 300  # the most alike pairs of frames that may vote


@dataclass(frozen=True)
class Frames:
    """The frames of one video that are not flat, in time order."""

    times: NDArray[np.float64]  # (n,) seconds, rising
    vectors: Vectors  # (n, dim) unit rows
    fingerprints: Fingerprints  # (n, 32)
    weights: NDArray[np.float64]  # (n,) 0 to 1; little for frames that many items have


@dataclass(frozen=True)
class Alignment:
    """How one video lies in another: second in the other = speed * second + offset_s."""

    offset_s: float
    speed: float
    frames: int  # of the first video that match
    seconds: float  # of the first video, from the first of them to the last
    share: float  # 0 to 1: how much of the video of which more matches is in the other, by weight
    mirrored: bool
    best: tuple[int, int]  # the two frames that are most alike
    distance: int  # of their fingerprints, bits
    cosine: float  # of their vectors


def align(first: Frames, second: Frames) -> Alignment | None:
    """Find the stretch that two videos share; None where there is none, or not enough for them to be duplicates."""
    cosines = first.vectors @ second.vectors.T
    plain = distances(first.fingerprints[:, None], second.fingerprints)
    turned = distances(orient(first.fingerprints, "mirror")[:, None], second.fingerprints)
    bits = np.minimum(plain, turned)
    matches = (cosines >= _least_cosine(first, second)) | (bits <= MAX_DISTANCE)
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
        mirrored=_is_mirrored(plain[i, j], turned[i, j]),
        best=best_pair,
        distance=int(bits[best_pair]),
        cosine=float(cosines[best_pair]),
    )


def _least_cosine(first: Frames, second: Frames) -> float:
    """What counts as alike: more than the frames of these videos are alike among themselves."""
    own = [
        float(np.median((video.vectors @ video.vectors.T)[np.triu_indices(len(video.times), 1)]))
        for video in (first, second)
        if len(video.times) > 1
    ]
    return float(np.clip(max(own, default=LEAST_COSINE), LEAST_COSINE, MOST_COSINE))


def _vote(
    first: Frames, second: Frames, i: NDArray[np.int64], j: NDArray[np.int64]
) -> tuple[float, float, NDArray[np.bool_]]:
    """The offset and speed that most frames agree with, and which of the matches (i, j) do."""
    reach = np.minimum(_reach(first.times)[i], _reach(second.times)[j]) + _SLACK_S
    weights = first.weights[i] * second.weights[j]
    starts = np.flatnonzero(np.append(True, np.diff(i) > 0))
    best: tuple[float, float, float, NDArray[np.bool_]] | None = None
    for speed in SPEEDS:
        offsets = second.times[j] - speed * first.times[i]  # of each match, and each proposes its own
        apart = np.abs(offsets[None, :] - offsets[:, None]) / reach
        agree = np.where(apart <= 1, (1.0 - 0.2 * apart) * weights, 0.0)  # (proposals, matches)
        # a frame counts once; i rises, so that the matches of one frame stand together
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
    """How much of the one is in the other, or None where that does not make them duplicates."""
    if max(len(matched), len(matched_second)) < MIN_FRAMES or min(len(matched), len(matched_second)) < 2:
        return None
    if max(np.ptp(first.times[matched]), np.ptp(second.times[matched_second])) < MIN_SECONDS:
        return None
    there = speed * first.times + offset
    back = (second.times - offset) / speed
    shares = []
    overlaps = []
    for video, others, seen, found in ((first, second, there, matched), (second, first, back, matched_second)):
        margin = _reach(others.times).max()
        within = (seen >= others.times[0] - margin) & (seen <= others.times[-1] + margin)
        within[found] = True
        weight = video.weights[found].sum()
        overlaps.append(float(weight / video.weights[within].sum()))
        shares.append(float(weight / video.weights.sum()))
    if max(overlaps) < MIN_OVERLAP or min(overlaps) < MIN_OTHER_OVERLAP or max(shares) < MIN_SHARE:
        return None
    return max(shares)


def _is_mirrored(plain: NDArray[np.int64], turned: NDArray[np.int64]) -> bool:
    """Whether most frames are nearer when mirrored, of those that are near at all."""
    near = np.minimum(plain, turned) <= 2 * MAX_DISTANCE
    return bool(near.any() and np.mean(turned[near] < plain[near]) > 0.5)


def _reach(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the larger gap to a frame's neighbours, seconds."""
    if len(times) < 2:
        return np.zeros(len(times))
    gaps = np.diff(times)
    return np.asarray(np.maximum(np.append(gaps[0], gaps), np.append(gaps, gaps[-1])) / 2)
