"""Split a query into words, numbers and signs, folded for comparison."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

TokenKind = Literal["word", "number", "sign"]

_NO_SPACES: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff66-\uff9f"
"""Letters of Chinese and Japanese: each is a token of its own, because no space ends a word."""

_LETTER: Final = rf"(?:(?![{_NO_SPACES}])[^\W\d_])"
_MARKS: Final = "[\u0300-\u036f\u0640\u064b-\u0670\u0900-\u0dff\u0e00-\u0eff]"
"""Accents and vowel signs, which belong to the letter before them."""

_TOKEN: Final = re.compile(
    r"(?P<number>\d+(?:[.,]\d+)*)"
    rf"|(?P<word>[{_NO_SPACES}]|{_LETTER}(?:{_LETTER}|{_MARKS})*(?:[.'’\-&](?:{_LETTER}|{_MARKS})+)*)"
    r"|(?P<sign>\S)"
)
"""Every alternative begins with another kind of character, so the time is linear in the length."""

_KEPT_MARKS: Final = frozenset("\u3099\u309a")  # they change a letter of Japanese into another one


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a number or a sign of a query."""

    start: int  # place in the query
    end: int
    kind: TokenKind
    folded: str  # without case and accents; a number with ASCII digits
    joined: bool  # no space between it and the token before

    @property
    def unspaced(self) -> bool:
        """Whether it is a letter of a language without spaces."""
        return re.match(f"[{_NO_SPACES}]", self.folded) is not None


def split_tokens(text: str) -> list[Token]:
    """Split a text into tokens, in order; only white space belongs to none."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind: TokenKind = "number" if match["number"] else "word" if match["word"] else "sign"
        joined = bool(tokens) and tokens[-1].end == match.start()
        tokens.append(Token(match.start(), match.end(), kind, fold(match.group()), joined))
    return tokens


@lru_cache(maxsize=4096)
def fold(word: str) -> str:
    """Remove the differences of case, accents, width and apostrophes."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", word).casefold().replace("’", "'"))
    kept = "".join(c for c in plain if not unicodedata.combining(c) or c in _KEPT_MARKS)
    return unicodedata.normalize("NFC", kept.replace("\u0640", ""))
