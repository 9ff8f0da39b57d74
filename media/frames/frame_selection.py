"""Selection of the frames of a video to encode: pure functions over any decoder's `VideoReader`.

Decoding is expensive, so `auto` examines few frames: keyframes, which decode without others, and frames in the middle
of the longest gaps, until there are 8 frames and no gap is over 11 s. If two neighbours differ and no keyframe shows
the place of the cut, frames between them are examined too. Then `auto` selects frames shot by shot:

    1. It drops black and flat frames, and frames that look like a selected frame of the same shot.
    2. Every shot keeps at least one frame. If there are more shots than the limit, an even subset of them is used.
    3. It adds the remaining frames that are farthest in time from the selected ones, up to the limit.

The limit is 8 frames and one more for every 5 s. For each frame of the limit four frames are examined, and 8 more. So
even for a video of hours the limit bounds time and memory.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from firstsight.media.frames.frame_rules import AUTO_MIN_FRAMES, FrameRule
from firstsight.media.frames.shots import FrameSummary, is_cut, looks_same, summarise
from firstsight.media.frames.video_frames import Frame, VideoReader, uniform_indices

MAX_FRAME_GAP_S: Final = 11.0
"""Largest gap between examined frames, if their number allows it. A common distance of keyframes is 250 frames, which
are 10.4 s of film."""

MIN_FRAME_GAP_S: Final = 0.5
"""Smallest gap between examined keyframes. In some codecs every frame is a keyframe."""

MAX_CUT_UNCERTAINTY_S: Final = 2.5
"""Largest accepted uncertainty of a cut. Beyond it, frames between its neighbours are examined every PROBE_STEP_S."""

PROBE_STEP_S: Final = 1.0

MAX_PROBED_S: Final = 60.0
"""Maximum seconds of a video examined that closely: they are decoded in full, and decoding has a time limit."""

REGULAR_S: Final = 0.1
"""Keyframes come at a fixed rhythm if their distances differ by less than this."""


def choose_frames(reader: VideoReader, rule: FrameRule, *, min_side: int | None = None) -> list[Frame]:
    """Select and decode frames of a video by a rule.

    Args:
        min_side: as for `VideoReader.read`.

    Returns:
        At least one frame and at most `rule.frame_limit`, in presentation order. With `auto` each frame has the start
        and end of its shot. Shots of a video do not overlap, and frames of the same shot have the same bounds.

    Raises:
        MediaError: as for `VideoReader.read`.
    """
    if rule.kind == "auto":
        return _choose_automatically(reader, rule, min_side)
    times = reader.times
    indices = _indices_by_rule(reader, rule)
    selected = [indices[n] for n in uniform_indices(len(indices), rule.frame_limit)]
    pictures = reader.read(selected, min_side=min_side)
    return [Frame(_seconds(times[n]), picture) for n, picture in zip(selected, pictures, strict=True)]


def _seconds(second: float) -> float:
    return round(float(second), 6)  # the precision of float32, which decoders use


def _indices_by_rule(reader: VideoReader, rule: FrameRule) -> Sequence[int]:
    times = reader.times
    if rule.kind == "keyframes":
        return [int(n) for n in reader.keyframes]
    if rule.kind == "every":
        steps = 1 + float(times[-1]) / rule.seconds
        if steps < len(times):
            return sorted(set(_nearest(times, np.arange(int(steps)) * rule.seconds)))
    return range(len(times))


# ---- auto


@dataclass
class _ExaminedFrame:
    """A decoded frame with its summary."""

    index: int
    time_s: float
    summary: FrameSummary
    picture: Image


@dataclass(frozen=True)
class _Shot:
    """A part of a video without a cut."""

    start_s: float
    end_s: float
    frames: list[_ExaminedFrame]  # in presentation order, at least one


def _choose_automatically(reader: VideoReader, rule: FrameRule, min_side: int | None) -> list[Frame]:
    times = reader.times
    end_s = max(reader.duration_s, float(times[-1]))
    limit = rule.auto_frame_limit(end_s)
    budget = 4 * limit + AUTO_MIN_FRAMES
    rhythm = _KeyframeRhythm(times, reader.keyframes)
    examined = _examine(reader, _candidates(times, reader.keyframes, end_s, budget), min_side)
    between = _frames_between_uncertain_cuts(examined, rhythm, times, budget - len(examined))
    if between:
        examined = sorted(examined + _examine(reader, between, min_side), key=lambda frame: frame.index)
    shots = _split_into_shots(examined, rhythm, end_s)
    selected = _select_frames(shots, limit)
    return [
        Frame(_seconds(frame.time_s), frame.picture, _seconds(shot.start_s), _seconds(shot.end_s))
        for shot in shots
        for frame in shot.frames
        if frame.index in selected
    ]


class _KeyframeRhythm:
    """The rhythm of a video's keyframes. A keyframe outside the rhythm marks a cut that the video encoder detected."""

    def __init__(self, times: NDArray[np.float64], keyframes: NDArray[np.int64]) -> None:
        starts = times[keyframes]
        gaps = np.diff(starts)
        regular = gaps > gaps.max(initial=0.0) - REGULAR_S
        # a longest distance that occurs once is no rhythm, unless it is the only distance
        self._irregular_keyframes = {int(n) for n in keyframes[1:][~regular | ((len(gaps) > 1) & (regular.sum() == 1))]}

    def marks_cut(self, index: int) -> bool:
        return index in self._irregular_keyframes


