"""Types of events under one set of names, whatever a log calls them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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

_CODE_OF = {name: code for code, name in enumerate(EVENT_TYPES)}


def type_code(name: str | None) -> int:
    """Return the code of an event type: its index in `EVENT_TYPES`; 0 for no name and for an unknown one."""
    if name is None:
        return 0
    plain = name.strip().lower()
    return _CODE_OF.get(SYNONYMS.get(plain, plain), 0)
