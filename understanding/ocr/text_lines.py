"""Lines of text in a picture: which of them count, and in which order they are read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MIN_SCORE: Final = 0.8
"""Lowest score of a line that counts. False text in pictures without any seldom has a higher one."""

MIN_CHARACTERS: Final = 3
"""Least number of letters and digits of a line that counts; false text has one to three characters."""

MIN_IDEOGRAPHS: Final = 2
"""The same for ideographs, kana and hangul, since words of two are common."""

MAX_LINE_CHARACTERS: Final = 300
MAX_CHARACTERS: Final = 4_000
"""Limits of one line and of one picture; the JSON of a fact has at most 64 KB."""

_STROKES: Final = frozenset("Il|")
"""Signs that parallel lines in a picture look like, such as the valves of a trumpet."""

_UNSPACED: Final = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")
_AMOUNT: Final = re.compile(r"^[-+−]?\s?(?:[€$£¥₹]\s?\d{1,3}|\d{1,3}\s?[%€$£¥₹])$")


@dataclass(frozen=True)
class TextLine:
    """A line of text in a picture."""

    text: str
    score: float  # mean probability of its characters, 0 to 1
    box: tuple[tuple[float, float], ...]  # corners as shares of width and height, clockwise from the text's top left

    @property
    def _top(self) -> float:
        return min(y for _, y in self.box)

    @property
    def _bottom(self) -> float:
        return max(y for _, y in self.box)

    @property
    def _left(self) -> float:
        return min(x for x, _ in self.box)

    @property
    def middle(self) -> float:
        """Vertical centre, as a share of the picture's height."""
        return (self._top + self._bottom) / 2

    def in_row_of(self, other: TextLine) -> bool:
        """Whether this line and another one overlap in height by half of the smaller one."""
        overlap = min(self._bottom, other._bottom) - max(self._top, other._top)
        return overlap > 0.5 * min(self._bottom - self._top, other._bottom - other._top)


def is_text(text: str, score: float) -> bool:
    """Whether a line counts as text: a score of 0.8, and three letters or digits, two ideographs, or a price or share.

    Args:
        text: as read.
        score: mean probability of its characters, 0 to 1.
    """
    if score < MIN_SCORE:
        return False
    characters = [letter for letter in text if letter.isalnum()]
    ideographs = sum(unicodedata.name(letter, "").startswith(_UNSPACED) for letter in characters)
    if ideographs >= MIN_IDEOGRAPHS or _AMOUNT.match(text.strip()):
        return True
    strokes = sum(letter in _STROKES for letter in characters)
    return len(characters) - ideographs >= MIN_CHARACTERS and strokes < MIN_CHARACTERS


def in_reading_order(lines: Sequence[TextLine]) -> list[TextLine]:
    """Sort lines by rows from top to bottom, and within a row from left to right."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: line.middle):
        if rows and line.in_row_of(rows[-1][0]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line._left)]


def within_limits(lines: Sequence[TextLine]) -> list[TextLine]:
    """Keep the first lines of a picture up to the limit of characters; cut lines that are too long."""
    kept: list[TextLine] = []
    left = MAX_CHARACTERS
    for line in lines:
        text = line.text[: min(MAX_LINE_CHARACTERS, left)].rstrip()
        if not text:
            break
        kept.append(TextLine(text, line.score, line.box))
        left -= len(text)
    return kept
