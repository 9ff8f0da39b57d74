"""Names of columns in options and messages: in double quotes where a name has a separator or a quote.

The one form of `--map`, `--types`, `--columns`, `--drop` and `events add --map`: a double quote at the start of a name
opens a quotation, and a quote inside it is doubled. Anywhere else a quote is an ordinary character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache


def split_quoted(text: str, separators: str) -> Iterator[tuple[str, str]]:
    """Split a text at separators outside quotations: `a="b, c"` at ",=" gives ("a", "=") and ("b, c", "").

    Args:
        text: names with separators between them; blanks around a name are no part of it.
        separators: characters that end a name.

    Yields:
        Each name, which may be empty, and the separator after it; "" after the last one.

    Raises:
        ValueError: a quote is not closed, or text follows a quotation.
    """
    pattern, place = _pattern(separators), 0
    while True:
        match = pattern.match(text, place)
        if match is None:
            is_open = text[place:].replace('""', "").count('"') == 1
            fault = "a quote is not closed" if is_open else "there is text beside a quoted name"
            raise ValueError(f'{text!r}: {fault}; write a name with a comma as "a, b", and a quote in it as ""')
        quoted, plain, separator = match.group("quoted", "plain", "separator")
        yield plain.strip() if quoted is None else quoted.replace('""', '"'), separator
        if not separator:
            return
        place = match.end()


def split_names(texts: Iterable[str]) -> list[str]:
    """Split lists of names at commas: `title,"price, net"` has two names. Empty names are left out.

    Raises:
        ValueError: a quote is not closed, or text follows a quotation.
    """
    return [name for text in texts for name, _ in split_quoted(text, ",") if name]


def quote_name(name: str) -> str:
    """Write a name as `split_quoted` reads it: in quotes if it has a separator or a quote, or a blank at an end."""
    return '"' + name.replace('"', '""') + '"' if re.search(r'[",+=]|^\s|\s$', name) else name


@cache
def _pattern(separators: str) -> re.Pattern[str]:
    signs = re.escape(separators)
    return re.compile(rf'\s*(?:"(?P<quoted>(?:[^"]|"")*+)"\s*|(?P<plain>(?!")[^{signs}]*))(?P<separator>[{signs}]|\Z)')
