"""Selection of frames by shots, while a video is scanned: memory stays bounded, and no frame is decoded twice.

1. Cuts between neighbouring ticks split the video into shots; a dissolve belongs to the shot after it.
2. Every shot keeps its distinct looks, without black and flat frames. A look that moves gets a further picture every
   `LOOK_GAP_S` seconds; a look that rests gets one at any time. The picture is that of the second tick of a look, so
   that a blended first frame is avoided.
3. If there are more pictures than the limit, shots lose further looks first; then an even subset of the shots stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from firstsight.media.frames.shots import FrameSummary, difference, is_blend, is_cut, looks_same, summarise
from firstsight.media.frames.video_frames import Frame, ScannedFrame, uniform_indices

LOOK_GAP_S: Final = 3.0
"""Smallest distance of the pictures of a shot that moves."""

REST_DIFFERENCE: Final = 5.0
"""A look rests if neighbouring frames differ less than this (mean, 0 to 255)."""

MAX_KEPT_BYTES: Final = 512 * 2**20
"""Largest size of the selected pictures of one video, uncompressed. During the scan there may be twice as much."""

_COMPARED_LOOKS: Final = 32  # a new look is compared with the last ones of its shot
_RHYTHM_S: Final = 0.1


@dataclass(frozen=True, eq=False)
class _Look:
    """A picture that represents a look of a shot."""

    time_s: float
    picture: Image


@dataclass(eq=False)
class _Shot:
    """A part of a video without a cut."""

    start_s: float
    looks: list[_Look] = field(default_factory=list)  # in order of time


@dataclass(frozen=True, eq=False)
class _Seen:
    """A scanned frame with its summary."""

    frame: ScannedFrame
    summary: FrameSummary


class ShotSelection:
    """Selects frames of a video from its scan.

    Args:
        times: as `VideoReader.times`.
        keyframes: as `VideoReader.keyframes`. A keyframe outside the rhythm of the others marks a cut.
        limit: maximum number of frames, 1 or more.
        min_side: as for `VideoReader.read`.
    """

    def __init__(
        self, times: NDArray[np.float64], keyframes: NDArray[np.int64], *, limit: int, min_side: int | None
    ) -> None:
        self._cut_marks = _irregular_keyframe_times(times, keyframes)
        self._limit = limit
        self._min_side = min_side
        self._shots = [_Shot(0.0)]
        self._pictures = 0  # in all shots
        self._stride = 1  # only every so many shots keep pictures
        self._last: _Seen | None = None
        self._before_cut: FrameSummary | None = None  # the last frame of the shot before
        self._change: float | None = None  # difference of the last two frames of the shot
        self._ticks = 0  # of the shot
        self._compared: deque[FrameSummary] = deque(maxlen=_COMPARED_LOOKS)
        self._pending: _Seen | None = None  # a new look, whose next tick decides
        self._fallback: _Seen | None = None  # of the most contrast, while there are only empty frames

    def add(self, frame: ScannedFrame) -> bool:
        """Take the next frame of the scan; return whether it starts a new shot."""
        last = self._last
        stands = last is not None and last.frame.thumbnail is frame.thumbnail  # the same frame is still shown
        seen = _Seen(frame, last.summary if last is not None and stands else summarise(frame.thumbnail))
        self._last = seen
        starts = last is None or is_cut(last.summary, seen.summary, self._change)
        if last is not None and starts:
            self._cut(last, seen)
        self._change = None if starts or last is None else difference(last.summary, seen.summary)
        self._ticks = 1 if starts else self._ticks + 1
        self._look(seen)
        return starts

    def finish(self, end_s: float) -> list[Frame]:
        """Return the selected frames in order of time, with the bounds of their shots, which cover 0 to `end_s`."""
        if self._last is None:
            return []
        self._resolve(None)
        if not self._pictures and self._fallback is not None:
            self._keep(self._fallback)
        ends = [*(shot.start_s for shot in self._shots[1:]), end_s]
        selected = _select([shot.looks for shot in self._shots], self._limit)
        return [
            Frame(_rounded(look.time_s), look.picture, _rounded(shot.start_s), _rounded(max(end, look.time_s)))
            for shot, end in zip(self._shots, ends, strict=True)
            for look in shot.looks
            if look in selected
        ]

    # ---- shots

    def _cut(self, last: _Seen, seen: _Seen) -> None:
        """End the shot of `last`, and start the shot of `seen`."""
        self._resolve(None)
        start_s = self._cut_time(last.frame.time_s, seen.frame.time_s)
        shot = self._shots[-1]
        if self._before_cut and self._ticks == 1 and is_blend(self._before_cut, last.summary, seen.summary):
            self._pictures -= len(shot.looks)
            shot.looks.clear()  # a dissolve: the new shot starts with it
        else:
            self._shots.append(_Shot(start_s))
        self._before_cut = last.summary
        self._compared.clear()

    def _cut_time(self, after_s: float, until_s: float) -> float:
        """Time of a cut: that of a keyframe that marks it, else the middle between two frames."""
        n = int(np.searchsorted(self._cut_marks, after_s, side="right"))
        if n < len(self._cut_marks) and self._cut_marks[n] <= until_s:
            return float(self._cut_marks[n])
        return (after_s + until_s) / 2

    # ---- looks

    def _look(self, seen: _Seen) -> None:
        if self._resolve(seen):
            return
        if seen.summary.empty:
            if not self._pictures and (
                self._fallback is None or seen.summary.contrast > self._fallback.summary.contrast
            ):
                self._fallback = seen
        elif not any(looks_same(seen.summary, look) for look in self._compared):
            self._pending = seen

    def _resolve(self, next_seen: _Seen | None) -> bool:
        """Decide about the pending look.

        Args:
            next_seen: the next frame of the shot; None at its end.

        Returns:
            Whether `next_seen` has become the picture of the look.
        """
        pending, self._pending = self._pending, None
        if pending is None:
            return False
        rests = next_seen is not None and difference(pending.summary, next_seen.summary) < REST_DIFFERENCE
        looks = self._shots[-1].looks
        if looks and not rests and pending.frame.time_s - looks[-1].time_s < LOOK_GAP_S:
            return False
        use_next = next_seen is not None and not next_seen.summary.empty
        self._keep(next_seen if use_next and next_seen is not None else pending)
        return use_next

    def _keep(self, seen: _Seen) -> None:
        if (len(self._shots) - 1) % self._stride:
            return
        picture = seen.frame.picture(self._min_side)
        self._shots[-1].looks.append(_Look(seen.frame.time_s, picture))
        self._compared.append(seen.summary)
        self._fallback = None
        self._pictures += 1
        self._limit = max(1, min(self._limit, MAX_KEPT_BYTES // (3 * picture.width * picture.height)))
        if self._pictures > 2 * self._limit:
            self._thin()

    def _thin(self) -> None:
        """Drop every second further look of the shots; if that is not enough, the pictures of every second shot."""
        further = 0
        for shot in self._shots:
            kept = shot.looks[:1]
            for look in shot.looks[1:]:
                further += 1
                if further % 2:
                    kept.append(look)
            shot.looks = kept
        self._pictures = sum(len(shot.looks) for shot in self._shots)
        if self._pictures > self._limit + self._limit // 2:
            self._stride *= 2  # for later shots too, so that the pictures stay spread over the video
            for number, shot in enumerate(self._shots):
                if number % self._stride:
                    shot.looks.clear()
            self._pictures = sum(len(shot.looks) for shot in self._shots)


def _irregular_keyframe_times(times: NDArray[np.float64], keyframes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Times of the keyframes outside the rhythm of the others: the video encoder detected a cut there."""
    starts = times[keyframes]
    gaps = np.diff(starts)
    regular = gaps > gaps.max(initial=0.0) - _RHYTHM_S
    # a longest distance that occurs once is no rhythm, unless it is the only distance
    irregular = ~regular | ((len(gaps) > 1) & (regular.sum() == 1))
    return np.asarray(starts[1:][irregular], np.float64)


def _select(looks_of_shots: Sequence[Sequence[_Look]], limit: int) -> set[_Look]:
    """Select at most `limit` looks: the first one of each shot, then those farthest in time from the selected ones."""
    shots = [looks for looks in looks_of_shots if looks]
    selected = [shots[n][0] for n in uniform_indices(len(shots), limit)]
    rest = [look for looks in shots for look in looks[1:]]
    if len(selected) + len(rest) <= limit:
        return {*selected, *rest}
    seconds = np.array([look.time_s for look in rest])
    distance_s = np.full(len(rest), np.inf)
    for look in selected:
        distance_s = np.minimum(distance_s, np.abs(seconds - look.time_s))
    while rest and len(selected) < limit:
        n = int(distance_s.argmax())
        if distance_s[n] < 0:
            break
        selected.append(rest[n])
        distance_s = np.minimum(distance_s, np.abs(seconds - seconds[n]))
        distance_s[n] = -1.0
    return set(selected)


def _rounded(second: float) -> float:
    return round(float(second), 6)  # the precision of float32, which decoders use
