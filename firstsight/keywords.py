"""Check of keyword arguments against a TypedDict."""

from __future__ import annotations

import difflib
from collections.abc import Mapping


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
