"""The result of query understanding: text, colours, words to avoid, and price limits, each with its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from firstsight.records import Record

Slot = Literal["colour", "minus", "price", "filler"]


@dataclass(frozen=True)
class QuerySpan(Record):
    """A stretch of a query that a rule used.

    `filler` is a word that asks for nothing that can be searched, such as "cheap".
    """

    slot: Slot
    start: int  # first character in the query
    end: int  # place after the last one


@dataclass(frozen=True)
class UnderstoodQuery(Record):
    """A query in parts. Without spans, `text` is the query itself and nothing was understood.

    Every word of the query is in `text` or in one of `spans`.
    """

    text: str  # what is left; may be empty if all words are in slots
    search_text: str  # the text with its colour words, as it is compared with items
    colours: tuple[str, ...] = ()  # English names: black, white, gray, brown, beige, red, orange, yellow, green, …
    minus: tuple[str, ...] = ()  # texts to avoid
    min_price: float | None = None
    max_price: float | None = None
    currency: str | None = None  # ISO 4217 code; None if the query names none, or one that several countries have
    spans: tuple[QuerySpan, ...] = ()

    @property
    def has_limits(self) -> bool:
        """Whether there is a price limit."""
        return self.min_price is not None or self.max_price is not None
