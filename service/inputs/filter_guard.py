"""What the filter of a request may say: conditions over the catalogue's columns, with functions that cost little.

A filter is SQL that LanceDB evaluates in this process. For the person at the command line that is a convenience; for
whoever may send a request, `repeat(title, 1000000000)` ends the process, and `catalog_dir LIKE '/srv/a%'` spells out
the folders of this machine. So functions are of a list, and columns that are not told are not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from firstsight.errors import QueryError
from firstsight.storage.sql.conditions import ConditionLimits
from firstsight.storage.tables import HIDDEN_COLUMNS

FUNCTIONS: Final = frozenset(
    {
        "abs", "array_contains", "array_has", "array_has_all", "array_has_any", "array_length", "btrim", "ceil",
        "char_length", "character_length", "coalesce", "current_date", "date_part", "date_trunc", "ends_with", "floor",
        "left", "length", "lower", "ltrim", "now", "nullif", "regexp_like", "regexp_match", "right", "round", "rtrim",
        "starts_with", "strpos", "substr", "substring", "to_timestamp", "trim", "upper",
    }
)  # fmt: skip
"""What a filter may call: nothing whose result is much longer than what goes in."""

UNAVAILABLE_COLUMNS: Final = HIDDEN_COLUMNS - {"indexed_at"}
"""Columns that a request may not ask for: they tell of this machine, or of how items are stored."""

MODERATOR_COLUMNS: Final = frozenset({"safety_scores", "safety_policy_version"})
"""Columns that the scope moderate alone may see and ask for. The decision stays: pages blur what waits for review."""

MAX_VALUES: Final = 2_000
"""Values in one list after IN."""

MAX_TOKENS: Final = 5_000
"""Words, values and signs of a filter: parsing 5,000 takes 50 ms."""


def check_filter(where: str, *, moderates: bool) -> None:
    """Refuse a filter with functions or columns that a request cannot use, or with too much in it.

    Args:
        moderates: whether the request has the scope moderate.

    Raises:
        QueryError: naming what is refused, its place and what there is to use.
    """
    from firstsight.storage.sql.condition_parser import parse_condition  # imports sqlglot: only if there is a filter

    parse_condition(where, _LIMITS[moderates])


def check_visible_column(column: str | None, *, moderates: bool) -> None:
    """Refuse a column that is not told to whoever asks.

    Raises:
        QueryError: naming it.
    """
    check_available(
        (column or "").lower(), UNAVAILABLE_COLUMNS if moderates else UNAVAILABLE_COLUMNS | MODERATOR_COLUMNS
    )


def visible_columns(columns: Mapping[str, Any], *, moderates: bool) -> dict[str, Any]:
    """An item's columns, as far as whoever asks may see them."""
    return {name: value for name, value in columns.items() if moderates or name not in MODERATOR_COLUMNS}


def check_available(name: str, unavailable: frozenset[str]) -> None:
    """Refuse the lower-case name of a column that is not told, or that is LanceDB's own.

    Raises:
        QueryError: naming it.
    """
    if name in unavailable or name.startswith("_"):
        raise QueryError(f"{name!r} is no column to ask for; see GET /catalogue for those that are")


_LIMITS: Final = {
    moderates: ConditionLimits(
        functions=FUNCTIONS,
        hidden_columns=UNAVAILABLE_COLUMNS if moderates else UNAVAILABLE_COLUMNS | MODERATOR_COLUMNS,
        max_values=MAX_VALUES,
        max_tokens=MAX_TOKENS,
        hint="see GET /catalogue for the columns that filters can use",
    )
    for moderates in (False, True)
}
