"""Apply what the rules understand of a query to its search: price filter, words to avoid, and the text that is left.

`firstsight.understanding.queries` finds the parts of a text. Here they meet the database and the other settings of the
query:

- Prices become a filter if the database has numbers in `price`. A filter of the caller over that column replaces it.
- Words to avoid are added to `minus`, so they lower the score. Mode words has no `minus`; there they stay in the text.
- Colour words stay in the text that is searched by, since titles and pictures have colours too.
- A text that is the name of an item, such as "Over 50 Vitamins", stays whole.
- If no item passes the price filter, the search goes without it and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow.types as pat

from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.item_names import is_item_name
from firstsight.storage.sql.conditions import quote_name
from firstsight.storage.store import Store
from firstsight.understanding.queries.understand_query import understand_query
from firstsight.understanding.queries.understood_query import UnderstoodQuery

PRICE_COLUMN: Final = "price"
SALE_PRICE_COLUMN: Final = "sale_price"


@dataclass(frozen=True)
class UnderstoodSearch:
    """A query as it is searched, and what was understood of it."""

    query: Query  # with the text that is left and the words to avoid
    condition: str | None = None  # SQL condition of the price limits
    understood: Mapping[str, Any] | None = None  # plain values for the answer; None if nothing was understood

    def without_condition(self) -> UnderstoodSearch:
        """The search without its price filter, for a database in which no item passes it."""
        return replace(self, condition=None, understood={**(self.understood or {}), "unmet": ["price"]})


def understand_search(store: Store, query: Query) -> UnderstoodSearch:
    """Understand the text of a query and apply it to the other settings.

    Makes no call to the database if the text has no word of a rule.

    Args:
        query: a query whose filter can be read.
    """
    if not query.understand or query.text is None or query.text_weight == 0:
        return UnderstoodSearch(query)
    prices = _has_numbers(store, PRICE_COLUMN) and not _filters_price(query)
    found = understand_query(query.text, prices=prices, negations=query.resolved_mode != "words")
    if not found.spans or _is_name(store, query.text, found):
        return UnderstoodSearch(query)
    condition = _price_condition(store, found) if found.has_limits else None
    minus = dict.fromkeys([*query.minus, *found.minus])
    return UnderstoodSearch(
        replace(query, text=_text_to_search(query, found), minus=tuple(minus)), condition, _plain(found)
    )


def _text_to_search(query: Query, found: UnderstoodQuery) -> str | None:
    if found.search_text:
        return found.search_text
    # "under 20" alone: its words rank the items that pass the filter, unless there is something better to rank by
    others = query.images or query.videos or query.items or query.vectors
    return None if others and query.mode in {None, "vector"} else query.text


def _is_name(store: Store, text: str, found: UnderstoodQuery) -> bool:
    phrases = [text[span.start : span.end] for span in found.spans if span.slot != "colour"]
    return bool(phrases) and is_item_name(store, text, phrases)


def _has_numbers(store: Store, name: str) -> bool:
    schema = store.items.schema
    if name not in schema.names:
        return False
    kind = schema.field(name).type
    return bool(pat.is_floating(kind) or pat.is_integer(kind))


def _filters_price(query: Query) -> bool:
    if query.where is None:
        return False
    from firstsight.storage.sql.condition_parser import columns_of  # imports sqlglot: only if there is a filter

    return not columns_of(query.where).isdisjoint({PRICE_COLUMN, SALE_PRICE_COLUMN})


def _price_condition(store: Store, found: UnderstoodQuery) -> str:
    """The condition that the price a customer pays is within the limits: the sale price of items that have one."""
    price = quote_name(PRICE_COLUMN)
    if _has_numbers(store, SALE_PRICE_COLUMN):
        price = f"COALESCE({quote_name(SALE_PRICE_COLUMN)}, {price})"
    limits = [(">=", found.min_price), ("<=", found.max_price)]
    return " AND ".join(f"{price} {sign} {float(limit)!r}" for sign, limit in limits if limit is not None)


def _plain(found: UnderstoodQuery) -> dict[str, Any]:
    return {
        "text": found.text,
        "colours": list(found.colours),
        "minus": list(found.minus),
        "min_price": found.min_price,
        "max_price": found.max_price,
        "currency": found.currency,
        "unmet": [],
    }


def describe_understood(understood: Mapping[str, Any]) -> str:
    """One line about what was understood, such as "running shoes, colour red, without nike, price at most 50".

    Args:
        understood: `SearchResults.understood`.
    """
    parts = [understood["text"]] if understood["text"] else []
    if understood["colours"]:
        parts.append(f"colour {' or '.join(understood['colours'])}")
    if understood["minus"]:
        parts.append(f"without {', '.join(understood['minus'])}")
    low, high = understood["min_price"], understood["max_price"]
    if low is not None and high is not None:
        parts.append(f"price {low:g} to {high:g}")
    elif low is not None or high is not None:
        parts.append(f"price at least {low:g}" if high is None else f"price at most {high:g}")
    line = ", ".join(parts)
    return f"{line} (no item has such a price; shown without the limit)" if "price" in understood["unmet"] else line
