"""Names and values of shops' exports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

CANONICAL: Final = frozenset(
    (
        *("item_id", "kind", "title", "text", "images", "videos", "created_at", "starts_at", "expires_at"),
        "timed_products",
        *("group_id", "price", "sale_price", "category", "currency"),
    )
)
"""Columns whose meaning is fixed; an option or attribute of such a name is called `option_…`."""

_NOT_IN_NAMES: Final = re.compile(r"[\s.`\x00-\x1f\x7f-\x9f]+")
_ZERO: Final = re.compile(r"[\s0.,]*")


def option_column(name: str, taken: Iterable[str] = ()) -> str:
    """The column for an option or attribute: lower case, without characters that a column's name cannot have.

    Args:
        name: as the shop calls it, such as "Color".
        taken: columns that exist already.

    Returns:
        Such as "color"; "option_title" for "Title", because a title is something else.
    """
    column = _NOT_IN_NAMES.sub("_", name.strip().lower()).strip("_") or "option"
    return f"option_{column}" if column in CANONICAL or column in taken else column


def cell_text(value: object) -> str | None:
    """A cell as text without blanks around it; None if it is empty. Whole numbers lose their `.0`."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def price_text(value: object) -> str | None:
    """A price as text; None if it is missing or zero, because a shop writes zero for a price that is not set."""
    text = cell_text(value)
    return None if text is None or _ZERO.fullmatch(text) else text


def plain_header(name: str) -> str:
    """A column name for comparisons: lower case, single blanks."""
    return " ".join(name.lower().split())


def count_notes(left_out: Mapping[str, int]) -> list[str]:
    """Sentences about rows left out, by reason."""
    return [f"{count:,} left out: {reason}" for reason, count in left_out.items()]
