"""Alignment of two videos by their fingerprints: matching codes vote on a line, which is then tested on every code.

A line maps seconds: second in the stored video = speed * second in the query + offset. Codes of unrelated pictures
differ in 128 of 256 bits, with a standard deviation near 8. So a copy stands out on its line, even if it was changed a
lot. How far other moments of the same two videos differ tells how much a match proves: in videos that hardly change,
or with the same layout, all moments are near each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.duplicates.prints.channels import Channel, Track, tracks
from firstsight.duplicates.prints.grids import Grid, grids
from firstsight.media.fingerprints import distances
from firstsight.media.video_prints import PRINTS_PER_S, VideoPrints

MAX_SPEED: Final = 1.55
"""Speeds from 1 / 1.55 to 1.55 are tried."""

MIN_SECONDS: Final = 2.0
"""Minimum length of the matching part, in both videos."""

MAX_MEAN_DISTANCE: Final = 64.0
"""Maximum mean distance of the matching codes. Two videos that show the same picture at different sizes reach 68."""

MIN_FILL: Final = 0.5
"""Minimum share of the codes within the matching part that match."""

MIN_EVIDENCE: Final = 6.0
"""Minimum evidence per square root of the number of scenes. Of unrelated videos, the best of all lines reaches 4.3."""

_UNRELATED: Final = 128.0
_MISS: Final = 0.6  # codes that do not match count this much against those that do
_MAX_SCENE_EVIDENCE: Final = 8.0
_SCENE_DISTANCES: Final = (6.0, 32.0)  # limits of the bits to a scene's first code at which another scene begins
_SPEED_STEP: Final = 0.006
_STEPS: Final = int(np.log(MAX_SPEED) / _SPEED_STEP)
_SPEEDS: Final = np.exp(np.arange(-_STEPS, _STEPS + 1) * _SPEED_STEP)
_SAME_SPEED: Final = 1.05  # other speeds must be better by this factor
_MAX_VOTES: Final = 4_000
_BIN_S: Final = 0.25
_LINES: Final = 4  # with the most votes, to be tested
_VOTERS: Final = 3  # pairs of channels with the most votes for a line, to be tested
_NEAR_S: Final = 0.75
_REACH_S: Final = 1.5  # distance to the line of the matches that refine it
_ROUNDS: Final = 3
_OUTLIER_S: Final = 0.3
_STEPS_AROUND: Final = 3  # codes around an offset at which others are tried


@dataclass(frozen=True)
class PrintAlignment:
    """Where two videos show the same: second in the stored video = speed * second in the query + offset_s."""

    offset_s: float
    speed: float
    start_s: float  # of the matching part, second in the query
    end_s: float
    seconds: float  # that match within it
    share: float  # 0 to 1: matching part of the query
    stored_share: float  # 0 to 1: matching part of the stored video
    mirrored: bool
    channels: tuple[Channel, Channel]  # of the query and of the stored video that match best
    distance: float  # mean over the matching codes, in bits
    best_s: tuple[float, float]  # second of the nearest codes in the query and in the stored video


@dataclass(frozen=True)
class _Line:
    speed: float
    offset_s: float

    def at(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.speed * seconds + self.offset_s


def align_prints(query: VideoPrints, stored: VideoPrints, *, rate: float = PRINTS_PER_S) -> PrintAlignment | None:
    """Find the part that two videos share.

    Args:
        query: fingerprints of one video, such as a clip that somebody searches with.
        stored: fingerprints of the other, as in the table `video_prints`.
        rate: codes per second of `query.whole`; its regions have half as many. With more than `PRINTS_PER_S`, a short
            clip gets a better offset.

    Returns:
        The alignment with the most matching seconds; None if the videos share less than `MIN_SECONDS`, or no more than
        unrelated videos of their kind do.
    """
    best: PrintAlignment | None = None
    compared = list(grids(tracks(query, rate), tracks(stored)))
    for mirrored in (False, True):
        chosen = [grid for grid in compared if grid.mirrored == mirrored]
        for line, voters in _vote(chosen):
            for grid in voters:
                found = _verify(grid, _refine(grid, line), query.duration_s, stored.duration_s)
                if found is not None and (best is None or _strength(found) > _strength(best)):
                    best = found
    return best


def whole_alignment(prints: VideoPrints) -> PrintAlignment:
    """The alignment of a video with a copy of its file."""
    return PrintAlignment(
        offset_s=0.0,
        speed=1.0,
        start_s=0.0,
        end_s=prints.duration_s,
        seconds=prints.duration_s,
        share=1.0,
        stored_share=1.0,
        mirrored=False,
        channels=("whole", "whole"),
        distance=0.0,
        best_s=(0.0, 0.0),
    )


def _strength(alignment: PrintAlignment) -> float:
    """How good an alignment is: many matching seconds, at small distances, rather without a change of speed."""
    return alignment.seconds * (_UNRELATED - alignment.distance) * (_SAME_SPEED if alignment.speed == 1 else 1.0)


def _vote(compared: Sequence[Grid]) -> list[tuple[_Line, list[Grid]]]:
    """The lines with the most votes of matching codes, the best first, each with the grids that voted most."""
    parts = [(grid, *grid.matches()) for grid in compared]
    if not any(len(rows) for _, rows, _, _ in parts):
        return []
    t = np.concatenate([rows / grid.query.rate for grid, rows, _, _ in parts])
    u = np.concatenate([columns / grid.stored.rate for grid, _, columns, _ in parts])
    weights = np.concatenate(
        [(0.1 + nearer / _UNRELATED) / max(grid.query.rate, grid.stored.rate) for grid, _, _, nearer in parts]
    )
    number = np.repeat(np.arange(len(parts)), [len(rows) for _, rows, _, _ in parts])
    if len(t) > _MAX_VOTES:
        kept = np.argsort(-weights, kind="stable")[:_MAX_VOTES]
        t, u, weights, number = t[kept], u[kept], weights[kept], number[kept]
    scored: list[tuple[float, _Line]] = []
    for speed in _SPEEDS:
        offsets = u - speed * t
        low = float(offsets.min())
        bins = np.floor((offsets - low) / _BIN_S).astype(np.int64)
        votes = np.convolve(np.bincount(bins, weights), np.ones(3))
        at = int(np.argmax(votes))
        score = float(votes[at]) * (_SAME_SPEED if speed == 1 else 1.0)
        scored.append((score, _Line(float(speed), low + (at - 0.5) * _BIN_S)))
    unchanged = scored[_STEPS][1]
    scored.sort(key=lambda pair: -pair[0])
    middle = np.atleast_1d(np.median(t))
    lines: list[_Line] = []
    for score, line in scored:
        if score < scored[0][0] / 2 or len(lines) == _LINES:
            break
        if all(abs(line.at(middle) - other.at(middle))[0] > 0.6 for other in lines):
            lines.append(line)
    if unchanged not in lines:
        lines.append(unchanged)
    voters = []
    for line in lines:
        near = np.abs(line.at(t) - u) <= _NEAR_S
        votes = np.bincount(number[near], weights[near], minlength=len(parts))
        best = np.argsort(-votes, kind="stable")[:_VOTERS]
        voters.append((line, [compared[n] for n in best if votes[n] > 0]))
    return voters


def _refine(grid: Grid, line: _Line) -> _Line:
    """Fit a line through the nearest codes around it, finer than the time between two codes."""
    if grid.still:
        return _Line(1.0, 0.0)  # every moment fits every other
    for _ in range(_ROUNDS):
        t, u, w = _nearest(grid, line)
        if len(t) < 2 or not w.sum():
            return line
        speed, offset, error = _fit(t, u, w)
        for _ in range(_ROUNDS):  # moments far from the line count less
            speed, offset, error = _fit(t, u, w / (1 + ((u - speed * t - offset) / _OUTLIER_S) ** 2))
        if abs(speed - 1) <= max(3 * error, 0.003) or not 1 / MAX_SPEED <= speed <= MAX_SPEED:
            speed = 1.0 if abs(speed - 1) <= max(3 * error, 0.003) else line.speed
            offset = float(np.average(u - speed * t, weights=w))
        line = _Line(speed, offset)
    return _without_speed(grid, line) if line.speed == 1 else line


def _without_speed(grid: Grid, line: _Line) -> _Line:
    """Find the offset at which all codes together are nearest, between two steps of the denser video.

    The mean distance rises about evenly on both sides of the true offset, so three of them tell where it lies.
    """
    dense, sparse = grid.query.rate, grid.stored.rate
    sign = 1
    if sparse > dense:
        dense, sparse, sign = sparse, dense, -1
    own, other = (grid.stored, grid.query) if sign == 1 else (grid.query, grid.stored)
    # second in `other` = second in `own` - sign * offset
    steps = np.arange(-_STEPS_AROUND, _STEPS_AROUND + 1)
    middle = round(-sign * line.offset_s * dense)
    at = np.round(np.arange(len(own.codes)) / sparse * dense).astype(np.int64)
    places = at[:, None] + middle + steps
    rows = np.flatnonzero((places[:, 0] >= 0) & (places[:, -1] < len(other.codes)))
    if len(rows) < 4:
        return line
    own_rows, other_rows = np.repeat(rows, len(steps)), places[rows].ravel()
    pair = (other_rows, own_rows) if sign == 1 else (own_rows, other_rows)
    bits = grid.bits(*pair).reshape(len(rows), -1)
    match = grid.match(bits, grid.usual(*pair).reshape(bits.shape), on_line=True).any(axis=1)
    kept = bits[match & ~np.isnan(bits).any(axis=1)]
    if len(kept) < 4:
        return line
    means = kept.mean(axis=0)
    best = int(np.argmin(means))
    if not 0 < best < len(steps) - 1:
        return line
    before, here, after = means[best - 1 : best + 2]
    rise = max(before, after) - here
    if rise < 0.5:
        return line
    return _Line(1.0, -sign * float(middle + steps[best] + (before - after) / (2 * rise)) / dense)


def _fit(t: NDArray[np.float64], u: NDArray[np.float64], w: NDArray[np.float64]) -> tuple[float, float, float]:
    """Weighted least squares: slope, intercept and the standard error of the slope."""
    mean_t, mean_u = np.average(t, weights=w), np.average(u, weights=w)
    spread = float(np.average((t - mean_t) ** 2, weights=w))
    if spread < 0.1:
        return 1.0, float(mean_u - mean_t), 0.0
    slope = float(np.average((t - mean_t) * (u - mean_u), weights=w)) / spread
    offset = float(mean_u - slope * mean_t)
    residual = float(np.average((u - slope * t - offset) ** 2, weights=w))
    count = float(w.sum() ** 2 / (w**2).sum())
    return slope, offset, float(np.sqrt(residual / spread / max(count - 2, 1)))


def _nearest(grid: Grid, line: _Line) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Seconds in both videos at which codes around a line are nearest, and their weights.

    A moment is found more exactly among denser codes, so it counts more.
    """
    columns_of = _sub_ticks(grid, line, transposed=False)
    rows_of = _sub_ticks(grid, line, transposed=True)
    return (
        np.concatenate([columns_of[0], rows_of[1]]),
        np.concatenate([columns_of[1], rows_of[0]]),
        np.concatenate([columns_of[2] * grid.stored.rate**3, rows_of[2] * grid.query.rate**3]),
    )


