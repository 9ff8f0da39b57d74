"""Watermarks: text over a picture that other pictures of the shop have at the same place, or that names its owner.

Text in the middle of a picture is usually printed on the product. So only two kinds of lines are compared: those at the
corners, the top or the bottom, and those that run aslant over the picture.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from firstsight.media.picture_facts import JsonValue

OCR: Final = "ocr"
"""Name of the fact with the lines of text of a picture."""

MIN_ITEMS: Final = 5
"""Items whose pictures have the same text at the same place; fewer may be variants of one product."""

_CELLS: Final = 10  # places of a line, along each side of a picture
_CORNER: Final = 0.25  # share of width and of height that counts as a corner
_EDGE: Final = 0.1  # share of the height at the top and the bottom
_ASLANT: Final = (15.0, 75.0)  # degrees
_OWNER: Final = re.compile(
    r"©|\(c\)|copyright|watermark|all rights reserved|www\.|\.(?:com|net|org|shop|store)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class PlacedText:
    """A line of text in a picture at a place where watermarks are."""

    text: str  # lower-case letters and digits only
    column: int
    row: int
    names_owner: bool


def placed_texts(value: JsonValue) -> list[PlacedText]:
    """Select the lines of a picture that could be a watermark.

    Args:
        value: the fact "ocr" of the picture: lines with "text" and "box", four corners as shares of width and height.
    """
    return list(_placed(value))


class WatermarkTexts:
    """Texts at the same place in the pictures of several items."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, int, int], set[str]] = defaultdict(set)

    def add(self, item_id: str, texts: Sequence[PlacedText]) -> None:
        """Add the texts of one picture."""
        for text in texts:
            seen = self._items[text.text, text.column, text.row]
            if len(seen) < MIN_ITEMS:
                seen.add(item_id)

    def watermark(self, texts: Sequence[PlacedText]) -> str | None:
        """The first of a picture's texts that is a watermark, as compared; None without one."""
        return next((text.text for text in texts if text.names_owner or self._is_repeated(text)), None)

    def _is_repeated(self, text: PlacedText) -> bool:
        items: set[str] = set()
        for column in range(text.column - 1, text.column + 2):
            for row in range(text.row - 1, text.row + 2):
                items |= self._items.get((text.text, column, row), set())
        return len(items) >= MIN_ITEMS


def _placed(value: JsonValue) -> Iterator[PlacedText]:
    for line in value if isinstance(value, list) else ():
        if not isinstance(line, dict):
            continue
        text, corners = line.get("text"), _corners(line.get("box"))
        if not isinstance(text, str) or corners is None:
            continue
        x = sum(corner[0] for corner in corners) / 4
        y = sum(corner[1] for corner in corners) / 4
        is_owner = bool(_OWNER.search(text))
        compared = "".join(letter for letter in text.casefold() if letter.isalnum())
        if compared and (_is_at_edge(x, y) or _is_aslant(corners)):
            yield PlacedText(compared, int(x * _CELLS), int(y * _CELLS), is_owner)


def _corners(box: JsonValue) -> list[tuple[float, float]] | None:
    """The four corners of a line; None if the value has another form."""
    if not isinstance(box, list) or len(box) != 4:
        return None
    corners = []
    for corner in box:
        if not isinstance(corner, list) or len(corner) != 2:
            return None
        x, y = corner
        if not isinstance(x, int | float) or not isinstance(y, int | float):
            return None
        corners.append((float(x), float(y)))
    return corners


def _is_at_edge(x: float, y: float) -> bool:
    is_corner = min(x, 1 - x) <= _CORNER and min(y, 1 - y) <= _CORNER
    return is_corner or min(y, 1 - y) <= _EDGE


def _is_aslant(corners: Sequence[tuple[float, float]]) -> bool:
    (x0, y0), (x1, y1) = corners[:2]  # the upper side of the line
    angle = abs(math.degrees(math.atan2(y1 - y0, x1 - x0))) % 180
    return _ASLANT[0] <= min(angle, 180 - angle) <= _ASLANT[1]
