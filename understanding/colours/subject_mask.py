"""Which pixels of a picture show its subject: the background and skin are left out."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.understanding.colours.cielab import Lab

Mask = NDArray[np.bool_]

BACKGROUND_DISTANCE: Final = 8.0
"""Largest distance in CIELAB (dE 1976) of a background pixel from its background colour."""

MAX_BACKGROUNDS: Final = 3
MIN_BORDER_SHARE: Final = 0.15
"""Share of the border, without its lower side, that a background colour has at least."""

MIN_SUBJECT: Final = 0.02
"""Share of the picture below which the background is the subject: a swatch of cloth, or a blank picture."""

BLANK_LIGHTNESS: Final = 96.0
BLANK_CHROMA: Final = 4.0

MIN_WITHOUT_SKIN: Final = 0.25
"""Share of the subject that remains at least without skin; if less remains, the colour of skin is the product's."""

MAX_CENTRE_SKIN: Final = 0.7
"""Share of skin in the middle of the subject above which it is the product's colour: brown boots, wood, beige dresses.
In pictures of men in shorts with a bare chest it is up to .54."""

CENTRE_WIDTH: Final = 0.35
"""Standard deviation of the weight around the middle, in sides of the picture."""

_CELL: Final = 8


def find_subject(lab: Lab) -> Mask | None:
    """Find the pixels of a picture's subject, without background and skin.

    Args:
        lab: (height, width, 3).

    Returns:
        (height, width), with at least one True; None for a picture that is blank white.
    """
    subject = ~find_background(lab)
    if subject.mean() < MIN_SUBJECT:
        lightness, a, b = np.median(lab.reshape(-1, 3), axis=0)
        if not subject.any() and lightness > BLANK_LIGHTNESS and np.hypot(a, b) < BLANK_CHROMA:
            return None
        return np.ones_like(subject)
    without_skin = subject & ~is_skin(lab)
    weights = centre_weights(*subject.shape)
    height, width = subject.shape
    middle = np.s_[height // 3 : height - height // 3, width // 3 : width - width // 3]
    enough = weights[without_skin].sum() >= MIN_WITHOUT_SKIN * weights[subject].sum()
    in_middle = without_skin[middle].sum() >= (1 - MAX_CENTRE_SKIN) * subject[middle].sum()
    return without_skin if enough and in_middle else subject


def centre_weights(height: int, width: int) -> NDArray[np.float32]:
    """Weight of each pixel, (height, width): 1 in the middle, .36 at the middle of a side, .13 in the corners."""
    of_rows, of_columns = (
        np.exp(-np.square((np.arange(side) + 0.5) / side - 0.5) / (2 * CENTRE_WIDTH**2)) for side in (height, width)
    )
    return np.asarray(of_rows[:, None] * of_columns, dtype=np.float32)


def find_background(lab: Lab) -> Mask:
    """Find the pixels that are connected to the border and have one of its frequent colours.

    The lower side does not count for the colours, since a cropped garment often reaches it.

    Args:
        lab: (height, width, 3).

    Returns:
        (height, width), True for background.
    """
    border = np.concatenate([lab[0], lab[1:, 0], lab[1:, -1]])
    near = np.zeros(lab.shape[:2], dtype=bool)
    remaining = border
    for _ in range(MAX_BACKGROUNDS):
        colour = _most_frequent(remaining)
        of_border = _distance(remaining, colour) < BACKGROUND_DISTANCE
        if of_border.sum() < MIN_BORDER_SHARE * len(border):
            break
        near |= _distance(lab, colour) < BACKGROUND_DISTANCE
        remaining = remaining[~of_border]
        if len(remaining) < MIN_BORDER_SHARE * len(border):
            break
    return _connected_to_border(near)


def _most_frequent(colours: Lab) -> Lab:
    """Median of the colours in the fullest cell of a grid with a side of 8."""
    cells = np.floor(colours / _CELL).astype(np.int64) + 32
    keys = (cells[:, 0] * 64 + cells[:, 1]) * 64 + cells[:, 2]
    _, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray(np.median(colours[places == counts.argmax()], axis=0), dtype=np.float32)


def _distance(lab: Lab, colour: Lab) -> NDArray[np.float32]:
    difference = lab - colour
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", difference, difference)), dtype=np.float32)


def _connected_to_border(mask: Mask) -> Mask:
    """The pixels of `mask` that are connected to the border along rows and columns.

    Each round marks whole runs of pixels in rows, then in columns, so a few rounds are enough for most pictures.
    """
    reached = np.zeros_like(mask)
    for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        reached[side] = mask[side]
    count = -1
    while count != (count := int(reached.sum())):
        reached = _fill_runs(mask, reached)
        reached = _fill_runs(mask.T, reached.T).T
    return reached


def _fill_runs(mask: Mask, reached: Mask) -> Mask:
    starts = mask.copy()
    starts[:, 1:] &= ~mask[:, :-1]
    runs = np.cumsum(starts.ravel())
    hit = np.zeros(int(runs[-1]) + 1, dtype=bool)
    hit[runs[reached.ravel()]] = True
    return hit[runs].reshape(mask.shape) & mask


def is_skin(lab: Lab) -> Mask:
    """Whether a colour is like that of human skin, for light to dark skin. Wood, leather and beige cloth are too."""
    lightness, a, b = lab[..., 0], lab[..., 1], lab[..., 2]
    chroma = np.hypot(a, b)
    hue = np.degrees(np.arctan2(b, a))
    like_skin: Mask = (lightness > 18) & (lightness < 92) & (hue > 25) & (hue < 75) & (chroma > 9) & (chroma < 42)
    return like_skin
