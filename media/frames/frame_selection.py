"""Selection of the frames of a video to encode, over any decoder's `VideoReader`.

`auto` scans the video once and looks at two frames of each second (`shot_selection`). The other rules name their frames
by time and decode only those.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from firstsight.media.frames.frame_rules import FrameRule
from firstsight.media.frames.shot_selection import ShotSelection
from firstsight.media.frames.video_frames import Frame, ScannedFrame, VideoReader, uniform_indices


def choose_frames(
    reader: VideoReader,
    rule: FrameRule,
    *,
    min_side: int | None = None,
) -> list[Frame]:
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
        return scan_shots(reader, limit=rule.frame_limit, min_side=min_side)
    times = reader.times
    indices = _indices_by_rule(reader, rule)
    selected = [indices[n] for n in uniform_indices(len(indices), rule.frame_limit)]
    pictures = reader.read(selected, min_side=min_side)
    return [Frame(round(float(times[n]), 6), picture) for n, picture in zip(selected, pictures, strict=True)]


def scan_shots(
    reader: VideoReader,
    *,
    limit: int,
    min_side: int | None = None,
    on_scan: Callable[[ScannedFrame, bool], None] = lambda frame, starts_shot: None,
) -> list[Frame]:
    """Scan a video and select frames of its shots, as `auto` does.

    Args:
        limit: maximum number of frames.
        min_side: as for `VideoReader.read`.
        on_scan: called with each frame of the scan, and whether it starts a shot.

    Returns:
        As for `choose_frames`.

    Raises:
        MediaError: as for `VideoReader.scan`.
    """
    times = reader.times
    selection = ShotSelection(times, reader.keyframes, limit=limit, min_side=min_side)
    for frame in reader.scan():
        on_scan(frame, selection.add(frame))
    return selection.finish(max(reader.duration_s, float(times[-1])))


def _indices_by_rule(reader: VideoReader, rule: FrameRule) -> Sequence[int]:
    times = reader.times
    if rule.kind == "keyframes":
        return [int(n) for n in reader.keyframes]
    if rule.kind == "every":
        steps = 1 + float(times[-1]) / rule.seconds
        if steps < len(times):
            return sorted(set(_nearest(times, np.arange(int(steps)) * rule.seconds)))
    return range(len(times))


def _nearest(times: NDArray[np.float64], seconds: Iterable[float]) -> list[int]:
    """Indices of the frames shown nearest to these seconds."""
    nearest = []
    for second in seconds:
        n = bisect_left(times, second)
        nearest.append(n if n == 0 or (n < len(times) and times[n] - second <= second - times[n - 1]) else n - 1)
    return nearest
