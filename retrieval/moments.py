"""Moments: the stretches of a video that match a query, from the cosines of a few of its frames.

A frame stands for the part of its shot that is nearer to it than to the shot's other frames; without shots, for what
is nearer to it than to the video's other frames. It matches when the lift of its cosine, over that of a random item,
is at least MIN_LIFT_SHARE of the best frame's lift. Frames that match and follow each other are one moment. One frame
between them may fail to match if it stands for no more than LONGEST_GAP_S: a camera that looks away for a moment does
not end a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

MIN_LIFT_SHARE: Final = 0.8
"""Of the best frame's lift, the least that counts."""

LONGEST_GAP_S: Final = 5.0

Span: TypeAlias = tuple[float, float]
"""Start and end, in seconds."""


@dataclass(frozen=True)
class Moment:
    """A stretch of a video that matches a query."""

    uri: str  # of the video, as a path or address that can be opened
    start_s: float
    end_s: float
    score: float  # cosine of its best frame to the query, -1 to 1
    view_id: str | None = None  # of that frame


def compute_frame_spans(times: Sequence[float], shots: Sequence[Span | None]) -> list[Span]:
    """What each frame of one video stands for.

    Args:
        times: (n,) seconds of the frames, rising.
        shots: (n,) bounds of the shot of each, None where it is not known; frames of one shot have equal bounds.

    Returns:
        (n,) spans that do not overlap, in order, each with its frame's second in it.
    """
    spans = []
    for n, (second, shot) in enumerate(zip(times, shots, strict=True)):
        before, after = _neighbour(n - 1, shot, times, shots), _neighbour(n + 1, shot, times, shots)
        # at the ends of a video whose length is not known, as far as on the other side
        reach = [abs(other - second) / 2 for other in (before, after) if other is not None]
        least, most = shot or (max(0.0, second - max(reach, default=0.0)), second + max(reach, default=0.0))
        start = least if before is None else (before + second) / 2
        end = most if after is None else (second + after) / 2
        spans.append((min(start, second), max(end, second)))
    return spans


def _neighbour(n: int, shot: Span | None, times: Sequence[float], shots: Sequence[Span | None]) -> float | None:
    return times[n] if 0 <= n < len(times) and shots[n] == shot else None


def find_moments(
    uri: str, times: Sequence[float], shots: Sequence[Span | None], cosines: Sequence[float], *, floor: float
) -> list[Moment]:
    """The moments of one video.

    Args:
        times: (n,) seconds of its frames, in any order; n may be 0.
        shots: (n,) bounds of the shot of each frame, None where it is not known.
        cosines: (n,) of the frames to the query, -1 to 1.
        floor: the cosine of a random item.

    Returns:
        Moments that do not overlap, best first; those of one score by their start. None where there is no frame; else
        at least the one around the best frame.
    """
    if not times:
        return []
    order = sorted(range(len(times)), key=lambda n: times[n])
    spans = compute_frame_spans([times[n] for n in order], [shots[n] for n in order])
    scores = [cosines[n] for n in order]
    best = max(scores)
    # where nothing is above chance, only the best frame counts
    least = floor + MIN_LIFT_SHARE * (best - floor) if best > floor else best
    groups: list[list[int]] = []
    for n in (n for n, score in enumerate(scores) if score >= least):
        if groups and _is_one_moment(spans, groups[-1][-1], n):
            groups[-1].append(n)
        else:
            groups.append([n])
    moments = [Moment(uri, spans[group[0]][0], spans[group[-1]][1], max(scores[n] for n in group)) for group in groups]
    return sorted(moments, key=lambda moment: (-moment.score, moment.start_s))


def _is_one_moment(spans: Sequence[Span], a: int, b: int) -> bool:
    """Whether two frames that match belong together: with at most one short frame, or a short gap, between them."""
    return b - a <= 2 and spans[b][0] - spans[a][1] <= LONGEST_GAP_S
