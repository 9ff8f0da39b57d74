"""The content of a video's picture: borders, bars and overlays are found by what never changes."""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from firstsight.media.prints.codes import Box

Pictures = NDArray[np.uint8]
"""(n, h, w) grey thumbnails in order of time."""

T = TypeVar("T", bound=np.generic)

MAX_BAR_SHARE: Final = 0.4
"""Largest share of the width or height that a bar or border takes at one side."""

MIN_CONTENT_SHARE: Final = 0.25
"""Smallest share of the width or height that the content has."""

_BAR_SPREAD: Final = 4.0  # standard deviation of the grey levels in a line of a bar
_BAR_STEP: Final = 8  # smallest step of grey levels from a bar to the content, at _STEP_SHARE of the line
_STEP_SHARE: Final = 0.3
_SAMPLED: Final = 64
_SAMPLED_FOR_BARS: Final = 24
_CHANGE: Final = 8  # grey levels: more than the noise of video encoders
_CHANGING_SHARE: Final = 0.04  # of the pictures, in which a pixel that is not static differs from its mean
_MIN_CHANGING: Final = 6  # pictures from which a static part can be told from a calm one
_EDGE_ACTIVE: Final = 0.5  # share of a line's pixels that change, just inside a static border
_EDGE_STATIC: Final = 0.05  # the same, just outside
_MAX_OVERLAY_SHARE: Final = 0.06


def without_bars(pictures: Pictures) -> Box:
    """Find the picture inside bars of one colour that never change, such as those of a letterbox.

    A bar has a sharp edge: a sky is none.
    """
    sample = _sampled(pictures, _SAMPLED_FOR_BARS).astype(np.float32)
    _, height, width = sample.shape
    top, bottom = _bars(sample)
    first = int(np.ceil(top))
    left, right = _bars(sample[:, first : max(int(height - bottom), first + 1)].transpose(0, 2, 1))
    return _checked(Box(left, top, width - right, height - bottom), width, height)


def _bars(lines: NDArray[np.float32]) -> tuple[float, float]:
    """Thickness of the bars at the start and the end of axis 1, in lines with fractions."""
    start, end = _even_lines(lines), _even_lines(lines[:, ::-1])
    bars = _bar(lines, start), _bar(lines[:, ::-1], end)
    # bars are mostly equal; in a dark scene only one of them may have an edge
    if bars[0] and not bars[1] and end >= start - 1:
        return bars[0], bars[0]
    if bars[1] and not bars[0] and start >= end - 1:
        return bars[1], bars[1]
    return bars


def _even_lines(lines: NDArray[np.float32]) -> int:
    """Number of lines at the start of axis 1 with one even colour in all pictures; at most `MAX_BAR_SHARE`."""
    if (lines[:, 0].std(axis=1) >= _BAR_SPREAD).any():
        return 0  # most videos have no bars
    most = int(lines.shape[1] * MAX_BAR_SHARE)
    means = lines[:, : most + 1].mean(axis=2)
    even = (
        (lines[:, : most + 1].std(axis=2).max(axis=0) < _BAR_SPREAD)
        & (np.ptp(means, axis=0) < _BAR_SPREAD)
        & (np.abs(means - means[:, :1]).max(axis=0) < _BAR_SPREAD)
    )
    return most if even.all() else min(most, int(np.argmin(even)))


