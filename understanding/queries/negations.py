"""Words that a query wants to avoid: "not nike", "without heels", "ohne Absatz", "革以外"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from firstsight.understanding.queries.affixes import PREFIX, SUFFIX
from firstsight.understanding.queries.tokens import Token
from firstsight.understanding.queries.vocabulary import Vocabulary

MAX_TERM_WORDS: Final = 3
"""Maximum words of one term. If more words follow a negation, only the first one belongs to it."""

MAX_TERM_LETTERS: Final = 12
"""Maximum letters of a term before its negation, in languages without spaces."""

MAX_LISTED_TERMS: Final = 6
"""Maximum terms after commas in one list."""

_COMMAS: Final = frozenset(",，、،")
_OPERATORS: Final = frozenset("-−!")


@dataclass(frozen=True)
class Negation:
    """A negation and its place in the tokens of a query."""

    start: int
    end: int  # place after it
    terms: tuple[tuple[int, int], ...]  # places of the terms to avoid


def find_negations(
    tokens: Sequence[Token], free: Sequence[bool], protected: Sequence[int], colours: Sequence[bool], words: Vocabulary
) -> list[Negation]:
    """Find the negations of a query, in order.

    Args:
        tokens: of the query.
        free: for each token, False if it belongs to a price limit.
        protected: for each token, the number of its compound; 0 for none.
        colours: for each token, whether it is a colour.
    """
    finder = _Finder(tokens, free, protected, colours, words)
    found: list[Negation] = []
    place, leading = 0, True  # leading: no word of the text stands before, so only the first word is avoided
    while place < len(tokens):
        negation = finder.negation_at(place, leading=leading)
        if negation is not None and (not found or negation.start >= found[-1].end):
            found.append(negation)
            place = negation.end
        else:
            leading = leading and (not free[place] or tokens[place].kind == "sign" or colours[place])
            place += 1
    return found


@dataclass(frozen=True)
class _Opener:
    end: int  # place after it
    languages: frozenset[str] | None  # of its words; None for a sign


@dataclass(frozen=True)
class _Finder:
    tokens: Sequence[Token]
    free: Sequence[bool]
    protected: Sequence[int]
    colours: Sequence[bool]
    words: Vocabulary

    def negation_at(self, place: int, *, leading: bool) -> Negation | None:
        """The negation at a place.

        Args:
            leading: no word of the text stands before, so only the first word after the negation is avoided.
        """
        if not self.free[place] or self.protected[place]:
            return None
        opened = self._opener(place)
        if opened is None:
            return self._negation_before(place)
        is_prefix = self.tokens[place].folded == PREFIX  # it belongs to one word
        terms, end = self._terms(opened, leading=leading or is_prefix)
        closer = self.words.negation_closers.match(self.tokens, end)
        return Negation(place, closer.end if closer else end, tuple(terms)) if terms else None

    def _opener(self, place: int) -> _Opener | None:
        """The negation at a place, with the articles that follow it."""
        token = self.tokens[place]
        following = self.tokens[place + 1] if place + 1 < len(self.tokens) else None
        if token.folded == PREFIX:
            return _Opener(place + 1, None)
        if token.folded in _OPERATORS:  # "shoes -nike"
            is_operator = not token.joined and following is not None and following.joined and following.kind == "word"
            return _Opener(place + 1, None) if is_operator else None
        found = self.words.negations.match(self.tokens, place)
        if found is None or not self.free[found.end - 1]:
            return None
        end, languages = found.end, found.phrase.languages
        while article := self.words.negation_articles.match(self.tokens, end, languages):
            end = article.end
        return _Opener(end, languages)

    def _terms(self, opened: _Opener, *, leading: bool) -> tuple[list[tuple[int, int]], int]:
        terms: list[tuple[int, int]] = []
        place = end = opened.end
        while True:
            term_end = self._term_end(place, opened.languages, leading=leading)
            if term_end == place:
                return terms, end
            terms.append((place, term_end))
            place = end = term_end
            following = self._after_connector(place, opened.languages)
            if following is None and not leading:
                following = self._after_comma(place, opened.languages)
            if following is None:
                return terms, end
            place = following

    def _after_connector(self, place: int, languages: frozenset[str] | None) -> int | None:
        """The place of a term that follows "and" or "or"; None if another slot follows, or no connector is there."""
        connector = self.words.connectors.match(self.tokens, place, languages)
        if connector is None or not self._is_term_word(connector.end, languages, first=True):
            return None
        return None if self._opener(connector.end) is not None else connector.end

    def _after_comma(self, place: int, languages: frozenset[str] | None) -> int | None:
        """The place of a term after a comma, in a list that ends with "or": "sulfates, parabens or silicones"."""
        start = place + 1
        for _ in range(MAX_LISTED_TERMS):
            if place >= len(self.tokens) or self.tokens[place].folded not in _COMMAS:
                return None
            end = self._term_end(place + 1, languages, leading=False)
            if end == place + 1 or self._opener(place + 1) is not None or self.colours[place + 1]:
                return None
            if self._after_connector(end, languages) is not None:
                return start
            place = end
        return None

    def _term_end(self, start: int, languages: frozenset[str] | None, *, leading: bool) -> int:
        """The place after the term that begins at a place."""
        if not self._is_term_word(start, languages, first=True):
            return start
        if self.tokens[start].unspaced:
            return self._unspaced_end(start, languages)
        units: list[int] = []  # the place after each word or compound
        place, first_end = start, None
        while len(units) <= MAX_TERM_WORDS and self._is_term_word(place, languages, first=place == start):
            if place > start and (self._ends_term(place, languages) or self._opener(place) is not None):
                break
            is_modifier = self.words.modifiers.match(self.tokens, place, languages) is not None
            if self.colours[place]:  # "not navy blue shoes" avoids the colour, "shoes not red plaid" avoids both words
                is_modifier |= self.colours[place + 1 : place + 2] == [True] if leading else self.colours[start]
            place = self._unit_end(place)
            units.append(place)
            if first_end is None and not is_modifier:
                first_end = place
        return first_end or units[0] if leading or len(units) > MAX_TERM_WORDS else place

    def _unspaced_end(self, start: int, languages: frozenset[str] | None) -> int:
        place = start + 1
        while (
            place < len(self.tokens)
            and place - start < MAX_TERM_LETTERS
            and self.tokens[place].joined
            and self._is_term_word(place, languages, first=False)
            and not self.words.connectors.match(self.tokens, place, languages)
        ):
            place += 1
        return place

    def _unit_end(self, place: int) -> int:
        number = self.protected[place]
        end = place + 1
        while number and end < len(self.tokens) and self.protected[end] == number:
            end += 1
        return end

    def _is_term_word(self, place: int, languages: frozenset[str] | None, *, first: bool) -> bool:
        if place >= len(self.tokens) or not self.free[place]:
            return False
        token = self.tokens[place]
        if token.kind == "sign" or (token.kind == "number" and (first or place + 1 < len(self.tokens))):
            return False
        return self.protected[place] > 0 or self.words.boundaries.match(self.tokens, place, languages) is None

    def _ends_term(self, place: int, languages: frozenset[str] | None) -> bool:
        """Whether a word begins something else than what a term names: a colour of the item, a size, an audience."""
        if any(
            phrases.match(self.tokens, place, languages)
            for phrases in (self.words.audience, self.words.connectors, self.words.fillers)
        ):
            return True
        return self.colours[place] and not self.colours[place - 1]

    def _negation_before(self, place: int) -> Negation | None:
        """A negation after its term, such as 革以外の: the letters before it up to a space or another slot."""
        if self.tokens[place].folded == SUFFIX:
            return self._negation_by_suffix(place)
        found = self.words.negations_after.match(self.tokens, place)
        if found is None:
            return None
        start = place
        if self.tokens[start].unspaced:
            while place - start < MAX_TERM_LETTERS and self.tokens[start].joined and self._is_unspaced_word(start - 1):
                start -= 1
        if start == place and start > 0 and self._is_term_word(start - 1, None, first=False):
            start -= 1
        return Negation(start, found.end, ((start, place),)) if start < place else None

    def _negation_by_suffix(self, place: int) -> Negation | None:
        """The negation of "sugar-free", with the substances before it: "gluten and dairy free"."""
        start = place - 1
        if start < 0 or not self._is_term_word(start, None, first=True):
            return None
        terms = [(start, place)]
        while (
            start >= 2
            and (connector := self.words.connectors.match(self.tokens, start - 1)) is not None
            and connector.end == start
            and self.free[start - 2]
            and self.words.substances.has_word(self.tokens[start - 2].folded)
        ):
            start -= 2
            terms.append((start, start + 1))
        return Negation(start, place + 1, tuple(reversed(terms)))

    def _is_unspaced_word(self, place: int) -> bool:
        token = self.tokens[place]
        return self.free[place] and not self.protected[place] and token.unspaced and token.folded not in "のと"