def _examine(reader: VideoReader, indices: Sequence[int], min_side: int | None) -> list[_ExaminedFrame]:
    times = reader.times
    return [
        _ExaminedFrame(index, float(times[index]), summarise(picture), picture)
        for index, picture in zip(indices, reader.read(indices, min_side=min_side), strict=True)
    ]


def _candidates(times: NDArray[np.float64], keyframes: NDArray[np.int64], end_s: float, budget: int) -> list[int]:
    """Indices to examine: keyframes at a minimum distance, and frames in the middle of the longest gaps."""
    closest = max(MIN_FRAME_GAP_S, end_s / budget)
    chosen: list[int] = []
    for index in keyframes:
        if not chosen or times[index] - times[chosen[-1]] >= closest:
            chosen.append(int(index))
    chosen = [chosen[n] for n in uniform_indices(len(chosen), budget)]
    while len(chosen) < min(budget, len(times)):
        ends = np.append(times[chosen[1:]], end_s)
        gaps = ends - times[chosen]
        # a gap with no frame in it cannot be split
        gaps[np.diff([*chosen, len(times)]) < 2] = 0.0
        widest = int(gaps.argmax())
        if gaps[widest] <= 0.0 or (len(chosen) >= AUTO_MIN_FRAMES and gaps[widest] <= MAX_FRAME_GAP_S):
            break
        after, before = chosen[widest], chosen[widest + 1] if widest + 1 < len(chosen) else len(times)
        (middle,) = _nearest(times, [times[after] + gaps[widest] / 2])
        chosen.insert(widest + 1, min(max(middle, after + 1), before - 1))
    return chosen


def _nearest(times: NDArray[np.float64], seconds: Iterable[float]) -> list[int]:
    """Indices of the frames shown nearest to these seconds."""
    nearest = []
    for second in seconds:
        n = bisect_left(times, second)
        nearest.append(n if n == 0 or (n < len(times) and times[n] - second <= second - times[n - 1]) else n - 1)
    return nearest


def _frames_between_uncertain_cuts(
    examined: Sequence[_ExaminedFrame], rhythm: _KeyframeRhythm, times: NDArray[np.float64], budget: int
) -> list[int]:
    """Indices to examine between neighbours that differ, if the second of the cut is unknown."""
    uncertain = [
        (a, b)
        for a, b in pairwise(examined)
        if b.time_s - a.time_s > MAX_CUT_UNCERTAINTY_S
        and not rhythm.marks_cut(b.index)
        and is_cut(a.summary, b.summary)
    ]
    probes: list[int] = []
    left_s = MAX_PROBED_S
    for a, b in sorted(uncertain, key=lambda pair: pair[0].time_s - pair[1].time_s):  # the longest first
        left_s -= b.time_s - a.time_s
        if left_s < 0:
            break
        seconds = np.linspace(a.time_s, b.time_s, int(np.ceil((b.time_s - a.time_s) / PROBE_STEP_S)) + 1)[1:-1]
        probes += [n for n in dict.fromkeys(_nearest(times, seconds)) if a.index < n < b.index]
    return sorted(probes[: max(budget, 0)])


def _split_into_shots(examined: Sequence[_ExaminedFrame], rhythm: _KeyframeRhythm, end_s: float) -> list[_Shot]:
    """Split a video at the cuts between neighbouring frames. The shots cover it from 0 to its end."""
    groups = [[examined[0]]]
    bounds = [0.0]
    for a, b in pairwise(examined):
        if is_cut(a.summary, b.summary):
            bounds.append(b.time_s if rhythm.marks_cut(b.index) else (a.time_s + b.time_s) / 2)
            groups.append([])
        groups[-1].append(b)
    return [_Shot(*span) for span in zip(bounds, [*bounds[1:], end_s], groups, strict=True)]


def _select_frames(shots: Sequence[_Shot], limit: int) -> set[int]:
    """Indices of the selected frames, at least one and at most `limit`."""
    distinct_of_shots = [distinct for shot in shots if (distinct := _distinct_frames(shot))]
    if not distinct_of_shots:  # only black and flat frames: select the one with the most contrast
        return {max((frame for shot in shots for frame in shot.frames), key=lambda frame: frame.summary.contrast).index}
    selected = [distinct_of_shots[n][0] for n in uniform_indices(len(distinct_of_shots), limit)]
    rest = [frame for frames in distinct_of_shots for frame in frames[1:]]
    distance_s = np.array([min(abs(frame.time_s - other.time_s) for other in selected) for frame in rest])
    while rest and len(selected) < limit:
        n = int(distance_s.argmax())
        if distance_s[n] < 0:
            break
        selected.append(rest[n])
        distance_s = np.minimum(distance_s, np.abs(np.array([frame.time_s for frame in rest]) - rest[n].time_s))
        distance_s[n] = -1.0
    return {frame.index for frame in selected}


def _distinct_frames(shot: _Shot) -> list[_ExaminedFrame]:
    """Frames of a shot that differ from each other and are not empty, from the middle of the shot outwards."""
    middle = (shot.start_s + shot.end_s) / 2
    kept: list[_ExaminedFrame] = []
    for frame in sorted(shot.frames, key=lambda frame: abs(frame.time_s - middle)):
        if not frame.summary.empty and not any(looks_same(frame.summary, other.summary) for other in kept):
            kept.append(frame)
    return kept
