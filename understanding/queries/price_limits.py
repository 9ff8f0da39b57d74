"""Price limits in a query: "under 50", "between 20 and 40", "bis 50 Euro", "100-200元"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from firstsight.understanding.queries.tokens import Token
from firstsight.understanding.queries.vocabulary import FoundPhrase, Phrases, Vocabulary

_DASHES: Final = frozenset("-–—~〜～")
_MARKS_OF_UNITS: Final = frozenset("\"'″”′’%°xX×")
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_YEARS: Final = range(1900, 2100)
_MAX_DIGITS: Final = 12

_TOLERANCE: Final = 0.2
"""Share of a price that "around" allows above and below it."""

_MAX_PRICE_WORDS: Final = 3  # phrases such as "for" and "a price of" before one limit

_MAX_TOKENS_BEFORE_NUMBER: Final = 16  # of price words and limit together

_ADULT_AGES: Final = range(18, 100)
"""Numbers after "women over" that are an age."""

_CHILD_AGES: Final = range(1, 13)
"""Numbers after "kids under" that are an age."""


@dataclass(frozen=True)
class PriceLimit:
    """A price limit and its place in the tokens of a query."""

    start: int
    end: int  # place after it
    low: float | None
    high: float | None
    currency: str | None  # ISO 4217 code; None if the query names none, or one that several countries have


@dataclass(frozen=True)
class _Amount:
    start: int
    end: int
    value: float
    currency: str | None  # "" if the currency is not known
    text: str

    @property
    def has_currency(self) -> bool:
        return self.currency is not None


def find_price_limits(tokens: Sequence[Token], free: Sequence[bool], words: Vocabulary) -> list[PriceLimit]:
    """Find the price limits of a query, in order; none if they contradict each other.

    Args:
        tokens: of the query.
        free: for each token, whether a rule may use it.
    """
    finder = _Finder(tokens, words)
    found: list[PriceLimit] = []
    place = 0
    numbers = iter(
        [n for n, token in enumerate(tokens) if token.kind == "number" or words.number_words.match(tokens, n)]
    )
    number = next(numbers, None)
    while number is not None and place < len(tokens):
        if number < place:
            number = next(numbers, None)
            continue
        limit = finder.limit_at(place) if number - place <= _MAX_TOKENS_BEFORE_NUMBER else None
        if limit is not None and all(free[limit.start : limit.end]):
            found.append(limit)
            place = limit.end
        else:
            place += 1
    low = [limit.low for limit in found if limit.low is not None]
    high = [limit.high for limit in found if limit.high is not None]
    return [] if low and high and max(low) > min(high) else found


@dataclass(frozen=True)
class _Finder:
    tokens: Sequence[Token]
    words: Vocabulary

    def limit_at(self, place: int) -> PriceLimit | None:
        """The limit that begins at a place, with the price words before it."""
        start = place
        for _ in range(_MAX_PRICE_WORDS + 1):
            limit = (
                self._range(place, start)
                or self._limit_before(place, start)
                or self._range_without_opener(place, start)
                or self._limit_after(place, start)
                or self._around(place, start)
            )
            if limit is not None:
                return limit
            found = self.words.price_words.match(self.tokens, start)
            if found is None:
                return None
            start = found.end + 1 if self._is_sign(found.end, ":") else found.end
        return None

    def _range(self, place: int, start: int) -> PriceLimit | None:
        opener = self.words.range_openers.match(self.tokens, start)
        if opener is None:
            return None
        first = self._amount(opener.end, check_unit=False)
        middle = None if first is None else self._middle(first.end, self.words.range_middles)
        if first is None or middle is None:
            return None
        second = self._amount(middle, check_unit=not first.has_currency)
        if second is None or (self._is_year(first, second) and self.words.since.match(self.tokens, start)):
            return None
        if not (first.has_currency or second.has_currency) and self._has_label(place):
            return None
        closer = self.words.range_closers.match(self.tokens, second.end)
        return self._make_range(place, closer.end if closer else second.end, first, second)

    def _range_without_opener(self, place: int, start: int) -> PriceLimit | None:
        first = self._amount(start, check_unit=False)
        middle = None if first is None else self._middle(first.end, self.words.bare_middles)
        if first is None or middle is None:
            return None
        second = self._amount(middle, check_unit=not first.has_currency)
        if second is None:
            return None
        closer = self.words.range_closers.match(self.tokens, second.end)
        is_price = first.has_currency or second.has_currency or self.words.range_nouns.match(self.tokens, second.end)
        if not is_price:
            return None
        if not first.has_currency and self._has_label(place):
            return None  # "size 38 to 60 EUR"
        return self._make_range(place, closer.end if closer else second.end, first, second)

    @staticmethod
    def _make_range(start: int, end: int, first: _Amount, second: _Amount) -> PriceLimit:
        low, high = sorted([first.value, second.value])
        return PriceLimit(start, end, low, high, second.currency or first.currency or None)

    def _limit_before(self, place: int, start: int) -> PriceLimit | None:
        """A limit such as "under 50": the word before the number."""
        most = self.words.max_before.match(self.tokens, start)
        least = self.words.min_before.match(self.tokens, start)
        phrase = max((found for found in (most, least) if found), key=lambda found: found.end, default=None)
        if phrase is None:
            return None
        after = phrase.end + 1 if self._is_sign(phrase.end, ":") else phrase.end
        amount = self._amount(after, check_unit=True)
        if amount is None or (not amount.has_currency and self._is_other_limit(place, start, amount)):
            return None
        closer = self.words.range_closers.match(self.tokens, amount.end)
        end = closer.end if closer else amount.end
        return _make_limit(place, end, amount, is_max=phrase is most)

    def _is_other_limit(self, place: int, start: int, amount: _Amount) -> bool:
        """Whether the number of a limit without currency is a size, a year or an age, or the end of a range."""
        is_middle = self.words.bare_middles.match(self.tokens, start) is not None
        if is_middle and place > 0 and self.tokens[place - 1].kind == "number":
            return True
        if self._has_label(place):
            return True
        if self._is_year(amount) and self.words.since.match(self.tokens, start):
            return True
        value = amount.value
        is_max = self.words.max_before.match(self.tokens, start) is not None
        adult = self.words.adults.match_before(self.tokens, place) and value in _ADULT_AGES and not is_max
        return adult or (self.words.children.match_before(self.tokens, place) and value in _CHILD_AGES)

    def _limit_after(self, place: int, start: int) -> PriceLimit | None:
        """A limit such as "50 or less": the words after the number."""
        amount = self._amount(start, check_unit=False)
        if amount is None:
            return None
        most = self.words.max_after.match(self.tokens, amount.end)
        least = self.words.min_after.match(self.tokens, amount.end)
        phrase = max((found for found in (most, least) if found), key=lambda found: found.end, default=None)
        if phrase is None:
            return None
        if not amount.has_currency and (
            self._has_label(place)
            or self.words.money_only.match(self.tokens, amount.end)
            or self.words.units.match(self.tokens, phrase.end)
        ):
            return None
        is_max = phrase is most
        return PriceLimit(
            place,
            phrase.end,
            None if is_max else amount.value,
            amount.value if is_max else None,
            amount.currency or None,
        )

    def _around(self, place: int, start: int) -> PriceLimit | None:
        """Both limits of "around 50"; after the number, as in 100元左右, only with a currency."""
        phrase = self.words.around.match(self.tokens, start)
        amount = self._amount(phrase.end if phrase else start, check_unit=True)
        if amount is None:
            return None
        if phrase is None:
            closer = self.words.around_after.match(self.tokens, amount.end) if amount.has_currency else None
            if closer is None:
                return None
            return _make_tolerant_limit(place, closer.end, amount)
        if not amount.has_currency and (
            self.words.money_only.match(self.tokens, start)
            or self._is_year(amount)
            or self._is_other_limit(place, start, amount)
        ):
            return None
        after = self.words.range_closers.match(self.tokens, amount.end)  # 约100元的
        return _make_tolerant_limit(place, after.end if after else amount.end, amount)

    # ---- parts

    def _amount(self, place: int, *, check_unit: bool) -> _Amount | None:
        """The number at a place, with its currency.

        Args:
            check_unit: refuse a number without currency that a unit follows, such as "5 kg".
        """
        start, currency = place, None
        if before := self.words.currencies.match(self.tokens, place):
            place, currency = before.end, before.value
        if written := self.words.number_words.match(self.tokens, place):
            return self._written_amount(start, written, currency, check_unit=check_unit)
        if place >= len(self.tokens) or self.tokens[place].kind != "number":
            return None
        number = self.tokens[place]
        if number.joined and currency is None and place == start and self._is_part_of_word(place):
            return None
        value = _parse_number(number.folded)
        if value is None:
            return None
        place += 1
        if place < len(self.tokens) and self.tokens[place].joined and self.tokens[place].folded == "k":
            value, place = value * 1000, place + 1
        if after := self.words.currencies.match(self.tokens, place):
            place, currency = after.end, currency or after.value
        elif currency is None and (self._is_joined_to_word(place) or (check_unit and self._has_unit(place))):
            return None
        return _Amount(start, place, value, currency, number.folded)

    def _written_amount(
        self, start: int, written: FoundPhrase, currency: str | None, *, check_unit: bool
    ) -> _Amount | None:
        """The amount of a number in words, such as "fifty dollars"."""
        place = written.end
        if after := self.words.currencies.match(self.tokens, place):
            place, currency = after.end, currency or after.value
        elif currency is None and check_unit and self._has_unit(place):
            return None
        return _Amount(start, place, float(written.value), currency, written.value)

    def _is_part_of_word(self, place: int) -> bool:
        """Whether a number is the end of a code, such as "P30" or "A-4"."""
        before = self.tokens[place - 1]
        if before.kind == "word":
            return not before.unspaced and not self.words.range_middles.match_before(self.tokens, place)
        is_code = place > 1 and before.folded in _DASHES and before.joined and self.tokens[place - 2].kind == "word"
        return is_code and not self.words.currencies.match_before(self.tokens, place - 1)

    def _is_joined_to_word(self, place: int) -> bool:
        """Whether letters follow a number without a space, as in 750ml."""
        token = self.tokens[place] if place < len(self.tokens) else None
        return token is not None and token.joined and token.kind == "word" and not token.unspaced

    def _has_unit(self, place: int) -> bool:
        if place >= len(self.tokens):
            return False
        token = self.tokens[place]
        following = self.tokens[place + 1] if place + 1 < len(self.tokens) else None
        if token.joined and token.folded in _MARKS_OF_UNITS:
            return True
        if token.joined and token.folded in _DASHES | {"/"} and following is not None and following.joined:
            return True  # 5-pack, 1/2
        return self.words.units.match(self.tokens, place) is not None

    def _middle(self, place: int, phrases: Phrases) -> int | None:
        """The place after the middle of a range."""
        if place < len(self.tokens) and self.tokens[place].folded in _DASHES:
            return place + 1
        found = phrases.match(self.tokens, place)
        return found.end if found else None

    def _has_label(self, place: int) -> bool:
        """Whether the word before a limit says that it is no price, such as "size"."""
        return self.words.labels.match_before(self.tokens, place)

    @staticmethod
    def _is_year(*amounts: _Amount) -> bool:
        return all(amount.text.isdigit() and int(amount.value) in _YEARS for amount in amounts)

    def _is_sign(self, place: int, sign: str) -> bool:
        return place < len(self.tokens) and self.tokens[place].folded == sign


def _make_limit(start: int, end: int, amount: _Amount, *, is_max: bool) -> PriceLimit:
    low, high = (None, amount.value) if is_max else (amount.value, None)
    return PriceLimit(start, end, low, high, amount.currency or None)


def _make_tolerant_limit(start: int, end: int, amount: _Amount) -> PriceLimit:
    low, high = (round(amount.value * share, 2) for share in (1 - _TOLERANCE, 1 + _TOLERANCE))
    return PriceLimit(start, end, low, high, amount.currency or None)


def _parse_number(text: str) -> float | None:
    """The value of digits with dots and commas; None if they are no number, such as 1.2.3."""
    if len(text) > _MAX_DIGITS:
        return None
    if _THOUSANDS.fullmatch(text) and len({sign for sign in text if not sign.isdigit()}) == 1:
        return float(re.sub("[.,]", "", text))
    marks = [sign for sign in text if sign in ".,"]
    if len(marks) > 1:
        last = max(text.rfind("."), text.rfind(","))
        whole, fraction = text[:last], text[last + 1 :]
        if not _THOUSANDS.fullmatch(whole) or text[last] in whole:
            return None
        return float(f"{re.sub('[.,]', '', whole)}.{fraction}")
    return float(text.replace(",", "."))
