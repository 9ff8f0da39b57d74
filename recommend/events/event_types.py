"""Types of events under one set of names, whatever a log calls them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from firstsight.errors import QueryError

EVENT_TYPES = (
    "other",
    "view",
    "click",
    "watch",
    "like",
    "share",
    "follow",
    "comment",
    "cart",
    "purchase",
    "gift",
    "search click",
)
"""Types that models distinguish; the position of a name is its code. New names go to the end, since models store codes.

"other" is an event without a type, or with a name that is not in `SYNONYMS`.
"""

SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "view_item": "view",
        "pageview": "view",
        "page_view": "view",
        "detail": "view",
        "select_item": "click",
        "play": "watch",
        "long_view": "watch",
        "complete": "watch",
        "favorite": "like",
        "favourite": "like",
        "fav": "like",
        "wishlist": "like",
        "add_to_wishlist": "like",
        "collect": "like",
        "forward": "share",
        "subscribe": "follow",
        "add_to_cart": "cart",
        "addtocart": "cart",
        "add to cart": "cart",
        "buy": "purchase",
        "order": "purchase",
        "transaction": "purchase",
        "pay": "purchase",
        "search": "search click",  # with an item: a search alone is no event on an item
        "search_click": "search click",
    }
)
"""Names of the same types in the logs of other systems, in lower case."""

TYPE_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "other": 1.0,
        "view": 0.5,
        "click": 1.0,
        "watch": 1.0,
        "like": 1.5,
        "share": 1.5,
        "follow": 1.5,
        "comment": 1.25,
        "cart": 1.5,
        "purchase": 2.0,
        "gift": 2.0,
        "search click": 1.0,
    }
)
"""What an event of each type says about a user's taste, times the weight of the event; `events weights` changes it.

The values are a cautious guess: no public log with these types, contents and searches has measured them.
"""

MAX_TYPE_WEIGHT = 100.0

_CODE_OF = {name: code for code, name in enumerate(EVENT_TYPES)}


def type_code(name: str | None) -> int:
    """Return the code of an event type: its index in `EVENT_TYPES`; 0 for no name and for an unknown one."""
    if name is None:
        return 0
    plain = name.strip().lower()
    return _CODE_OF.get(SYNONYMS.get(plain, plain), 0)


def check_type_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Check weights by event type, and complete them with the default weights.

    Raises:
        QueryError: a type is unknown, or a weight is not above 0 and up to `MAX_TYPE_WEIGHT`.
    """
    for name, weight in weights.items():
        if name not in TYPE_WEIGHTS:
            raise QueryError(f"there is no event type {name!r} to weigh; the types are {', '.join(EVENT_TYPES)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= MAX_TYPE_WEIGHT:
            raise QueryError(
                f"a weight of {weight!r} for {name} is out of range; give a number above 0, up to {MAX_TYPE_WEIGHT:g}"
            )
    return {name: float(weights.get(name, TYPE_WEIGHTS[name])) for name in EVENT_TYPES}
