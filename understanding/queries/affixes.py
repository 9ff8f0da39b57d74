"""Split words that hold their negation: "gluten-free", "sugar free", "zuckerfreie", "non-leather"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from firstsight.understanding.queries.tokens import Token
from firstsight.understanding.queries.vocabulary import Vocabulary

PREFIX: Final = "non-"
"""Folded form of a split prefix. No other token has it, since a hyphen ends no word."""

SUFFIX: Final = "-free"
"""Folded form of a split suffix, and of a word such as "free" after a substance."""

_SUFFIX_LETTERS: Final = range(3, 8)


def split_affixes(
    tokens: Sequence[Token], protected: Sequence[int], words: Vocabulary
) -> tuple[list[Token], list[int]]:
    """Split the prefix or suffix that negates a word from it, unless the word belongs to a compound.

    With a hyphen, any word can stand before a suffix; without one, only a known substance such as sugar.

    Args:
        tokens: of a query.
        protected: for each token, the number of its compound; 0 for none.

    Returns:
        The tokens and their compounds.
    """
    split: list[Token] = []
    numbers: list[int] = []
    for token, number in zip(tokens, protected, strict=True):
        parts = [token] if number or token.kind != "word" else _split(token, split[-1:], words)
        split += parts
        numbers += [number] * len(parts)
    return split, numbers


def _split(token: Token, before: Sequence[Token], words: Vocabulary) -> list[Token]:
    folded = token.folded
    if words.negation_suffixes.has_word(folded):
        is_after_substance = bool(before) and words.substances.has_word(before[0].folded)
        return [replace(token, folded=SUFFIX)] if is_after_substance else [token]
    if len(folded) != token.end - token.start:  # folding changed the number of letters, so places would be wrong
        return [token]
    head, hyphen, tail = folded.partition("-")
    if hyphen and tail and words.negation_prefixes.has_word(head):
        return _parts(token, len(head) + 1, PREFIX, tail)
    stem, hyphen, tail = folded.rpartition("-")
    if hyphen and stem and words.negation_suffixes.has_word(tail):
        return _parts(token, len(stem), stem, SUFFIX)
    for letters in _SUFFIX_LETTERS:
        stem = folded[:-letters]
        if words.negation_suffixes.has_word(folded[-letters:]) and words.substances.has_word(stem):
            return _parts(token, len(stem), stem, SUFFIX)
    return [token]


def _parts(token: Token, letters: int, first: str, second: str) -> list[Token]:
    place = token.start + letters
    return [
        Token(token.start, place, "word", first, token.joined),
        Token(place, token.end, "word", second, joined=True),
    ]
