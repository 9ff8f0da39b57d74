"""A rectangle with a picture of its own inside a video, found by edges that stay at their place."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.media.prints.codes import Box
from firstsight.media.prints.layout import Pictures, cut_out

MIN_SIDE_SHARE: Final = 0.2
"""Smallest share of the content's width or height that an inner picture has."""

AREA_SHARES: Final = (0.06, 0.86)
"""Smallest and largest share of the content's area."""

MAX_BORDER_ACTIVITY: Final = 0.03
"""Largest share of changing pixels in a border."""

_STEP: Final = 4.0  # grey levels; weaker edges count little
_MIN_SIDE_SCORE: Final = 0.22
_MIN_SCORE: Final = 0.28
_BAND_EDGES: Final = (0.08, 0.26)  # of the weaker edge of a band, and of both together
_BAND_DETAIL: Final = 2.5  # detail in the band, as a multiple of that around it
_MIN_PICTURES: Final = 6
_CANDIDATES: Final = 10  # lines in each direction


def inner_picture(pictures: Pictures, box: Box) -> Box | None:
    """Find the sharp middle of a blurred vertical version, the video in a screen recording, or a picture in picture.

    An edge of such a picture is straight and seen at the same place in most of the pictures, whatever they show. At
    least two sides must have one; the others may lie on the side of the content box.

    Args:
        pictures: at least 6, else nothing is found. Evenly spaced ones over half a minute are best.
        box: the content of the pictures.

    Returns:
        The rectangle, or None.
    """
    if len(pictures) < _MIN_PICTURES:
        return None
    left, top = int(np.ceil(box.left)), int(np.ceil(box.top))
    content = cut_out(pictures, box)
    height, width = content.shape[1:]
    if min(height, width) < 32:
        return None
    across = _edges(content)  # edges between rows
    down = _edges(content.transpose(0, 2, 1))  # edges between columns; (width, height)
    rows, columns = _candidates(across, height), _candidates(down, width)
    spans = [_spans(lines, length) for lines, length in ((rows, height), (columns, width))]
    if not spans[0] or not spans[1]:
        return None
    best = _best(across, down, np.array(spans[0]), np.array(spans[1]))
    if best is None and (band := _sharp_band(content, across)) is not None:
        best = (*band, 0, width)
    if best is None and (band := _sharp_band(content.transpose(0, 2, 1), down)) is not None:
        best = (0, height, *band)
    if best is None:
        return None
    y0, y1, x0, x1 = best
    return Box(left + x0, top + y0, left + x1, top + y1)


def is_border(active: NDArray[np.bool_], inner: Box) -> bool:
    """Whether all around an inner picture rests while the picture does not: then it is the content."""
    top, bottom, left, right = (round(place) for place in (inner.top, inner.bottom, inner.left, inner.right))
    around = active.copy()
    around[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1] = False
    outside = active.size - (bottom - top) * (right - left)
    return bool(
        around.sum() <= MAX_BORDER_ACTIVITY * outside
        and active[top:bottom, left:right].mean() > 3 * MAX_BORDER_ACTIVITY
    )


def _sharp_band(pictures: Pictures, edges: NDArray[np.float32]) -> tuple[int, int] | None:
    """The rows of a sharp band in the middle of a blurred picture, which has edges there and less detail around."""
    height = pictures.shape[1]
    strength = edges.mean(axis=1)
    detail = np.abs(np.diff(pictures.astype(np.int16), axis=2)).mean(axis=(0, 2))
    best, found = 0.0, None
    for top in range(int(height * 0.07), int(height * 0.4) + 1):
        for bottom in (height - top - 1, height - top, height - top + 1):
            weaker, total = min(strength[top], strength[bottom]), strength[top] + strength[bottom]
            if weaker < _BAND_EDGES[0] or total < max(best, _BAND_EDGES[1]):
                continue
            outside = np.concatenate([detail[: top - 1], detail[bottom + 1 :]]).mean()
            if detail[top + 1 : bottom - 1].mean() >= _BAND_DETAIL * max(0.3, float(outside)):
                best, found = float(total), (top, bottom)
    return found


def _edges(pictures: Pictures) -> NDArray[np.float32]:
    """(h + 1, w) strength of the edge before each row, 0 to 1: its steps beyond those of the rows around it."""
    steps = np.zeros((pictures.shape[1] + 1, pictures.shape[2]), np.float32)
    for picture in pictures.astype(np.int16):
        steps[1:-1] += np.abs(picture[1:] - picture[:-1])
    steps /= len(pictures)
    around = np.zeros_like(steps)
    for shift in (2, 3):
        around[shift:] = np.maximum(around[shift:], steps[:-shift])
        around[:-shift] = np.maximum(around[:-shift], steps[shift:])
    return np.asarray(np.maximum(steps - around, 0) / (steps + around + _STEP), np.float32)


def _candidates(edges: NDArray[np.float32], length: int) -> list[int]:
    """Places with the longest edges, and both ends."""
    long = (edges > _MIN_SIDE_SCORE).mean(axis=1)
    long[[0, -1]] = 0
    found: list[int] = []
    for place in np.argsort(-long):
        if long[place] < MIN_SIDE_SHARE / 2 or len(found) == _CANDIDATES:
            break
        if all(abs(int(place) - other) > 1 for other in found):
            found.append(int(place))
    return sorted({0, length, *found})


def _spans(places: list[int], length: int) -> list[tuple[int, int]]:
    return [(a, b) for a, b in itertools.combinations(places, 2) if b - a >= MIN_SIDE_SHARE * length]


def _best(
    across: NDArray[np.float32], down: NDArray[np.float32], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[int, int, int, int] | None:
    """The rectangle whose real sides have the best edges: top, bottom, left, right."""
    height, width = len(across) - 1, len(down) - 1
    sides, real = [], []
    for edges, places, spans, length in ((across, rows, columns, height), (down, columns, rows, width)):
        sums = np.concatenate([np.zeros((len(edges), 1)), np.cumsum(edges, axis=1)], axis=1)
        means = (sums[:, spans[:, 1]] - sums[:, spans[:, 0]]) / (spans[:, 1] - spans[:, 0])  # (places, spans)
        for end in (0, 1):
            place = places[:, end]
            score = means[place]  # (places, spans)
            on_side = np.broadcast_to(((place == 0) | (place == length))[:, None], score.shape)
            sides.append(score if edges is across else score.T)
            real.append(~on_side if edges is across else ~on_side.T)
    scores, is_real = np.array(sides), np.array(real)  # (4, rows, columns)
    count = is_real.sum(axis=0)
    total = np.where(is_real, scores, 0).sum(axis=0) / np.maximum(count, 1)
    area = (rows[:, 1] - rows[:, 0])[:, None] * (columns[:, 1] - columns[:, 0])[None, :] / (height * width)
    allowed = (
        (count >= 2)
        & np.where(is_real, scores >= _MIN_SIDE_SCORE, True).all(axis=0)
        & (area >= AREA_SHARES[0])
        & (area <= AREA_SHARES[1])
        & (total >= _MIN_SCORE)
    )
    if not allowed.any():
        return None
    r, c = np.unravel_index(int(np.where(allowed, total + 0.05 * count, -1).argmax()), allowed.shape)
    return int(rows[r, 0]), int(rows[r, 1]), int(columns[c, 0]), int(columns[c, 1])
