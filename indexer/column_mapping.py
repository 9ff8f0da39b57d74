"""The text of `--map`: pairs of OURS=THEIRS, where names with commas or other separators stand in quotes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from firstsight.errors import CatalogError

_PIECE = re.compile(r'"(?:[^"]|"")*"|[^",+=]+|[,+=]|"')


@dataclass(frozen=True)
class ColumnPair:
    """One pair of a mapping.

    Attributes:
        ours: the name of the column in firstsight.
        theirs: names of the file's columns; several if they are joined with +.
        shown: the pair as it was written.
    """

    ours: str
    theirs: tuple[str, ...]
    shown: str


def parse_column_pairs(text: str) -> list[ColumnPair]:
    """Parse `title=name,images=front+back`; empty pairs are skipped.

    A name with a comma, `+`, `=` or a blank at its end stands in double quotes: `title="name, long",price="a+b"`. A
    quote inside quotes is doubled.

    Raises:
        CatalogError: the text has another form.
    """
    return [_pair(pieces) for pieces in _split(text) if "".join(pieces).strip()]


def quote_column(name: str) -> str:
    """Write a name as `parse_column_pairs` reads it: in quotes if it has a separator."""
    return '"' + name.replace('"', '""') + '"' if re.search(r'[",+=]|^\s|\s$', name) else name


def _split(text: str) -> Iterator[list[str]]:
    pieces: list[str] = []
    for match in _PIECE.finditer(text):
        piece = match.group()
        if piece == '"':
            raise CatalogError(
                f'--map {text!r}: a quote is not closed; write names as "a, b", and a quote in them as ""'
            )
        if piece == ",":
            yield pieces
            pieces = []
        else:
            pieces.append(piece)
    yield pieces


def _pair(pieces: list[str]) -> ColumnPair:
    shown = "".join(pieces).strip()
    sides: list[list[str]] = [[]]  # the names on each side of "="
    name: str | None = None
    for piece in [*pieces, "+"]:
        if piece in {"=", "+"}:
            sides[-1].append(name or "")
            name = None
            if piece == "=":
                sides.append([])
        elif piece.startswith('"') and not (name or "").strip():
            name = piece[1:-1].replace('""', '"')
        elif piece.strip():
            name = piece.strip() if name is None else ""  # text beside a quoted name
    if len(sides) != 2 or len(sides[0]) != 1 or not all(sides[0] + sides[1]):
        raise CatalogError(
            f'--map {shown!r} is not of the form OURS=THEIRS, such as title=name; quote names with signs: title="a, b"'
        )
    return ColumnPair(sides[0][0], tuple(sides[1]), shown)
