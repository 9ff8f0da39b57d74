"""Words of limits, negations, currencies and compounds, from one data file per language in `words/`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from firstsight.understanding.queries.tokens import Token, fold, split_tokens

LANGUAGES: Final = ("ar", "de", "en", "es", "fr", "it", "ja", "nl", "pl", "pt", "zh")
"""Languages with a file of words, as ISO 639-1 codes."""

_COMMON: Final = "common"  # signs and codes that every language has


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase of the data files."""

    words: tuple[str, ...]  # folded
    value: str
    languages: frozenset[str]  # files that have it
    not_before: frozenset[str]  # words that may not follow: "red wine !glasses" is no compound in "red wine glasses"


@dataclass(frozen=True, slots=True)
class FoundPhrase:
    """A phrase at a place in the tokens of a query."""

    end: int  # place after it
    phrase: Phrase

    @property
    def value(self) -> str:
        """Value of the phrase, such as a currency."""
        return self.phrase.value


class Phrases:
    """Phrases to be found at a place in the tokens of a query."""

    def __init__(self, phrases: Iterable[Phrase]) -> None:
        self._by_first: dict[str, list[Phrase]] = {}
        for phrase in phrases:
            self._by_first.setdefault(phrase.words[0], []).append(phrase)
        for same_first in self._by_first.values():
            same_first.sort(key=lambda phrase: -len(phrase.words))

    def match(self, tokens: Sequence[Token], place: int, languages: frozenset[str] | None = None) -> FoundPhrase | None:
        """Find the longest phrase that begins at a place.

        Args:
            languages: only phrases of one of these languages; None: of any.
        """
        if place >= len(tokens):
            return None
        for phrase in self._by_first.get(tokens[place].folded, ()):
            end = place + len(phrase.words)
            if (
                end <= len(tokens)
                and (languages is None or not languages.isdisjoint(phrase.languages))
                and all(tokens[place + n].folded == word for n, word in enumerate(phrase.words))
                and not (end < len(tokens) and tokens[end].folded in phrase.not_before)
            ):
                return FoundPhrase(end, phrase)
        return None

    def has_word(self, word: str) -> bool:
        """Whether a folded word is a whole phrase."""
        return any(len(phrase.words) == 1 for phrase in self._by_first.get(word, ()))

    def match_before(self, tokens: Sequence[Token], place: int) -> bool:
        """Whether a phrase ends right before a place."""
        return any(
            (found := self.match(tokens, start)) is not None and found.end == place
            for start in range(max(0, place - _LONGEST), place)
        )


_LONGEST: Final = 6
"""Maximum tokens of a phrase that is looked for before a place."""


@dataclass(frozen=True)
class Vocabulary:
    """The words of the rules, in some languages. Each field names a list of the data files."""

    max_before: Phrases  # "under" in "under 50"
    min_before: Phrases  # "over" in "over 50"
    max_after: Phrases  # "or less" in "50 or less"
    min_after: Phrases  # "or more" in "50 or more"
    since: Phrases  # limits that can also be followed by a year: "from 1990"
    money_only: Phrases  # limits that need a number with a currency: "50 EUR max", "about 50 EUR"
    around: Phrases  # "around" in "around 50"
    around_after: Phrases  # after a number with a currency: "100元左右"
    number_words: Phrases  # "fifty" to its value
    range_openers: Phrases  # "between" in "between 20 and 40"
    range_middles: Phrases  # "and" after an opener
    range_closers: Phrases  # a word at the end of a range: "in the 20 to 40 range"
    range_nouns: Phrases  # those closers that make a range of numbers one of prices
    bare_middles: Phrases  # "to" in "20 to 40 dollars"
    price_words: Phrases  # words before a limit that go with it: "priced under 50"
    currencies: Phrases  # currency to ISO 4217 code, or "" if several have that name
    units: Phrases  # after a number that is no price
    labels: Phrases  # before a number that is no price: "size"
    adults: Phrases  # before a limit that may be an age
    children: Phrases
    negations: Phrases
    negations_after: Phrases  # after the word that is to be avoided, in Japanese
    negation_closers: Phrases  # between the word to avoid and the text, in Chinese
    negation_articles: Phrases  # between a negation and its word: "without any sugar"
    negation_prefixes: Phrases  # "non" in "non-leather"
    negation_suffixes: Phrases  # "free" in "sugar-free"
    substances: Phrases  # words that go with a suffix without a hyphen: "sugar free", "zuckerfrei"
    modifiers: Phrases  # words that go with the next one: "fake" in "not fake leather"
    connectors: Phrases  # "and", "or"
    loose_connectors: Phrases  # those that are dropped between the text and a slot; not "of", which is Dutch for "or"
    boundaries: Phrases  # words that end a negation: "for"
    audience: Phrases  # words that end a negation, unless they are its first one: "women"
    fillers: Phrases  # "cheap"
    shades_before: Phrases  # "dark" in "dark green"
    shades_after: Phrases  # "marine" in "bleu marine"
    colour_before: Phrases  # "in" in "dress in red"
    colour_after: Phrases  # "coloured"
    compounds: Phrases  # names that hold a word of the rules or of a colour: "white noise"


_NAMES: Final = tuple(field.name for field in fields(Vocabulary))


def load_vocabulary(languages: Iterable[str] | None = None) -> Vocabulary:
    """Load the words of languages; each combination is loaded once per process.

    Args:
        languages: ISO 639-1 codes; those without a file are ignored. None: all languages.
    """
    chosen = LANGUAGES if languages is None else tuple(code for code in LANGUAGES if code in set(languages))
    return _load(chosen)


@lru_cache(maxsize=32)
def _load(languages: tuple[str, ...]) -> Vocabulary:
    merged: dict[str, dict[str, Phrase]] = {name: {} for name in _NAMES}
    for language in (_COMMON, *languages):
        for name, written in _read(language).items():
            values = written if isinstance(written, Mapping) else dict.fromkeys(written, "")
            for text, value in values.items():
                phrase, *exceptions = text.split(" !")
                words = tuple(token.folded for token in split_tokens(phrase))
                known = merged[name].get(text)
                merged[name][text] = Phrase(
                    words,
                    (known.value if known else "") or value,
                    frozenset({language}) | (known.languages if known else frozenset()),
                    frozenset(map(fold, exceptions)),
                )
    return Vocabulary(**{name: Phrases(phrases.values()) for name, phrases in merged.items()})


@cache
def _read(language: str) -> Mapping[str, Any]:
    text = files(__package__).joinpath("words", f"{language}.toml").read_text(encoding="utf-8")
    plain = tomllib.loads(text)
    if unknown := plain.keys() - set(_NAMES):
        raise AssertionError(f"words/{language}.toml has a list {min(unknown)!r} that no rule uses")
    return MappingProxyType(plain)
