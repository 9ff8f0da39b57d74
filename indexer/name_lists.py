"""Lists of column names on the command line: separated by commas, in double quotes where a name has a comma."""

from __future__ import annotations

from collections.abc import Sequence


def split_names(texts: Sequence[str]) -> list[str]:
    """Split lists of names, as of `--columns` and `--types`.

    `title,"price, net"` has two names, and `"price, net"=number` is one entry. A double quote opens a quotation at the
    start of an entry or after `=`; inside quotes it is doubled. Blanks around entries and empty entries are left out.

    Raises:
        ValueError: a quote is not closed.
    """
    return [name for text in texts for name in _split(text)]


def _split(text: str) -> list[str]:
    names, part, place = [], "", 0
    while place < len(text):
        sign = text[place]
        if sign == '"' and (not part.strip() or part.endswith("=")):
            quoted, place = _quotation(text, place)
            part = part.lstrip() + quoted
        elif sign == ",":
            names.append(part)
            part, place = "", place + 1
        else:
            part, place = part + sign, place + 1
    return [name.strip() for name in [*names, part] if name.strip()]


def _quotation(text: str, start: int) -> tuple[str, int]:
    """The text of a quotation, and the place after it."""
    inside, place = "", start + 1
    while place < len(text):
        if text[place] != '"':
            inside, place = inside + text[place], place + 1
        elif text[place + 1 : place + 2] == '"':
            inside, place = inside + '"', place + 2
        else:
            return inside, place + 1
    raise ValueError(
        f"{text!r} has a double quote without an end; put a name with a comma in double quotes, and double a quote "
        'inside it, such as title,"price, net"'
    )
