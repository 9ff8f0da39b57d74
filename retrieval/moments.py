"""Moments: stretches of a video that match a query, from the cosines of a few frames.

Each frame represents a span: the part of its shot that is nearer to it than to the other frames of the shot. Without
shots, all frames of the video share the time in this way. The lift of a frame is its cosine minus that of a random
item. A frame matches if its lift is at least MIN_LIFT_SHARE of the best frame's lift, or SAME_SHOT_LIFT_SHARE if it is
in one shot with such a frame: a shot shows one thing, while the camera moves. Consecutive matching frames form one
moment. A moment may contain one frame that does not match, if the gap is at most LONGEST_GAP_S. So a short look
away of the camera does not end a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from firstsight.records import Record

MIN_LIFT_SHARE: Final = 0.8
"""Minimum lift of a matching frame, as a share of the best frame's lift."""

SAME_SHOT_LIFT_SHARE: Final = 0.6
"""Minimum lift of a frame in the shot of a frame that matches, as a share of the best frame's lift."""

LONGEST_GAP_S: Final = 5.0
"""Maximum length of a gap inside a moment, in seconds."""

Span: TypeAlias = tuple[float, float]
"""Start and end, in seconds."""


@dataclass(frozen=True)
class Moment(Record):
    """A stretch of a video that matches a query."""

    uri: str  # path or address of the video, ready to open
    start_s: float
    end_s: float
    score: float  # cosine of its best frame to the query, -1 to 1
    view_id: str | None = None  # id of the stored view of that frame, or of the passage of timed text
    text: str | None = None  # what is said there: a passage that matches the query; None if none does

    def to_dict(self) -> dict[str, Any]:
        """Return the moment as plain values for JSON, with rounded seconds and score."""
        rounded = {"start_s": round(self.start_s, 3), "end_s": round(self.end_s, 3), "score": round(self.score, 4)}
        plain: dict[str, Any] = super().to_dict() | rounded
        return plain if self.text is not None else {name: plain[name] for name in plain if name != "text"}


def compute_frame_spans(times: Sequence[float], shots: Sequence[Span | None]) -> list[Span]:
    """Compute the span that each frame of a video represents.

    Args:
        times: (n,) positions of the frames in seconds, rising.
        shots: (n,) bounds of each frame's shot, None if unknown; frames of one shot have equal bounds.

    Returns:
        (n,) spans in order. They do not overlap, and each contains the position of its frame.
    """
    spans = []
    for n, (second, shot) in enumerate(zip(times, shots, strict=True)):
        before, after = _neighbour(n - 1, shot, times, shots), _neighbour(n + 1, shot, times, shots)
        # the video's length is unknown here, so its first and last spans are symmetric around their frame
        reach = max((abs(other - second) / 2 for other in (before, after) if other is not None), default=0.0)
        first, last = shot or (max(0.0, second - reach), second + reach)
        start = first if before is None else (before + second) / 2
        end = last if after is None else (second + after) / 2
        spans.append((min(start, second), max(end, second)))
    return spans


def _neighbour(n: int, shot: Span | None, times: Sequence[float], shots: Sequence[Span | None]) -> float | None:
    return times[n] if 0 <= n < len(times) and shots[n] == shot else None


def find_moments(
    uri: str, times: Sequence[float], shots: Sequence[Span | None], cosines: Sequence[float], *, floor: float
) -> list[Moment]:
    """Find the moments of one video.

    Args:
        uri: path or address of the video.
        times: (n,) positions of its frames in seconds, in any order; n may be 0.
        shots: (n,) bounds of each frame's shot, None if unknown.
        cosines: (n,) cosines of the frames to the query, -1 to 1.
        floor: cosine of a random item.

    Returns:
        Moments that do not overlap, best first; ties by start. Empty if there are no frames; else it has at least the
        moment around the best frame.
    """
    if not times:
        return []
    order = sorted(range(len(times)), key=lambda n: times[n])
    spans = compute_frame_spans([times[n] for n in order], [shots[n] for n in order])
    scores = [cosines[n] for n in order]
    best = max(scores)
    # if no frame is above chance, only the best frame counts
    threshold = floor + MIN_LIFT_SHARE * (best - floor) if best > floor else best
    same_shot = floor + SAME_SHOT_LIFT_SHARE * (best - floor) if best > floor else best
    of_frame = [shots[n] for n in order]
    matching = {shot for shot, score in zip(of_frame, scores, strict=True) if score >= threshold and shot is not None}
    groups: list[list[int]] = []
    for n in range(len(scores)):
        if scores[n] < (same_shot if of_frame[n] in matching else threshold):
            continue
        if groups and _is_one_moment(spans, groups[-1][-1], n):
            groups[-1].append(n)
        else:
            groups.append([n])
    moments = [Moment(uri, spans[group[0]][0], spans[group[-1]][1], max(scores[n] for n in group)) for group in groups]
    return sorted(moments, key=lambda moment: (-moment.score, moment.start_s))


def _is_one_moment(spans: Sequence[Span], a: int, b: int) -> bool:
    """Whether two matching frames belong together: at most one frame and a short gap lie between them."""
    return b - a <= 2 and spans[b][0] - spans[a][1] <= LONGEST_GAP_S
