"""Bars of one flat colour around the content of a picture: letterbox, pillarbox and frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_TOLERANCE: Final = 12  # levels of 255: noise of a JPEG file around an edge stays below
_FLAT: Final = 0.98  # share of a row of a bar that has its colour
_MIN_THICKNESS: Final = 0.01  # of the picture's side
_MAX_THICKNESS: Final = 0.45
_TRANSITION: Final = 8  # pixels within which the content starts, the size of a JPEG block
_SAMPLES: Final = 160  # pixels of each row or column that are compared
_ENDS: Final = 0.05  # share of a side that counts as its end
_MIN_STEP: Final = 0.35  # share of a bar beside which the content has another colour, for each bar
_MEAN_STEP: Final = 0.6  # and the mean of both
_FRAME_STEP: Final = 0.9
_WHITE: Final = 235  # a frame of this level or more is a product on a white background


@dataclass(frozen=True)
class ContentBox:
    """The content inside the bars, in pixels of the picture."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class _Side:
    thickness: int
    colour: NDArray[np.int16]  # (3,)
    step: NDArray[np.bool_]  # along the side: whether the content next to the bar has another colour


def find_content(pixels: NDArray[np.uint8]) -> ContentBox:
    """Find the content of a picture inside bars of one flat colour, of any colour.

    Bars come in pairs of one colour: above and below, left and right, or both (a frame). The content starts at a
    straight line and reaches the ends of the bar; otherwise it is a product on a plain background. A white frame is
    never reported, because a book on white looks the same.

    Args:
        pixels: (h, w, 3) RGB.

    Returns:
        The content; the whole picture without bars.
    """
    height, width = pixels.shape[:2]
    rows = pixels[:, :: max(1, width // _SAMPLES)].astype(np.int16)
    columns = pixels[:: max(1, height // _SAMPLES)].swapaxes(0, 1).astype(np.int16, order="C")
    top, bottom = _side(rows), _side(rows[::-1])
    left, right = _side(columns), _side(columns[::-1])
    has_rows, has_columns = _is_pair(top, bottom), _is_pair(left, right)
    if has_rows and has_columns and _is_frame(top, bottom, left, right, (width, height)):
        return ContentBox(left.thickness, top.thickness, width - right.thickness, height - bottom.thickness)
    if has_rows and _content_reaches_ends(top, bottom):
        return ContentBox(0, top.thickness, width, height - bottom.thickness)
    if has_columns and _content_reaches_ends(left, right):
        return ContentBox(left.thickness, 0, width - right.thickness, height)
    return ContentBox(0, 0, width, height)


def _side(lines: NDArray[np.int16]) -> _Side:
    """Measure the bar at the first of the lines, (n, samples, 3)."""
    colour = np.median(lines[:2].reshape(-1, 3), axis=0).astype(np.int16)
    longest = int(len(lines) * _MAX_THICKNESS)
    distance = np.abs(lines[: longest + _TRANSITION] - colour)
    differs = (distance[..., 0] > _TOLERANCE) | (distance[..., 1] > _TOLERANCE) | (distance[..., 2] > _TOLERANCE)
    is_bar = differs.mean(axis=1) <= 1 - _FLAT
    thickness = len(is_bar) if is_bar.all() else int(np.argmin(is_bar))
    if thickness < max(2, _MIN_THICKNESS * len(lines)) or thickness > longest:
        return _Side(0, colour, np.zeros(lines.shape[1], bool))
    return _Side(thickness, colour, differs[thickness : thickness + _TRANSITION].any(axis=0))


def _is_pair(one: _Side, other: _Side) -> bool:
    if not one.thickness or not other.thickness:
        return False
    return bool(np.abs(one.colour - other.colour).max() <= _TOLERANCE)


def _content_reaches_ends(one: _Side, other: _Side) -> bool:
    """Whether the content starts at a straight line along two bars, also at three of their four ends.

    One end may have the colour of the bars: a dark corner of the content beside black bars.
    """
    shares = [float(side.step.mean()) for side in (one, other)]
    end = max(1, int(len(one.step) * _ENDS))
    ends = [float(part.mean()) > 0.5 for side in (one, other) for part in (side.step[:end], side.step[-end:])]
    return min(shares) >= _MIN_STEP and sum(shares) / 2 >= _MEAN_STEP and sum(ends) >= 3


def _is_frame(top: _Side, bottom: _Side, left: _Side, right: _Side, size: tuple[int, int]) -> bool:
    """Whether the content inside four bars of one colour is a full rectangle."""
    if not _is_pair(top, left) or float(top.colour.min()) >= _WHITE:
        return False
    width, height = size
    inside = [
        (left.thickness / width, 1 - right.thickness / width, (top, bottom)),
        (top.thickness / height, 1 - bottom.thickness / height, (left, right)),
    ]
    return all(
        float(side.step[round(start * len(side.step)) + 1 : round(end * len(side.step)) - 1].mean()) >= _FRAME_STEP
        for start, end, sides in inside
        for side in sides
    )
