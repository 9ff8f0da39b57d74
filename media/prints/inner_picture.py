"""A rectangle with a picture of its own inside a video, found by edges that stay at their place."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.media.prints.codes import Box
from firstsight.media.prints.layout import Pictures

MIN_SIDE_SHARE: Final = 0.2
"""Smallest share of the content's width or height that an inner picture has."""

AREA_SHARES: Final = (0.06, 0.86)
"""Smallest and largest share of the content's area."""

_STEP: Final = 8  # grey levels of an edge
_MIN_SIDE_SCORE: Final = 0.4
_MIN_SCORE: Final = 0.5
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
    content = pictures[:, top : int(box.bottom), left : int(box.right)]
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
    if best is None:
        return None
    y0, y1, x0, x1 = best
    return Box(left + x0, top + y0, left + x1, top + y1)


def _edges(pictures: Pictures) -> NDArray[np.float32]:
    """(h + 1, w) share of the pictures with an edge before each row, beyond that of the rows around it."""
    height = pictures.shape[1]
    share = np.zeros((height + 1, pictures.shape[2]), np.float32)
    for picture in pictures.astype(np.int16):
        # over two rows, because an edge may lie within a row
        share[1:-1] += np.abs(picture[1:] - picture[:-1]) > _STEP
    share /= len(pictures)
    near = np.maximum(share[1:-1], 0)
    share[1:-1] = near
    around = np.zeros_like(share)
    for shift in (2, 3):
        around[shift:] = np.maximum(around[shift:], share[:-shift])
        around[:-shift] = np.maximum(around[:-shift], share[shift:])
    return np.asarray(np.maximum(share - around, 0), np.float32)


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
