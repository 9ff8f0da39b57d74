"""Tell whether a query names a variant of a product, such as the color in "blue shirts" or the size in "t-shirt M".

A value is named if the text has all of its words in a row. Case, accents and plain endings make no difference: "blaue"
names "Blau". Short values need more, because they are also other words: a single letter and a number must
stand alone, so "men's" names no size S and "$10" names no size 10.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from firstsight.retrieval.query import Query
from firstsight.storage.product_groups import GROUP_COLUMN, VARIANT_IDS_COLUMN, ProductGroups

_MIN_INFLECTED_LETTERS: Final = 3
_ENDINGS: Final = ("s", "es", "e", "en", "em", "er")

_OTHER_WORDS: Final = frozenset({"shorts", "glasses"})
"""Words that are no plural of a value: short is a length, and glass a material."""

_FUNCTION: Final = """
a all an and as at avec by con de der des die e el en et for from i in is it la le les me mit my no not o of on one or
ou par per pour the to u und up us van with without y yes you
"""
_FUNCTION_WORDS: Final = frozenset(_FUNCTION.split())
"""Words that queries have for other reasons. They name a value only in the value's case, as in "bra size A"."""

_MONEY: Final = frozenset(("€", "$", "£", "¥", "%", "chf", "dollar", "eur", "euro", "gbp", "percent", "pound", "usd"))

_LIMITS: Final = frozenset(("above", "ab", "below", "bis", "max", "over", "than", "under", "unter", "uber"))
"""Words before a number that is a price: shoes under 50."""

_WORD: Final = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")

_UNSPACED: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
"""Japanese and Chinese letters: these languages put no spaces between words."""


@dataclass(frozen=True)
class _Word:
    folded: str
    written: str
    alone: bool  # nothing but white space and punctuation of sentences around it


def names_variant(groups: ProductGroups, query: Query) -> bool:
    """Whether a query asks for certain variants, so that all variants must be shown.

    It does if its text contains a value of a variant column, or if its filter uses a variant column, `group_id` or an
    id of items.

    Args:
        groups: variant columns of the database.
        query: a query with a filter that can be read.
    """
    if query.where is not None:
        from firstsight.storage.sql.condition_parser import columns_of  # imports sqlglot: only if there is a filter

        own = {GROUP_COLUMN, VARIANT_IDS_COLUMN, "item_id"}
        if columns_of(query.where) & (own | {name.lower() for name in groups.variant_columns}):
            return True
    return query.text is not None and query.text_weight > 0 and _names_value(groups, query.text)


def _names_value(groups: ProductGroups, text: str) -> bool:
    words = _words(text)
    known = _known_values(tuple(value for values in groups.variant_columns.values() for value in values))
    if any(value in text for value in known.unspaced):
        return True
    for place, word in enumerate(words):
        for form in _forms(word.folded):
            for value in known.by_first_word.get(form, ()):
                if _matches(value, words, place):
                    return True
    return False


def _matches(value: tuple[_Word, ...], words: list[_Word], place: int) -> bool:
    found = words[place : place + len(value)]
    if len(found) < len(value):
        return False
    if len(value) > 1:
        pairs = zip(value, found, strict=True)
        return all(not {*_forms(known.folded)}.isdisjoint(_forms(word.folded)) for known, word in pairs)
    known, word = value[0], found[0]
    if word.folded in _FUNCTION_WORDS:
        # the first word of a text may have a capital for that reason alone
        return word.alone and word.written == known.written and not word.written.islower() and place > 0
    if word.folded[0].isdigit():
        before, after = words[max(place - 1, 0) : place], words[place + 1 : place + 2]
        is_price = any(form in _MONEY for neighbour in before + after for form in _forms(neighbour.folded))
        return word.alone and not is_price and not any(neighbour.folded in _LIMITS for neighbour in before)
    return word.alone or len(word.folded) > 1


def _words(text: str) -> list[_Word]:
    """Split a text into folded words and numbers, and signs of money."""
    words = []
    # a list of values may have no spaces: M/L
    for part in re.findall(r"[€$£¥%]|(?:[^\s€$£¥%/|+&,]|,(?=\d))+", unicodedata.normalize("NFC", text)):
        if part in _MONEY:
            words.append(_Word(part, part, alone=False))
            continue
        stripped = part.strip(".,;:!?()[]\"'’‘“”„«»")
        words += (_Word(_fold(word), word, alone=word == stripped) for word in _WORD.findall(part))
    return words


def _fold(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _forms(word: str) -> Iterator[str]:
    """A word as it is, and without a plain ending."""
    yield word
    if word in _OTHER_WORDS or word in _FUNCTION_WORDS:
        return
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _MIN_INFLECTED_LETTERS:
            yield word.removesuffix(ending)


@dataclass(frozen=True)
class _KnownValues:
    by_first_word: dict[str, list[tuple[_Word, ...]]]  # values as words, by each form of the first word
    unspaced: tuple[str, ...]  # values in a language without spaces


@lru_cache(maxsize=16)
def _known_values(values: tuple[str, ...]) -> _KnownValues:
    """Prepare values for comparison. "Blue/White" is also the values "Blue" and "White"."""
    by_word: dict[str, list[tuple[_Word, ...]]] = {}
    parts = dict.fromkeys(part for value in values for part in (value, *re.split(r"\s*[/|+&]\s*", value)))
    for part in parts:
        words = tuple(_words(part))
        if words:
            for form in _forms(words[0].folded):
                by_word.setdefault(form, []).append(words)
    return _KnownValues(by_word, tuple(part for part in parts if _UNSPACED.search(part)))
