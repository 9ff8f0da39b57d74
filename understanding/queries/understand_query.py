"""Understand a query by rules: price limits, words to avoid, colours, and words such as "cheap".

    compounds ("white noise") are protected
    -> colours        understanding/colours/colour_words.py
    -> price limits   price_limits.py
    -> negations      negations.py
    -> fillers, connectors and commas around them
    -> the text that is left

The rules are the same for all languages; their words are in `words/`, one file per language.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from firstsight.understanding.colours.colour_words import ColourMatch, colour_languages, find_colours
from firstsight.understanding.queries.affixes import split_affixes
from firstsight.understanding.queries.negations import find_negations
from firstsight.understanding.queries.price_limits import find_price_limits
from firstsight.understanding.queries.tokens import Token, split_tokens
from firstsight.understanding.queries.understood_query import QuerySpan, Slot, UnderstoodQuery
from firstsight.understanding.queries.vocabulary import Phrases, Vocabulary, load_vocabulary

MAX_LENGTH: Final = 2000
"""Characters of a query above which no rule is applied: it is a pasted text, not a query."""

_PAUSES: Final = frozenset(",;.:!?|/()[]，、。；：！？·-–—")


def understand_query(
    text: str, languages: Sequence[str] | None = None, *, prices: bool = True, negations: bool = True
) -> UnderstoodQuery:
    """Split a query into text, colours, words to avoid and price limits.

    "red running shoes not nike under 50" becomes the text "running shoes", the colour red, the word nike to avoid, and
    a price of at most 50. Words that no rule uses stay in the text in their order.

    Args:
        text: any text; one over 2,000 characters is left as it is.
        languages: ISO 639-1 codes of the languages whose words are used; None: all that have a file.
        prices: whether to look for price limits; without, their words stay in the text.
        negations: whether to look for words to avoid; without, they stay in the text.
    """
    nothing = UnderstoodQuery(text, text)
    if len(text) > MAX_LENGTH:
        return nothing
    tokens = split_tokens(text)
    words = load_vocabulary(languages)
    tokens, protected = split_affixes(tokens, _protect(tokens, words), words)
    names = _name_colours(tokens, protected, _find_colours(text, tokens, words, languages), words)
    slots: list[Slot | None] = [None] * len(tokens)
    low, high, currency = None, None, None
    if prices:
        free = [number == 0 for number in protected]
        for limit in find_price_limits(tokens, free, words):
            _fill(slots, limit.start, limit.end, "price")
            low = limit.low if limit.low is not None else low
            high = limit.high if limit.high is not None else high
            currency = limit.currency or currency
    _fill_fillers(tokens, slots, protected, words)  # before negations: "pas cher" is none
    minus: list[str] = []
    if negations:
        free = [slot is None for slot in slots]
        for negation in find_negations(tokens, free, protected, list(map(bool, names)), words):
            _fill(slots, negation.start, negation.end, "minus")
            minus += [text[tokens[start].start : tokens[end - 1].end] for start, end in negation.terms]
    colours: list[str] = []
    for place, of_token in enumerate(names):
        if of_token and slots[place] is None:
            slots[place] = "colour"
            colours += of_token
    if "minus" in slots and not any(slot is None or slot == "colour" for slot in _slots_of_words(tokens, slots)):
        # without a text there is nothing to find: "no sugar" alone looks for that
        return understand_query(text, languages, prices=prices, negations=False) if prices or colours else nothing
    if not any(slot in {"price", "minus", "colour"} for slot in slots) and None not in _slots_of_words(tokens, slots):
        return nothing  # "cheap" alone
    _fill_colour_words(tokens, slots, protected, words)
    _fill_connectors(tokens, slots, words)
    spans = _make_spans(tokens, slots)
    if not spans:
        return nothing
    return UnderstoodQuery(
        text=_join(text, tokens, [slot is None for slot in slots]),
        search_text=_join(text, tokens, [slot is None or slot == "colour" for slot in slots]),
        colours=tuple(dict.fromkeys(colours)),
        minus=tuple(dict.fromkeys(minus)),
        min_price=low,
        max_price=high,
        currency=currency,
        spans=spans,
    )


def _protect(tokens: Sequence[Token], words: Vocabulary) -> list[int]:
    """The number of the compound that each token belongs to; 0 for none."""
    numbers = [0] * len(tokens)
    place, count = 0, 0
    while place < len(tokens):
        found = words.compounds.match(tokens, place)
        if found is None:
            place += 1
            continue
        count += 1
        numbers[place : found.end] = [count] * (found.end - place)
        place = found.end
    return numbers


def _find_colours(
    text: str, tokens: Sequence[Token], words: Vocabulary, languages: Sequence[str] | None
) -> list[ColourMatch]:
    """The colour words of a text, in order.

    Words that are a colour in one language alone, such as the French rose, count if the caller names this language, or
    if another word of the text belongs to it alone.
    """
    known = set(colour_languages())
    if languages is not None:
        return find_colours(text, known & set(languages))
    found = find_colours(text)
    if spoken := _languages_of(tokens, words) & known:
        taken = {place for colour in found for place in range(colour.start, colour.end)}
        found += [c for c in find_colours(text, spoken) if taken.isdisjoint(range(c.start, c.end))]
    return sorted(found, key=lambda colour: colour.start)


def _languages_of(tokens: Sequence[Token], words: Vocabulary) -> set[str]:
    """Languages other than English of which the text has a word that no other language has."""
    tables = (words.max_before, words.min_before, words.negations, words.range_openers, words.fillers, words.audience)
    phrases = (table.match(tokens, place) for place in range(len(tokens)) for table in tables)
    of_one = [found.phrase.languages for found in phrases if found is not None and len(found.phrase.languages) == 1]
    return {language for languages in of_one for language in languages} - {"en"}


def _name_colours(
    tokens: Sequence[Token], protected: Sequence[int], colours: Sequence[ColourMatch], words: Vocabulary
) -> list[tuple[str, ...]]:
    """The names of the colours in each token; "black-and-white" has two.

    A token has none if it has other words too, as "black-eyed" and "gray's".
    """
    names: list[tuple[str, ...]] = [()] * len(tokens)
    uncovered = [token.folded for token in tokens]
    place = 0
    for colour in colours:
        while place < len(tokens) and tokens[place].end <= colour.start:
            place += 1
        end = place
        while end < len(tokens) and tokens[end].start < colour.end:
            end += 1
        if end > place and not any(protected[place:end]):
            for n in range(place, end):
                names[n] = (*names[n], colour.colour)
                uncovered[n] = _without_match(tokens[n], uncovered[n], colour)
        place = max(place, end - 1)  # the next colour may be in the same token
    return [
        of_token if all(_joins_colours(part, words) for part in re.findall(r"\w+", rest)) else ()
        for of_token, rest in zip(names, uncovered, strict=True)
    ]


def _without_match(token: Token, letters: str, colour: ColourMatch) -> str:
    """The letters of a token with spaces in place of a colour."""
    if colour.start <= token.start and colour.end >= token.end:
        return ""
    if len(letters) != token.end - token.start:  # folding changed the number of letters
        return ""
    start, end = max(colour.start - token.start, 0), min(colour.end, token.end) - token.start
    return letters[:start] + " " * (end - start) + letters[end:]


def _joins_colours(part: str, words: Vocabulary) -> bool:
    return any(phrases.has_word(part) for phrases in (words.connectors, words.shades_before, words.colour_after))


def _fill(slots: list[Slot | None], start: int, end: int, slot: Slot) -> None:
    slots[start:end] = [slot] * (end - start)


def _slots_of_words(tokens: Sequence[Token], slots: Sequence[Slot | None]) -> list[Slot | None]:
    return [slot for token, slot in zip(tokens, slots, strict=True) if token.kind != "sign"]


def _fill_fillers(
    tokens: Sequence[Token], slots: list[Slot | None], protected: Sequence[int], words: Vocabulary
) -> None:
    place = 0
    while place < len(tokens):
        found = words.fillers.match(tokens, place)
        if found is None or any(protected[place : found.end]) or any(slots[place : found.end]):
            place += 1
            continue
        _fill(slots, place, found.end, "filler")
        place = found.end


def _fill_colour_words(
    tokens: Sequence[Token], slots: list[Slot | None], protected: Sequence[int], words: Vocabulary
) -> None:
    """Take the words around a colour that belong to it, such as "dark", "in" and "coloured"."""
    before, after = (words.shades_before, words.colour_before), (words.shades_after, words.colour_after)
    for place in [place for place, slot in enumerate(slots) if slot == "colour"]:
        start, end = place, place + 1
        for phrases in before:
            found = _start_before(phrases, tokens, start)
            if found is not None and not any(slots[found:start]) and not any(protected[found:start]):
                start = found
        for phrases in after:
            match = phrases.match(tokens, end)
            if match and not any(slots[end : match.end]) and not any(protected[end : match.end]):
                end = match.end
        _fill(slots, start, end, "colour")


def _start_before(phrases: Phrases, tokens: Sequence[Token], place: int) -> int | None:
    """The start of the longest phrase that ends right before a place."""
    for start in range(max(0, place - 4), place):
        if (found := phrases.match(tokens, start)) and found.end == place:
            return start
    return None


def _fill_connectors(tokens: Sequence[Token], slots: list[Slot | None], words: Vocabulary) -> None:
    """Take commas and words such as "and" that connect slots with each other or with the text."""
    place = 0
    while place < len(tokens):
        if slots[place] is not None:
            place += 1
            continue
        end = place
        while end < len(tokens) and slots[end] is None:
            end += 1
        before = slots[place - 1] if place else None
        after = slots[end] if end < len(tokens) else None
        if (before or after) and _skip_connectors(tokens, place, end, words.connectors) == end:
            _fill(slots, place, end, before or after or "filler")
        else:
            if before:
                _fill(slots, place, _skip_connectors(tokens, place, end, words.loose_connectors), before)
            if after:
                start = end
                while start > place and _skip_connectors(tokens, start - 1, end, words.loose_connectors) == end:
                    start -= 1
                _fill(slots, start, end, after)
        place = end


def _skip_connectors(tokens: Sequence[Token], place: int, end: int, connectors: Phrases) -> int:
    """The place after the connectors and commas that begin at a place."""
    while place < end:
        if tokens[place].folded in _PAUSES:
            place += 1
            continue
        found = connectors.match(tokens, place)
        if found is None or found.end > end:
            break
        place = found.end
    return place


def _make_spans(tokens: Sequence[Token], slots: Sequence[Slot | None]) -> tuple[QuerySpan, ...]:
    spans: list[QuerySpan] = []
    for place, slot in enumerate(slots):
        if slot is None:
            continue
        token = tokens[place]
        if spans and place > 0 and slots[place - 1] == slot:
            spans[-1] = QuerySpan(slot, spans[-1].start, token.end)
        else:
            spans.append(QuerySpan(slot, token.start, token.end))
    return tuple(spans)


def _join(text: str, tokens: Sequence[Token], kept: Sequence[bool]) -> str:
    """The kept parts of a text, with one space between words."""
    pieces: list[str] = []
    start = None
    for place in range(len(tokens) + 1):
        if place < len(tokens) and kept[place]:
            start = tokens[place].start if start is None else start
        elif start is not None:
            pieces += text[start : tokens[place - 1].end].split()
            start = None
    return " ".join(pieces)
