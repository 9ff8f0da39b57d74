"""Find colour words in a text, in the languages of `colour_words.csv`.

The file has a row for each language and colour. A word may have endings, `blau(e|en)`, and `*` before it if it also
means something else in another language: such words count only in a language that the caller names. Other rows:
`none` are phrases with no colour, such as orange juice; `modifier before` and `modifier after` are words that join a
colour word beside them, such as light; `prefix` are letters that may precede any word of the language.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Final

from firstsight.errors import QueryError
from firstsight.understanding.colours.named_shades import COLOURS

_FILE: Final = Path(__file__).parent / "colour_words.csv"

_UNSPACED: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
"""Japanese and Chinese letters: these languages put no spaces between words."""

_BEFORE, _AFTER, _PREFIX, _NONE = "modifier before", "modifier after", "prefix", "none"


@dataclass(frozen=True)
class ColourMatch:
    """A colour word in a text, with its modifiers."""

    start: int  # of the words in the text, in characters
    end: int
    colour: str  # one of `COLOURS`


def find_colours(text: str, languages: Collection[str] | None = None) -> list[ColourMatch]:
    """Find the colour words of a text, in order; the longest word at a place counts.

    Case and accents make no difference. Words of Chinese and Japanese are found without spaces around them.

    Args:
        text: a query or a title, in any of the languages.
        languages: ISO 639-1 codes of the languages to look for; None: all, without words of two meanings.

    Raises:
        QueryError: a language has no colour words.
    """
    known = None if languages is None else tuple(sorted(set(languages)))
    folded, places = _fold_with_places(text)
    words = _words_of(known)
    matches = []
    for found in words.pattern.finditer(folded):
        colour = words.colours[_plain(found["word"])]
        if colour != _NONE:
            matches.append(ColourMatch(places[found.start()], places[found.end() - 1] + 1, colour))
    return matches


def colour_languages() -> tuple[str, ...]:
    """ISO 639-1 codes of the languages that have colour words."""
    return tuple(dict.fromkeys(row["language"] for row in _rows()))


@dataclass(frozen=True)
class _Words:
    pattern: re.Pattern[str]
    colours: dict[str, str]  # folded word to colour or `none`


@lru_cache(maxsize=32)
def _words_of(languages: tuple[str, ...] | None) -> _Words:
    known = colour_languages()
    for language in languages or ():
        if language not in known:
            raise QueryError(f"there are no colour words of language {language!r}; there are: {', '.join(known)}")
    colours: dict[str, str] = {}
    before: set[str] = set()
    after: set[str] = set()
    prefixes = {row["language"]: row["words"].split(";") for row in _rows() if row["colour"] == _PREFIX}
    for row in _rows():
        if languages is not None and row["language"] not in languages:
            continue
        words = {_plain(_fold(word)) for word in _expanded(row["words"], ambiguous=languages is not None)}
        if row["colour"] == _BEFORE:
            before |= words
        elif row["colour"] == _AFTER:
            after |= words
        elif row["colour"] != _PREFIX:
            with_prefix = ("".join(pair) for pair in product(["", *prefixes.get(row["language"], ())], words))
            for word in with_prefix:
                colours.setdefault(_plain(_fold(word)), row["colour"])
    # few modifiers: with any number of them, a long text of nothing else would take quadratic time
    lead = f"(?:{_alternatives(before)}{_GAP}){{0,3}}" if before else ""
    tail = f"(?:{_GAP}{_alternatives(after)}){{0,3}}" if after else ""
    return _Words(re.compile(f"{lead}(?P<word>{_alternatives(colours)}){tail}"), colours)


_GAP: Final = r"[\s\-_‐‑–]{1,3}"


def _alternatives(words: Collection[str]) -> str:
    """A pattern of any of these words, the longest first; words of spaced languages are whole words.

    The words are grouped by their first letter, so that most places of a text are compared with a few of them.
    """
    by_letter: dict[str, list[str]] = {}
    for word in sorted(words, key=lambda word: (-len(word), word)):
        by_letter.setdefault(word[0], []).append(_bounded(word[1:], unspaced=bool(_UNSPACED.search(word))))
    groups = []
    for letter, rest in by_letter.items():
        start = "" if _UNSPACED.search(letter) else r"(?<![^\W_])"
        groups.append(f"{start}{re.escape(letter)}(?:{'|'.join(rest)})")
    return f"(?:{'|'.join(groups)})"


def _bounded(rest: str, *, unspaced: bool) -> str:
    pattern = _GAP.join(re.escape(part) for part in rest.split(" "))
    return pattern if unspaced else pattern + r"(?![^\W_])"


def _expanded(words: str, *, ambiguous: bool) -> Iterator[str]:
    """The words of a cell with each of their endings."""
    for entry in words.split(";"):
        stem, _, endings = entry.removeprefix("*").rstrip(")").partition("(")
        if ambiguous or not entry.startswith("*"):
            yield stem
            yield from (stem + ending for ending in endings.split("|") if ending)


def _fold_with_places(text: str) -> tuple[str, list[int]]:
    """Fold a text, with the place in the text of each folded character."""
    folded, places = [], []
    for place, letter in enumerate(text):
        for part in _fold(letter):
            folded.append(part)
            places.append(place)
    return "".join(folded), places


def _fold(text: str) -> str:
    """Case-folded text without accents; Japanese marks stay, since they make other letters."""
    if _UNSPACED.search(text):
        return unicodedata.normalize("NFC", text)
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _plain(word: str) -> str:
    """A word with one space between its parts, as the keys of the data have it."""
    return " ".join(re.split(_GAP, word))


@lru_cache(maxsize=1)
def _rows() -> tuple[dict[str, str], ...]:
    with _FILE.open(encoding="utf-8", newline="") as file:
        rows = tuple(csv.DictReader(file))
    allowed = {*COLOURS, _BEFORE, _AFTER, _PREFIX, _NONE}
    assert all(row["colour"] in allowed for row in rows)
    return rows
