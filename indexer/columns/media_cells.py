"""Read the addresses of pictures and videos from cells: texts, lists, nested values and embedded files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from firstsight.errors import CatalogError
from firstsight.indexer.columns.media_values import MediaField, MediaFinder, address_in, is_no_medium, parse_nested
from firstsight.indexer.formats.source import EmbeddedMedium

_MAX_DEPTH = 8


@dataclass(frozen=True)
class MediaColumn:
    """A column that is read as pictures or videos."""

    name: str
    field: MediaField
    guessed: bool  # else the user or the exact name says so, and a wrong cell is an error
    separators: tuple[str, ...] = ()  # seen in its cells, best first
    hinted: bool = True  # an address without an extension is a picture
    alternative: bool = False  # used only for items without a medium from the columns before it


def read_media(
    value: object, column: MediaColumn, finder: MediaFinder, list_separator: str | None
) -> Iterator[tuple[MediaField, str | EmbeddedMedium]]:
    """Yield the media of a cell with the field of each.

    A guessed column may hold both pictures and videos; the extension decides.

    Args:
        list_separator: splits every cell, if given; None: as `MediaFinder.split` finds.

    Raises:
        CatalogError: the cell of a column that is not guessed has another form.
    """
    for medium in _texts(value, column, 0):
        if isinstance(medium, EmbeddedMedium):
            yield column.field, medium
            continue
        text, nested = medium
        if nested:
            pieces = [text]
        elif list_separator is not None:
            pieces = [piece.strip() for piece in text.split(list_separator)]
        else:
            pieces = finder.split(text, column.separators, column.hinted)
        for piece in pieces:
            if not is_no_medium(piece):
                field = finder.field_of_address(piece, hinted=False) if column.guessed else None
                yield field or column.field, finder.as_address(piece)


def _texts(value: object, column: MediaColumn, depth: int) -> Iterator[tuple[str, bool] | EmbeddedMedium]:
    """Yield each text in a value, and whether it stands in a list or object, so that it is one address."""
    if value is None or value != value or (isinstance(value, str) and is_no_medium(value)):
        return
    if isinstance(value, EmbeddedMedium):
        yield value
    elif isinstance(value, str):
        text = value.strip()
        if text[0] in "[{" and depth < _MAX_DEPTH:
            nested = parse_nested(text)
            if nested is not None:
                yield from _texts(nested, column, depth + 1)
                return
            if not column.guessed:
                raise CatalogError(f"{column.field} starts with {text[0]} but is not a JSON list ({_json_error(text)})")
        yield text, depth > 0
    elif isinstance(value, Mapping) and depth < _MAX_DEPTH:
        yield from _texts(address_in(value)[1], column, depth + 1)
    elif isinstance(value, list | tuple) and depth < _MAX_DEPTH:
        for entry in value:
            yield from _texts(entry, column, depth + 1)
    elif not column.guessed:
        raise CatalogError(f"{column.field} must be text or a list of texts, not {value!r:.80}")


def _json_error(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return str(error)
    return "no list"