def _bar(lines: NDArray[np.float32], count: int) -> float:
    """Thickness of a bar of `count` even lines, with the part of the next line that is bar; 0 without a sharp edge."""
    if not count:
        return 0.0
    bar, edge, inside = lines[:, count - 1], lines[:, count], lines[:, min(count + 1, lines.shape[1] - 1)]
    steps = np.abs(inside - bar)
    shares = np.sort(
        (steps > _BAR_STEP).mean(axis=1)
    )  # of each picture; in dark scenes a black bar has no visible edge
    if shares[-max(1, len(shares) // 4) :].mean() < _STEP_SHARE:
        return 0.0
    content = float(np.abs(edge - bar).sum() / max(float(steps.sum()), 1.0))
    return count + (1 - min(1.0, content) if content < 0.8 else 0.0)


def without_static_border(active: NDArray[np.bool_]) -> Box | None:
    """Find the part of the picture that changes, inside a border that never does; None without such a border.

    Around the changing part the border has a straight edge on each side where it is.

    Args:
        active: as from `activity`.
    """
    height, width = active.shape
    rows, columns = np.flatnonzero(active.mean(axis=1) > 0.1), np.flatnonzero(active.mean(axis=0) > 0.1)
    if not rows.size or not columns.size:
        return None
    left, right, top, bottom = int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1
    across, down = active[:, left:right].mean(axis=1), active[top:bottom].mean(axis=0)
    sides = (
        (left, down[:left][::-1], down[left:]),
        (top, across[:top][::-1], across[top:]),
        (width - right, down[right:], down[:right][::-1]),
        (height - bottom, across[bottom:], across[:bottom][::-1]),
    )
    cuts = [margin if margin and _is_edge(outside, inside) else 0 for margin, outside, inside in sides]
    if sum(cut > 0 for cut in cuts) < 2:  # the calm lower part of a scene is no border
        return None
    box = Box(cuts[0], cuts[1], width - cuts[2], height - cuts[3])
    return None if _checked(box, width, height) != box else box


def _is_edge(outside: NDArray[np.float64], inside: NDArray[np.float64]) -> bool:
    return bool(inside[1:4].mean() >= _EDGE_ACTIVE and outside[1:].max(initial=0.0) <= _EDGE_STATIC)


def activity(pictures: Pictures) -> NDArray[np.bool_] | None:
    """(h, w) True for the pixels that change; None if there are too few pictures."""
    sample = _sampled(pictures, _SAMPLED)
    if len(sample) < _MIN_CHANGING:
        return None
    mean = sample.mean(axis=0, dtype=np.float32).astype(np.int16)
    changing = np.abs(sample - mean) > _CHANGE
    return np.asarray(changing.mean(axis=0) > max(_CHANGING_SHARE, 1.5 / len(sample)))


def overlay(active: NDArray[np.bool_], box: Box) -> NDArray[np.bool_] | None:
    """Find small parts of a content box that never change while the rest does, such as a logo.

    Returns:
        (h, w) True for their pixels; None if there are none, or so much rests that it is the scene itself.
    """
    inside = np.zeros_like(active)
    inside[int(np.ceil(box.top)) : int(box.bottom), int(np.ceil(box.left)) : int(box.right)] = True
    static = inside & ~active
    share = static.sum() / max(int(inside.sum()), 1)
    if not 0 < share <= _MAX_OVERLAY_SHARE:
        return None
    wide = static.copy()  # an edge of a logo mixes with the picture
    wide[1:] |= static[:-1]
    wide[:-1] |= static[1:]
    wide[:, 1:] |= static[:, :-1]
    wide[:, :-1] |= static[:, 1:]
    return wide & inside


def cut_out(pictures: NDArray[T], box: Box) -> NDArray[T]:
    """The pixels that lie in a box as a whole."""
    found: NDArray[T] = pictures[:, int(np.ceil(box.top)) : int(box.bottom), int(np.ceil(box.left)) : int(box.right)]
    return found


def within(box: Box, inner: Box) -> Box:
    """The place in a picture of a box that was found in `cut_out(picture, box)`."""
    left, top = np.ceil(box.left), np.ceil(box.top)
    return Box(left + inner.left, top + inner.top, left + inner.right, top + inner.bottom)


def _sampled(pictures: Pictures, count: int) -> Pictures:
    places = np.linspace(0, len(pictures) - 1, min(len(pictures), count)).astype(int)
    return np.asarray(pictures[places])


def full_box(pictures: Pictures) -> Box:
    """The box of the whole picture."""
    return Box(0.0, 0.0, float(pictures.shape[2]), float(pictures.shape[1]))


def _checked(box: Box, width: int, height: int) -> Box:
    """The box; the whole picture if too little is left."""
    if box.width < MIN_CONTENT_SHARE * width or box.height < MIN_CONTENT_SHARE * height:
        return Box(0.0, 0.0, float(width), float(height))
    return box
