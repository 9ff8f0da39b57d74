"""Prices as shops write them: `57.00 USD`, `€ 1.234,50`, `1 299,00 kr`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

from firstsight.indexer.columns.currencies import ISO_CODES, currency_code, is_currency
from firstsight.indexer.columns.html_text import as_plain_line

DecimalMark = Literal[".", ","]

MAX_NO_PRICES: Final = 0.05
"""Share of the values of a price column that may be no prices; they are left empty."""

FREE: Final = frozenset({"free", "gratis", "kostenlos", "gratuit", "gratuito", "umsonst"})
"""Texts that mean a price of 0."""

_NO_PRICE: Final = frozenset(("n/a", "na", "nan", "none", "null", "nil", "-", "–", "—", "--", "#n/a"))
"""Texts that mean an empty cell."""

_TAX_NOTE: Final = re.compile(
    r"\s*(?:\*+|\(?\b(?:inkl|incl|inc)\b\.?[^\d]*|\(?\b(?:ttc|brutto|gross)\b\)?)\s*$", re.IGNORECASE
)
"""A note on taxes after a price, such as "inkl. MwSt." or an asterisk."""

_GAPS: Final = "\\s'’`\u00a0\u2009\u202f"
_NUMBER: Final = rf"(?:\d(?:[\d.,{_GAPS}]*\d)?|[.,]\d+)"
_TEXT: Final = r"[^\d\s.,+\-−][^\d+\-−]{0,9}?"
_CELL: Final = re.compile(
    rf"(?P<sign>[+\-−])?\s*(?P<before>{_TEXT})?\s*(?P<inner_sign>[+\-−])?\s*(?P<number>{_NUMBER})(?P<dash>[.,][-–—]{{1,2}})?"
    rf"\s*(?P<after>{_TEXT})?"
)
_EXPONENT: Final = re.compile(r"[+-]?\d+(?:\.\d+)?[eE][+-]?\d{1,2}")
_THREE_DECIMALS: Final = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_GROUPED: Final = re.compile(r"[1-9]\d{0,2}(?:[.,]\d{3})+")
_DIRECTION_MARKS: Final = "\u200e\u200f"  # around Arabic symbols
_MAX_LENGTH: Final = 60  # characters of a cell with a price
_AMOUNT_KEYS: Final = ("amount", "value", "price", "raw", "current", "regular", "min")
_CURRENCY_KEYS: Final = ("currency_code", "currencycode", "currency")


@dataclass(frozen=True)
class Price:
    """A parsed price."""

    amount: float
    currency: str | None = (
        None  # ISO 4217 code if the text has one or its symbol belongs to one currency; else the symbol
    )


class NoPriceError(ValueError):
    """A value is not a single price."""


def parse_price(value: object, mark: DecimalMark = ".") -> Price | None:
    """Parse a cell with one price; None for an empty cell.

    Args:
        value: a number, a text such as "1.299,00 EUR", or an object such as {"amount": "57.00", "currency": "USD"}.
        mark: the decimal mark of the column, for texts such as 1.299 that can be read in two ways.

    Raises:
        NoPriceError: the value is no price, or more than one, such as "3 for 10" or "10 - 20 EUR".
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        raise NoPriceError(f"{value!r} is no price")
    if isinstance(value, int | float | Decimal):
        amount = float(value)
        if not math.isfinite(amount):
            raise NoPriceError(f"{value!r} is no price")
        return Price(amount)
    if isinstance(value, Mapping):
        return _of_object(value, mark)
    if isinstance(value, list) and len(value) == 1:
        return parse_price(value[0], mark)
    if not isinstance(value, str):
        raise NoPriceError(f"{value!r:.60} is no price")
    return _of_text(value, mark)


@lru_cache(maxsize=10_000)  # prices of a catalogue repeat
def _of_text(value: str, mark: DecimalMark) -> Price | None:
    text = value.strip()
    if "<" in text or "&" in text:
        text = as_plain_line(text)
    text = _TAX_NOTE.sub("", text).strip()
    if not text or text.lower() in _NO_PRICE:
        return None
    if text.lower() in FREE:
        return Price(0.0)
    if _EXPONENT.fullmatch(text):
        return Price(float(text))
    found = _CELL.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if found is None:
        raise NoPriceError(f"{value!r:.60} is no single price")
    currency = _currency([found["before"], found["after"]], value)
    if found["dash"] and _GROUPED.fullmatch(found["number"]):
        mark = "," if "." in found["number"] else "."  # 1.299,-
    amount = _amount(found["number"], mark, value)
    return Price(-amount if {found["sign"], found["inner_sign"]} & {"-", "−"} else amount, currency)


