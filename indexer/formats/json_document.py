"""JSON documents: an array of objects, or an object that contains one such array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firstsight.errors import CatalogError
from firstsight.indexer.formats.parsing.json_stream import JsonError, JsonReader
from firstsight.indexer.formats.parsing.text_lines import open_file, text_blocks
from firstsight.indexer.formats.source import BadRow, Row

LISTS: Final = frozenset(
    (
        *("products", "items", "data", "results", "rows", "records", "entries", "nodes", "edges", "hits", "docs"),
        *("articles", "catalog", "catalogue", "offers", "listings"),
    )
)
"""Names under which shops' interfaces return a list of items."""

PARTS: Final = frozenset(
    (
        *("images", "media", "pictures", "photos", "videos", "variants", "options", "attributes", "tags", "links"),
        *("categories", "collections", "reviews", "facets", "filters", "aggregations", "errors", "warnings"),
    )
)
"""Names of lists that are no list of items."""

MARKS_OF_AN_ITEM: Final = frozenset({"id", "item_id", "product_id", "sku", "handle", "title", "name", "gtin"})

_MAX_DEPTH: Final = 5

KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class JsonSource:
    """A JSON document. The elements of an array are read one at a time.

    In an object, the list of items is the one with a known name such as `products` or `data`, or else the only list of
    objects. An object without such a list is one item; several may follow one another.
    """

    name: str
    path: Path
    encoding: str
    root: Path
    place: str = "item"
    notes: Sequence[str] = ()

    @property
    def format(self) -> str:
        return "JSON"

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        path = self._find_list()
        number = 0
        try:
            with self._reader() as reader:
                for value in _elements(reader, path):
                    number += 1
                    yield number, _row(value)
                reader.finish()
        except JsonError as error:
            after = f" after item {number}" if number else ""
            raise CatalogError(
                f"{self.name}, {error}{after}; the file is not complete, valid JSON. "
                "Give one array of objects, or JSON Lines with one object per line"
            ) from None

    @contextmanager
    def _reader(self) -> Iterator[JsonReader]:
        with open_file(self.path, self.name) as file:
            yield JsonReader(text_blocks(file, self.encoding, self.name))

    def _find_list(self) -> KeyPath | None:
        """The keys that lead to the list of items; None if the document is one item."""
        found: dict[KeyPath, int] = {}
        try:
            with self._reader() as reader:
                if reader.peek() == "[":
                    return ()
                if reader.peek() != "{":
                    raise JsonError(f"line {reader.line}: the text is neither an array nor an object")
                known, single = _look(reader, (), found)
        except JsonError as error:
            raise CatalogError(f"{self.name}, {error}; the file is not complete, valid JSON") from None
        if known is not None:
            return known
        if single or not found:
            return None
        if len(found) > 1:
            lists = ", ".join(f"{'.'.join(path)} ({count})" for path, count in list(found.items())[:5])
            raise CatalogError(
                f"{self.name} has {len(found)} lists of objects: {lists}; save the list of items as a file of its own"
            )
        return next(iter(found))


def _look(reader: JsonReader, path: KeyPath, found: dict[KeyPath, int]) -> tuple[KeyPath | None, bool]:
    """Search an object for lists.

    Returns:
        The path of a list with a known name, where the search ends; and whether the object looks like an item.
    """
    single = False
    for key in reader.members():
        single = single or key.lower() in MARKS_OF_AN_ITEM
        here = (*path, key)
        if key.lower() in PARTS or len(here) > _MAX_DEPTH:
            reader.skip()
        elif reader.peek() == "[":
            objects = 0
            for _ in reader.elements():
                if reader.peek() != "{":
                    reader.skip()
                    continue
                objects += 1
                if key.lower() in LISTS:
                    return here, False
                reader.skip()
            if objects:
                found[here] = objects
        elif reader.peek() == "{":
            lists: dict[KeyPath, int] = {}
            known, item = _look(reader, here, lists)
            if known is not None:
                return known, False
            found |= {} if item else lists
        else:
            reader.skip()
    return None, single


def _elements(reader: JsonReader, path: KeyPath | None) -> Iterator[object]:
    """Yield the elements of the list at a path, then read to the end of its objects."""
    if path is None:
        while reader.peek():  # several objects in succession, as some programs indent JSON Lines
            value = reader.value()
            while isinstance(value, dict) and len(value) == 1 and isinstance(inner := next(iter(value.values())), dict):
                value = inner  # {"product": {…}}
            yield value
    elif not path:
        for _ in reader.elements():
            yield reader.value()
    else:
        seen = False
        for key in reader.members():
            if key == path[0] and not seen and reader.peek() in "[{":
                seen = True
                yield from _elements(reader, path[1:])
            else:
                reader.skip()


def _row(value: object) -> Row | BadRow:
    if isinstance(value, dict):
        node = value.get("node")  # {"node": {…}} in lists called edges
        return node if isinstance(node, dict) and len(value) <= 2 else value
    return BadRow('not a JSON object; every element must look like {"item_id": …}')
