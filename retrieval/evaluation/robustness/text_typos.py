"""Typos in texts, in five strengths, repeatable by seed and text.

A typo exchanges a letter with a neighbour on the keyboard, swaps two letters, drops one, or doubles one. Only letters
of the basic Latin alphabet have a table of neighbours. In other scripts, such as Chinese, letters are swapped or
dropped.
A letter and its combining marks stay together. Digits stay: a changed size is another product, not a typo.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from typing import Final

import numpy as np

from firstsight.errors import QueryError

TYPO_STRENGTHS: Final = (1, 2, 3, 4, 5)
"""Strengths of typos, the weakest first."""

_SHARES: Final = (0.03, 0.06, 0.1, 0.16, 0.25)  # share of the letters with a typo; one typo at least

_ROWS: Final = (("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75))  # rows of keys, with their offset
_JOINER: Final = "\u200d"


def add_typos(text: str, strength: int = 3, *, seed: int = 0) -> str:
    """Put typos into a text. A stronger text has the typos of the weaker ones at the same places.

    Args:
        text: any text.
        strength: 1 to 5, for 3, 6, 10, 16 and 25 % of the letters; at least one letter.
        seed: random seed.

    Returns:
        The text with typos; unchanged if it has fewer than two letters. It is never empty unless `text` is.

    Raises:
        QueryError: there is no such strength.
    """
    if strength not in TYPO_STRENGTHS:
        raise QueryError(f"typos have no strength {strength}; use 1 to {TYPO_STRENGTHS[-1]}")
    characters = _characters(text)
    letters = [place for place, character in enumerate(characters) if character[0].isalpha()]
    if len(letters) < 2:
        return text
    digest = hashlib.blake2b(f"{seed}\ntypos\n{text}".encode(errors="surrogatepass"), digest_size=16).digest()
    rng = np.random.default_rng(int.from_bytes(digest))
    order = rng.permutation(letters)
    draws = rng.random((len(order), 2))
    count = min(len(letters) - 1, max(1, math.ceil(_SHARES[strength - 1] * len(letters))))
    typed = list(characters)
    for place, (kind, which) in zip(order[:count].tolist(), draws[:count].tolist(), strict=True):
        _mistype(typed, characters, place, kind, which)
    return "".join(typed)


def _mistype(typed: list[str], characters: list[str], place: int, kind: float, which: float) -> None:
    """Change one character of `typed`; a place keeps its index, so that typos do not move each other."""
    character = characters[place]
    following = place + 1 < len(characters) and characters[place + 1][0].isalpha()
    near = NEIGHBOURS.get(character.lower(), "")
    if kind < 0.35 and near:
        letter = near[int(which * len(near))]
        typed[place] = letter.upper() if character.isupper() else letter
    elif kind < 0.65 and following and typed[place] == character and typed[place + 1] == characters[place + 1]:
        typed[place], typed[place + 1] = characters[place + 1], character
    elif kind < 0.9 or not near:
        typed[place] = ""
    else:
        typed[place] = character * 2


def _characters(text: str) -> list[str]:
    """Split a text into what a reader sees as characters: a letter with its marks, joined emoji together."""
    found: list[str] = []
    for sign in text:
        if found and (unicodedata.category(sign).startswith("M") or sign == _JOINER or found[-1].endswith(_JOINER)):
            found[-1] += sign
        else:
            found.append(sign)
    return found


def _neighbours() -> dict[str, str]:
    """Keys that touch each key of a QWERTY keyboard."""
    places = {
        key: (row, column + offset) for row, (keys, offset) in enumerate(_ROWS) for column, key in enumerate(keys)
    }
    return {
        key: "".join(
            other
            for other, (row, column) in places.items()
            if other != key and abs(row - places[key][0]) <= 1 and abs(column - places[key][1]) <= 1
        )
        for key in places
    }


NEIGHBOURS: Final = _neighbours()
"""Letter -> letters next to it on a QWERTY keyboard."""
