"""Product feeds in XML: RSS 2.0 and Atom 1.0 with Google's `g:` elements."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from firstsight.errors import CatalogError
from firstsight.indexer.formats.parsing.shop_fields import option_column
from firstsight.indexer.formats.parsing.text_lines import open_file
from firstsight.indexer.formats.source import BadRow, Row

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_ELEMENT: Final = 64 << 20
"""Bytes of one item, and of the elements between two items."""

MAX_FIELDS: Final = 1_000
"""Elements in one item."""

_BLOCK: Final = 1 << 20

_ITEMS: Final = frozenset({"item", "entry"})
_ROOTS: Final = frozenset({"rss", "feed", "RDF"})
_GOOGLE: Final = "base.google.com/"
_PLAIN_NAMESPACES: Final = ("", "http://www.w3.org/2005/Atom", "http://purl.org/rss/1.0/")
_PLAIN_NAMES: Final = {"summary": "description", "content": "description"}  # of Atom
_CANONICAL: Final = {
    "id": "item_id",
    "title": "title",
    "description": "text",
    "item_group_id": "group_id",
    "price": "price",
    "sale_price": "sale_price",
}
_IMAGES: Final = ("image_link", "additional_image_link", "lifestyle_image_link")


@dataclass(frozen=True)
class XmlFeedSource:
    """A product feed. Elements that repeat become lists, and elements with parts such as `g:shipping` are left out."""

    name: str
    path: Path
    root: Path
    place: str = "item"
    format: str = "product feed (XML)"
    notes: Sequence[str] = ()

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        from xml.etree.ElementTree import ParseError

        number = 0
        try:
            with open_file(self.path, self.name) as file:
                _refuse_doctype(_LimitedReader(file, self.name), self.name)
                file.seek(0)
                for item in _items(_LimitedReader(file, self.name), self.name):
                    number += 1
                    yield number, item if isinstance(item, BadRow) else _row(item)
        except ParseError as error:
            line, column = error.position
            after = f", after item {number}" if number else ""
            remedy = "the file is damaged or incomplete; download it again"
            if "unbound prefix" in str(error):
                remedy = 'declare the prefix, such as xmlns:g="http://base.google.com/ns/1.0", in the first element'
            raise CatalogError(
                f"{self.name}, line {line}, column {column + 1}{after}: not well-formed XML ({error.msg}); {remedy}"
            ) from None
        except (ValueError, LookupError) as error:  # an encoding that Python does not know
            raise CatalogError(f"{self.name}: the XML cannot be read ({error}); save it as UTF-8") from None


class _LimitedReader:
    """A file that is read in blocks, and refuses too many bytes without the end of an item."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self.since_item = 0

    def read(self, size: int = -1) -> bytes:
        # More than asked for: expat reads an unfinished element again with each block, so small blocks would take
        # quadratic time for a huge attribute.
        block = self._file.read(_BLOCK)
        self.since_item += len(block)
        if self.since_item > MAX_ELEMENT:
            raise CatalogError(f"{self._name} has more than {MAX_ELEMENT >> 20} MiB without the end of an <item>")
        return block


def _refuse_doctype(file: _LimitedReader, name: str) -> None:
    """Read a file up to its first element, and refuse a document type before any entity is declared.

    Entities expand to any size, or name other files. Only a document type can declare them, and it stands before the
    first element; later it is a syntax error.
    """
    from xml.parsers.expat import ExpatError, ParserCreate

    has_element = False

    def on_doctype(*declaration: object) -> None:
        raise CatalogError(
            f"{name} declares a document type or entities, which are refused; remove the DOCTYPE from the file"
        )

    def on_element(*element: object) -> None:
        nonlocal has_element
        has_element = True

    parser = ParserCreate()
    parser.StartDoctypeDeclHandler = on_doctype
    parser.StartElementHandler = on_element
    with contextlib.suppress(ExpatError):  # reported with its place when the items are read
        while not has_element and (block := file.read()):
            parser.Parse(block)
        if not has_element:
            parser.Parse(b"", True)  # newer versions of expat put off the end of a long comment until they are told


def _items(file: _LimitedReader, name: str) -> Iterator[dict[str, list[str]] | BadRow]:
    """Yield the fields of each item: for every name its texts in order; memory holds one item."""
    from xml.etree.ElementTree import iterparse

    open_elements: list[Element] = []
    item_depth = 0
    for event, element in iterparse(file, events=("start", "end")):  # noqa: S314  # after `_refuse_doctype`
        if event == "start":
            if not open_elements and _local(element.tag) not in _ROOTS:
                raise CatalogError(
                    f"{name} is XML with the first element <{_local(element.tag)}>, not a product feed (RSS or Atom "
                    "with elements such as g:id and g:image_link); export it as a Google Merchant feed, CSV or JSON"
                )
            open_elements.append(element)
            if not item_depth and _local(element.tag) in _ITEMS:
                item_depth = len(open_elements)
            continue
        depth = len(open_elements)
        open_elements.pop()
        if depth == item_depth:
            item_depth = 0
            yield _fields(element)
            file.since_item = 0
        if not item_depth:
            element.clear()
            if open_elements:
                open_elements[-1].remove(element)


def _fields(item: Element) -> dict[str, list[str]] | BadRow:
    if len(item) > MAX_FIELDS:
        return BadRow(f"{len(item):,} elements in one item, but the maximum is {MAX_FIELDS:,}")
    google: dict[str, list[str]] = {}
    plain: dict[str, list[str]] = {}
    for element in item:
        if not isinstance(element.tag, str) or len(element):
            continue  # a comment, or an element with parts
        namespace, _, name = element.tag.rpartition("}")
        namespace = namespace.removeprefix("{")
        text = (element.text or "").strip() or element.get("href", "").strip()
        if not text:
            continue
        if _GOOGLE in namespace:
            google.setdefault(name.lower(), []).append(text)
        elif namespace in _PLAIN_NAMESPACES and name:
            plain.setdefault(_PLAIN_NAMES.get(name, name), []).append(text)
    return plain | google


def _row(item: dict[str, list[str]] | BadRow) -> Row | BadRow:
    if isinstance(item, BadRow):
        return item
    row: dict[str, object] = dict.fromkeys(("item_id", "title", "text"))
    row["images"] = [text for name in _IMAGES for text in item.pop(name, ())]
    if videos := item.pop("video_link", None):
        row["videos"] = videos
    categories = item.pop("category", [])  # of RSS; Google's names come first
    if category := item.get("product_type") or item.get("google_product_category") or categories:
        row["category"] = category[0]
    for name, texts in item.items():
        value: object = texts[0] if len(texts) == 1 else texts
        if name in _CANONICAL:
            row[_CANONICAL[name]] = texts[0]
            if name == "item_group_id":
                row[name] = value
        else:
            row.setdefault(option_column(name), value)
    return row


def _local(tag: object) -> str:
    return str(tag).rpartition("}")[2]
