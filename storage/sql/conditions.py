"""Limits of SQL conditions on rows, and helpers for conditions that the program itself writes.

`condition_parser.py` parses the conditions of users. It imports sqlglot, so import it only if there is a condition.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from firstsight.errors import QueryError

T = TypeVar("T")

IDS_PER_LOOKUP = 1_000
"""Values in one `IN (…)`: the planner's time grows with the list."""

SHOWN_CHARACTERS = 200
"""Characters of a filter that a message repeats."""

_EXAMPLE: Final = "give a condition such as price < 50"


@dataclass(frozen=True)
class ConditionLimits:
    """Functions, columns and sizes that a condition may use."""

    functions: frozenset[str] | None = None  # lower case; None: every function of LanceDB
    hidden_columns: frozenset[str] | None = None  # lower case, and all names that start with _; None: no column
    max_values: int | None = None  # in one list after IN
    max_tokens: int | None = None  # words, values and signs
    hint: str = ""  # the end of messages about columns, such as the names of all columns


class RefusalError(Exception):
    """Why a condition is refused; `parse_condition` makes it a QueryError that names the condition."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem  # follows "the filter '…'"
        self.remedy = remedy  # empty: the hint of the limits

    def error(self, text: str, limits: ConditionLimits) -> QueryError:
        return QueryError(f"the filter {shortened(text)!r} {self.problem}; {self.remedy or limits.hint or _EXAMPLE}")


# ---- conditions that the program writes itself


def quote(text: str) -> str:
    """A text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quote_name(name: str) -> str:
    """The name of a column or function as SQL."""
    return "`" + name.replace("`", "``") + "`"


def literal(value: object) -> str:
    """A text, number, flag or time as a SQL literal.

    Raises:
        TypeError: the value has a type that no column has.
    """
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, datetime):
        return f"timestamp {quote(value.isoformat())}"
    if isinstance(value, int | float):  # a bool is an int
        return str(value)
    raise TypeError(f"{type(value).__name__} is no kind of column")


def one_of(values: Collection[object]) -> str:
    """`IN (…)` with at least one value."""
    return f"IN ({', '.join(map(literal, values))})"


def is_in(column: str, values: Collection[object]) -> str:
    """The condition that a column has one of these values. Without values, no row fulfils it.

    Args:
        column: a name that the program chose, from `quote_name` unless it is a plain word.
    """
    return f"{column} {one_of(values)}" if values else "false"


def in_chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Values in parts of `IDS_PER_LOOKUP`, each for one `is_in`."""
    return (values[start : start + IDS_PER_LOOKUP] for start in range(0, len(values), IDS_PER_LOOKUP))


def shortened(text: str) -> str:
    """A filter as messages repeat it."""
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
