"""The content of a video's picture: borders, bars and overlays are found by what never changes."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.media.prints.codes import Box

Pictures = NDArray[np.uint8]
"""(n, h, w) grey thumbnails in order of time."""

MAX_BAR_SHARE: Final = 0.4
"""Largest share of the width or height that a bar or border takes at one side."""

MIN_CONTENT_SHARE: Final = 0.25
"""Smallest share of the width or height that the content has."""

_BAR_SPREAD: Final = 4.0  # standard deviation of the grey levels in a line of a bar
_BAR_STEP: Final = 8  # smallest step of grey levels from a bar to the content, at _STEP_SHARE of the line
_STEP_SHARE: Final = 0.3
_SAMPLED: Final = 64
_CHANGE: Final = 6  # grey levels: more than the noise of video encoders
_MIN_CHANGING: Final = 16  # pictures from which a static part can be told from a calm one
_EDGE_ACTIVE: Final = 0.5  # share of a line's pixels that change, just inside a static border
_EDGE_STATIC: Final = 0.05  # the same, just outside
_MAX_OVERLAY_SHARE: Final = 0.15


def without_bars(pictures: Pictures) -> Box:
    """Find the picture inside bars of one colour that never change, such as those of a letterbox.

    A bar has a sharp edge: a sky is none.
    """
    sample = _sampled(pictures).astype(np.float32)
    _, height, width = sample.shape
    top = _bar(sample)
    bottom = height - _bar(sample[:, ::-1])
    lines = sample[:, round(top + 0.5) : max(int(bottom), round(top + 0.5) + 1)].transpose(0, 2, 1)
    left = _bar(lines)
    right = width - _bar(lines[:, ::-1])
    return _checked(Box(left, top, right, bottom), width, height)


def _bar(lines: NDArray[np.float32]) -> float:
    """Thickness of a bar at the start of axis 1, in lines with the part of the line that is half bar."""
    most = int(lines.shape[1] * MAX_BAR_SHARE)
    means = lines[:, : most + 2].mean(axis=2)
    even = (
        (lines[:, : most + 2].std(axis=2).max(axis=0) < _BAR_SPREAD)
        & (np.ptp(means, axis=0) < _BAR_SPREAD)
        & (np.abs(means - means[:, :1]).max(axis=0) < _BAR_SPREAD)
    )
    count = len(even) if even.all() else int(np.argmin(even))
    if not 0 < count <= most:
        return 0.0
    bar, edge, inside = lines[:, count - 1], lines[:, count], lines[:, min(count + 1, lines.shape[1] - 1)]
    steps = np.abs(inside - bar)
    if (steps > _BAR_STEP).mean() < _STEP_SHARE:
        return 0.0
    content = float(np.abs(edge - bar).sum() / max(float(steps.sum()), 1.0))
    return count + (1 - min(1.0, content) if content < 0.8 else 0.0)


def without_static_border(pictures: Pictures) -> Box | None:
    """Find the part of the picture that changes, inside a border that never does; None without such a border.

    Around the changing part the border has a straight edge on each side where it is.
    """
    active = activity(pictures)
    if active is None:
        return None
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
    if not any(cuts):
        return None
    box = Box(cuts[0], cuts[1], width - cuts[2], height - cuts[3])
    return None if _checked(box, width, height) != box else box


def _is_edge(outside: NDArray[np.float64], inside: NDArray[np.float64]) -> bool:
    return bool(inside[1:4].mean() >= _EDGE_ACTIVE and outside[1:].max(initial=0.0) <= _EDGE_STATIC)


def activity(pictures: Pictures) -> NDArray[np.bool_] | None:
    """(h, w) True for the pixels that change; None if there are too few pictures, or nothing changes."""
    changes = np.zeros(pictures.shape[1:], np.int32)
    steps = 0
    for before, after in pairwise(pictures):
        difference = np.abs(before.astype(np.int16) - after) > _CHANGE
        if difference.any():
            changes += difference
            steps += 1
    if steps < _MIN_CHANGING:
        return None
    return np.asarray(changes > max(2.0, 0.04 * steps))


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


def intersection(a: Box, b: Box) -> Box:
    """The common part of two boxes; `b` alone if they have too little in common."""
    box = Box(max(a.left, b.left), max(a.top, b.top), min(a.right, b.right), min(a.bottom, b.bottom))
    return box if box.width >= b.width / 4 and box.height >= b.height / 4 else b


def _sampled(pictures: Pictures) -> Pictures:
    places = np.linspace(0, len(pictures) - 1, min(len(pictures), _SAMPLED)).astype(int)
    return np.asarray(pictures[places])


def _checked(box: Box, width: int, height: int) -> Box:
    """The box; the whole picture if too little is left."""
    if box.width < MIN_CONTENT_SHARE * width or box.height < MIN_CONTENT_SHARE * height:
        return Box(0.0, 0.0, float(width), float(height))
    return box
