"""What the filter of a request may say: conditions over the catalogue's columns, with functions that cost little.

A filter is SQL that LanceDB evaluates in this process. For the person at the command line that is a convenience; for
whoever may send a request, `repeat(title, 1000000000)` ends the process, and `catalog_dir LIKE '/srv/a%'` spells out
the folders of this machine. So functions are of a list, and columns that are not told are not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from firstsight.errors import QueryError
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

_BEFORE_PARENTHESIS: Final = frozenset(
    {
        "all", "and", "any", "between", "case", "cast", "char", "decimal", "else", "ilike", "in", "is", "like", "not",
        "numeric", "or", "then", "try_cast", "varchar", "when",
    }
)  # fmt: skip
"""Words that stand before a parenthesis and are no functions."""

_TOKEN: Final = re.compile(
    r"(?P<literal>'(?:[^'\\]|''|\\(?!'))*')"
    r"|(?P<quoted>\"[^\"]*\"|`[^`]*`)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<number>\d[\w.]*)"
    r"|(?P<sign>[-+*/%<>=!|,.:()\[\]])"
    r"|(?P<other>\S)"
)


def check_filter(where: str, *, moderates: bool) -> None:
    """Refuse a filter that calls what it may not, or asks for what is not told.

    Args:
        moderates: whether it comes with the scope moderate.

    Raises:
        QueryError: naming what it may not say.
    """
    unavailable = UNAVAILABLE_COLUMNS if moderates else UNAVAILABLE_COLUMNS | MODERATOR_COLUMNS
    name = ""  # the one that ends just here
    for kind, text in _tokens(where):
        if kind == "other":
            raise QueryError(f"a filter has no {text!r} in it; give a condition such as price < 50")
        if text == "(" and name and name not in FUNCTIONS | _BEFORE_PARENTHESIS:
            raise QueryError(f"a filter does not call {name[:40]!r}; it may call {', '.join(sorted(FUNCTIONS))}")
        name = text.strip('"`').lower() if kind in ("word", "quoted") else ""
        check_available(name, unavailable)


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


def _tokens(where: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(where):
        assert found.lastgroup is not None
        yield found.lastgroup, found.group()