def _sub_ticks(
    grid: Grid, line: _Line, *, transposed: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """For each code of one video, the second of the nearest moment in the other one, between its codes.

    Distances rise about evenly on both sides of the true moment, so three of them tell where it lies (equiangular
    fit). The weight is how much they rise.
    """
    own, other = (grid.stored, grid.query) if transposed else (grid.query, grid.stored)
    n, m = len(own.codes), len(other.codes)
    seconds = np.arange(n) / own.rate
    there = (seconds - line.offset_s) / line.speed if transposed else line.at(seconds)
    reach = max(1, round(_REACH_S * other.rate))
    centre = np.round(there * other.rate).astype(np.int64)
    kept = np.flatnonzero((centre >= 0) & (centre < m) & own.has_code)
    around = centre[kept, None] + np.arange(-reach - 1, reach + 2)
    inside = (around >= 0) & (around < m)
    clipped = np.clip(around, 0, m - 1)
    rows = np.broadcast_to(kept[:, None], clipped.shape)
    pair = (clipped, rows) if transposed else (rows, clipped)
    bits = grid.bits(pair[0].ravel(), pair[1].ravel())
    usual = grid.usual(pair[0].ravel(), pair[1].ravel())
    match = grid.match(bits, usual).reshape(clipped.shape) & inside
    values = np.where(inside & ~np.isnan(bits.reshape(clipped.shape)), bits.reshape(clipped.shape), 1_000.0)
    # of equally near codes, the one nearest to the line
    ranked = values + 1e-3 * np.abs(around - there[kept, None] * other.rate)
    ranked[:, [0, -1]] = 2_000.0
    at = np.argmin(ranked, axis=1)
    each = np.arange(len(kept))
    before, here, after = values[each, at - 1], values[each, at], values[each, at + 1]
    rise = np.maximum(before, after) - here
    good = match[each, at] & (before < 999) & (after < 999) & (rise >= 1)
    shift = np.clip((before[good] - after[good]) / (2 * rise[good]), -0.5, 0.5)
    moment = (around[each, at][good] + shift) / other.rate
    return seconds[kept[good]], moment, rise[good].astype(np.float64)


def _verify(grid: Grid, line: _Line, duration_s: float, stored_s: float) -> PrintAlignment | None:
    """Test a line on every code of the query."""
    n, m = len(grid.query.codes), len(grid.stored.codes)
    t = np.arange(n) / grid.query.rate
    place = line.at(t) * grid.stored.rate
    rows = np.flatnonzero((place > -0.75) & (place < m - 0.25))
    if not len(rows):
        return None
    low = np.floor(place[rows] + 1e-6).astype(np.int64)
    left, right = np.clip(low, 0, m - 1), np.clip(low + 1, 0, m - 1)
    bits_left, bits_right = grid.bits(rows, left), grid.bits(rows, right)
    columns = np.where(bits_right < bits_left, right, left)
    bits = np.fmin(bits_left, bits_right)
    usual = np.fmin(grid.usual(rows, left), grid.usual(rows, right))
    match = grid.match(bits, usual, on_line=True)
    run = _best_run(np.where(np.isnan(bits), -0.1, np.where(match, 1.0, -_MISS)))
    rows, columns, bits, usual, match = rows[run], columns[run], bits[run], usual[run], match[run]
    seconds = float(match.sum()) / grid.query.rate
    if seconds * min(line.speed, 1.0) < MIN_SECONDS - 1e-9 or match.mean() < MIN_FILL:
        return None
    if bits[match].mean() > MAX_MEAN_DISTANCE:
        return None
    if not (grid.still or _stands_out(grid, rows, ~np.isnan(bits), (usual - bits) / grid.spread)):
        return None
    best = int(np.nanargmin(np.where(match, bits, np.nan)))
    return PrintAlignment(
        offset_s=line.offset_s,
        speed=line.speed,
        start_s=float(t[rows[0]]),
        end_s=float(min(t[rows[-1]] + 1 / grid.query.rate, duration_s)),
        seconds=min(seconds, duration_s),
        share=min(1.0, seconds / duration_s),
        stored_share=min(1.0, seconds * line.speed / stored_s),
        mirrored=grid.mirrored,
        channels=grid.channels,
        distance=float(bits[match].mean()),
        best_s=(float(t[rows[best]]), float(columns[best] / grid.stored.rate)),
    )


def _best_run(gains: NDArray[np.float64]) -> slice:
    """The part of a row with the largest sum."""
    totals = np.concatenate([[0.0], np.cumsum(gains)])
    last = int(np.argmax(totals - np.minimum.accumulate(totals)))
    return slice(int(np.argmin(totals[: last + 1])), last)


def _stands_out(
    grid: Grid, rows: NDArray[np.int64], known: NDArray[np.bool_], deviations: NDArray[np.floating]
) -> bool:
    """Whether the codes of all scenes together are nearer than those of the best line of unrelated videos."""
    low, high = _SCENE_DISTANCES
    scene = _scenes(grid.query, rows, min(max(grid.own_distance / 2, low), high))[known]
    counts = np.bincount(scene)
    sums = np.bincount(scene, deviations[known])
    evidence = np.minimum(sums[counts > 0] / counts[counts > 0], _MAX_SCENE_EVIDENCE)
    return bool(evidence.sum() >= MIN_EVIDENCE * np.sqrt(len(evidence)))


def _scenes(track: Track, rows: NDArray[np.int64], distance: float) -> NDArray[np.int64]:
    """(r,) number of each row's scene. Another begins where a code is far from the first one of its scene."""
    codes = track.codes[rows]
    numbers = np.zeros(len(rows), dtype=np.int64)
    begin = 0
    while True:
        far = np.flatnonzero(distances(codes[begin], codes[begin:]) > distance)
        if not len(far):
            return numbers
        begin += int(far[0])
        numbers[begin:] += 1