def decimal_mark(values: Iterable[object]) -> DecimalMark:
    """Decide the decimal mark of a column from its values; a dot if nothing decides.

    1.234 alone can be read in two ways. A column with 12,50 or 1.234,00 has a decimal comma, one with 12.50 or 1,234.00
    a decimal dot. If all values are like 1.234 and they have a currency, the dot separates thousands.
    """
    votes = {".": 0, ",": 0}
    grouped_with_currency = {".": 0, ",": 0}
    plain = False
    for value in values:
        found = _CELL.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= _MAX_LENGTH else None
        if found is None:
            continue
        number = re.sub(f"[{_GAPS}]", "", found["number"])
        if mark := _certain_mark(number):
            votes[mark] += 1
        elif _GROUPED.fullmatch(number):
            currencies = [found["before"], found["after"]]
            if any(currencies) and not _THREE_DECIMALS & {(text or "").strip().upper() for text in currencies}:
                grouped_with_currency["." if "." in number else ","] += 1
            plain = plain or not any(currencies)
    if votes["."] != votes[","]:
        return "," if votes[","] > votes["."] else "."
    return "," if grouped_with_currency["."] and not plain else "."


def _certain_mark(number: str) -> DecimalMark | None:
    """The decimal mark of a number that can be read in only one way."""
    dots, commas = number.count("."), number.count(",")
    if dots and commas:
        return "." if number.rindex(".") > number.rindex(",") else ","
    if dots + commas > 1:
        return "," if dots else "."  # 1.234.567: the repeated mark separates thousands
    if dots + commas == 1 and not _GROUPED.fullmatch(number):
        return "." if dots else ","
    return None


def _amount(number: str, mark: DecimalMark, value: str) -> float:
    compact = re.sub(f"[{_GAPS}]", "", number)
    if compact != number and not re.fullmatch(rf"\d{{1,3}}(?:[{_GAPS}]\d{{3}})+(?:[.,]\d+)?", number):
        raise NoPriceError(f"{value!r} is no single price")  # such as "10 20"
    mark = _certain_mark(compact) or mark
    if _GROUPED.fullmatch(compact) and mark == "." and "," not in compact:
        return float(compact)  # 1.234 with a decimal dot
    other = "," if mark == "." else "."
    whole, _, fraction = compact.partition(mark)
    if mark in fraction or other in fraction:
        raise NoPriceError(f"{value!r} is no single price")
    # groups of two digits are Indian: 1,23,456.00
    if other in whole and not re.fullmatch(rf"\d{{1,3}}(?:\{other}\d{{2,3}})*\{other}\d{{3}}", whole):
        raise NoPriceError(f"{value!r} is no single price")
    return float(f"{whole.replace(other, '') or '0'}.{fraction or '0'}")


def _currency(texts: Iterable[str | None], value: str) -> str | None:
    """The currency of the texts beside the number.

    Raises:
        NoPriceError: one of them is no currency, as in "from 10" or "10 per kg".
    """
    codes = []
    for text in texts:
        if text and (plain := "".join(text.split()).strip(_DIRECTION_MARKS)):
            forms = [form for form in (plain, plain.rstrip(".:")) if is_currency(form)]
            if not forms:
                raise NoPriceError(f"{value!r} is no single price ({text.strip()!r} is no currency)")
            codes.append(currency_code(forms[-1]))
    return next((code for code in codes if code in ISO_CODES), codes[0] if codes else None)


def _of_object(value: Mapping[object, object], mark: DecimalMark) -> Price | None:
    by_key = {str(key).lower(): nested for key, nested in value.items()}
    nested = next((by_key[key] for key in _AMOUNT_KEYS if not isinstance(by_key.get(key), None | Mapping)), None)
    if nested is None:
        raise NoPriceError(f"{value!r:.60} has no amount")
    price = parse_price(nested, mark)
    currency = next((by_key[key] for key in _CURRENCY_KEYS if isinstance(by_key.get(key), str)), None)
    return price if price is None or currency is None else Price(price.amount, currency_code(str(currency)))
