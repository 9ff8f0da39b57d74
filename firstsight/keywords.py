"""Checks of arguments: keyword arguments against a TypedDict, and lists of texts."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from firstsight.errors import QueryError


def check_keywords(call: str, given: Mapping[str, object], known: type) -> None:
    """Refuse keyword arguments that a TypedDict lacks.

    Args:
        call: name of the called function, such as "search".
        given: the keyword arguments of the call.
        known: a TypedDict; its keys are the allowed names.

    Raises:
        TypeError: a name is not a key of `known`. The message suggests a similar key if there is one.
    """
    for name in given:
        if name not in known.__annotations__:
            similar = difflib.get_close_matches(name, known.__annotations__, n=1)
            hint = f"; did you mean {similar[0]!r}?" if similar else ""
            raise TypeError(f"{call}() got an unexpected keyword argument {name!r}{hint}")


def check_texts(name: str, values: Collection[str]) -> None:
    """Refuse a text in place of a list of texts, whose letters would count as texts, and values that are no texts.

    Args:
        name: of the argument, such as "item_ids".
        values: its value.

    Raises:
        QueryError: `values` is a text or no list, or a value in it is no text.
    """
    if isinstance(values, str):
        raise QueryError(f"{name} must be a list, not {values[:80]!r}; give [{values[:80]!r}]")
    if not isinstance(values, Collection) or isinstance(values, bytes):
        raise QueryError(f"{name} must be a list, not {repr(values)[:80]}")
    for value in values:
        if not isinstance(value, str):
            raise QueryError(f"{name} holds {repr(value)[:80]}, which is not a string")
