"""Choosing the frames of a video that are worth encoding; pure functions over any decoder's `VideoReader`.

`auto` looks at few frames, since decoding is what costs: the keyframes, which stand alone, and more in the middle of
the longest stretches without any until there are 8 and none is over 11 s. Where two neighbours differ and no keyframe
tells where the cut is, frames between them are looked at as well. Then, shot by shot:

    black and flat frames are dropped, then frames like one that was kept of the same shot;
    every shot keeps at least one; where there are more shots than the cap, those kept are spread evenly over them;
    of what is left, the frames farthest in time from those kept, up to the cap.

The cap is 8 frames and one more for every 5 s. Whatever the length, four frames are looked at for each that may be
kept, and 8 more, so that a video of hours costs no more time or memory than the cap says.
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
"""Between frames that are looked at, as long as the number of them allows: 250 frames, a common distance of keyframes,
are 10.4 s of film."""

MIN_FRAME_GAP_S: Final = 0.5
"""Keyframes nearer to the one before are passed over: every frame of some codecs is one."""

MAX_CUT_UNCERTAINTY_S: Final = 2.5
"""A cut known no better than this is looked for between its neighbours, frame by frame at PROBE_STEP_S."""

PROBE_STEP_S: Final = 1.0

MAX_PROBED_S: Final = 60.0
"""Of a video that is looked at so closely: it has to be decoded in full, and there is a limit of time."""

REGULAR_S: Final = 0.1
"""Keyframes whose distances differ less come at a fixed rhythm."""


def choose_frames(reader: VideoReader, rule: FrameRule, *, min_side: int | None = None) -> list[Frame]:
    """Take the frames of a video that a rule names.

    Args:
        min_side: as for `VideoReader.read`.

    Returns:
        At least one frame and at most `rule.frame_limit`, in the order they are shown. With `auto` each has the start
        and end of its shot; the shots of one video do not overlap, and frames of one shot share it.

    Raises:
        MediaError: as for `VideoReader.read`.
    """
    if rule.kind == "auto":
        return _choose_automatically(reader, rule, min_side)
    times = reader.times
    indices = _indices_by_rule(reader, rule)
    taken = [indices[n] for n in uniform_indices(len(indices), rule.frame_limit)]
    pictures = reader.read(taken, min_side=min_side)
    return [Frame(_seconds(times[n]), picture) for n, picture in zip(taken, pictures, strict=True)]


def _seconds(second: float) -> float:
    return round(float(second), 6)  # decoders keep float32, whose digits end there


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
    """A frame that was looked at."""

    index: int
    time_s: float
    summary: FrameSummary
    picture: Image


@dataclass(frozen=True)
class _Shot:
    """A stretch of a video without a cut."""

    start_s: float
    end_s: float
    frames: list[_ExaminedFrame]  # in the order they are shown, at least one


def _choose_automatically(reader: VideoReader, rule: FrameRule, min_side: int | None) -> list[Frame]:
    times = reader.times
    end_s = max(reader.duration_s, float(times[-1]))
    cap = rule.auto_frame_limit(end_s)
    budget = 4 * cap + AUTO_MIN_FRAMES
    rhythm = _KeyframeRhythm(times, reader.keyframes)
    seen = _examine(reader, _candidates(times, reader.keyframes, end_s, budget), min_side)
    between = _frames_between_uncertain_cuts(seen, rhythm, times, budget - len(seen))
    if between:
        seen = sorted(seen + _examine(reader, between, min_side), key=lambda frame: frame.index)
    shots = _split_into_shots(seen, rhythm, end_s)
    kept = _select_frames(shots, cap)
    return [
        Frame(_seconds(frame.time_s), frame.picture, _seconds(shot.start_s), _seconds(shot.end_s))
        for shot in shots
        for frame in shot.frames
        if frame.index in kept
    ]


class _KeyframeRhythm:
    """How often a video has keyframes: one that does not come at a fixed distance stands where an encoder saw a cut."""

    def __init__(self, times: NDArray[np.float64], keyframes: NDArray[np.int64]) -> None:
        starts = times[keyframes]
        gaps = np.diff(starts)
        regular = gaps > gaps.max(initial=0.0) - REGULAR_S
        # the longest distance met only once is no rhythm, unless it is all there is
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
    """Keyframes no closer than they should be, and more in the middle of the longest gaps."""
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


def _nearest(times: NDArray[np.float64], wanted: Iterable[float]) -> list[int]:
    """The indices of the frames shown nearest to these seconds."""
    found = []
    for second in wanted:
        n = bisect_left(times, second)
        found.append(n if n == 0 or (n < len(times) and times[n] - second <= second - times[n - 1]) else n - 1)
    return found


def _frames_between_uncertain_cuts(
    seen: Sequence[_ExaminedFrame], rhythm: _KeyframeRhythm, times: NDArray[np.float64], budget: int
) -> list[int]:
    """Frames to look at between neighbours that differ, where nothing tells the second of the cut."""
    vague = [
        (a, b)
        for a, b in pairwise(seen)
        if b.time_s - a.time_s > MAX_CUT_UNCERTAINTY_S
        and not rhythm.marks_cut(b.index)
        and is_cut(a.summary, b.summary)
    ]
    found: list[int] = []
    left_s = MAX_PROBED_S
    for a, b in sorted(vague, key=lambda pair: pair[0].time_s - pair[1].time_s):  # the longest first
        left_s -= b.time_s - a.time_s
        if left_s < 0:
            break
        wanted = np.linspace(a.time_s, b.time_s, int(np.ceil((b.time_s - a.time_s) / PROBE_STEP_S)) + 1)[1:-1]
        found += [n for n in dict.fromkeys(_nearest(times, wanted)) if a.index < n < b.index]
    return sorted(found[: max(budget, 0)])


def _split_into_shots(seen: Sequence[_ExaminedFrame], rhythm: _KeyframeRhythm, end_s: float) -> list[_Shot]:
    """Cut a video where neighbouring frames differ; the shots cover it from 0 to its end."""
    groups = [[seen[0]]]
    bounds = [0.0]
    for a, b in pairwise(seen):
        if is_cut(a.summary, b.summary):
            bounds.append(b.time_s if rhythm.marks_cut(b.index) else (a.time_s + b.time_s) / 2)
            groups.append([])
        groups[-1].append(b)
    return [_Shot(*span) for span in zip(bounds, [*bounds[1:], end_s], groups, strict=True)]


def _select_frames(shots: Sequence[_Shot], cap: int) -> set[int]:
    """The indices of the frames to keep, at least one and at most `cap`."""
    worth = [distinct for shot in shots if (distinct := _distinct_frames(shot))]
    if not worth:  # nothing but black and flat frames: the one that shows most
        return {max((frame for shot in shots for frame in shot.frames), key=lambda frame: frame.summary.contrast).index}
    kept = [worth[n][0] for n in uniform_indices(len(worth), cap)]
    rest = [frame for frames in worth for frame in frames[1:]]
    away = np.array([min(abs(frame.time_s - other.time_s) for other in kept) for frame in rest])
    while rest and len(kept) < cap:
        n = int(away.argmax())
        if away[n] < 0:
            break
        kept.append(rest[n])
        away = np.minimum(away, np.abs(np.array([frame.time_s for frame in rest]) - rest[n].time_s))
        away[n] = -1.0
    return {frame.index for frame in kept}


def _distinct_frames(shot: _Shot) -> list[_ExaminedFrame]:
    """A shot's frames that differ from each other and show something, from its middle outwards."""
    middle = (shot.start_s + shot.end_s) / 2
    kept: list[_ExaminedFrame] = []
    for frame in sorted(shot.frames, key=lambda frame: abs(frame.time_s - middle)):
        if not frame.summary.empty and not any(looks_same(frame.summary, other.summary) for other in kept):
            kept.append(frame)
    return kept
