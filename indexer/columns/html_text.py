"""HTML in titles and descriptions, as text."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BLOCKS: Final = _words(
    """
    address article aside blockquote body br caption center dd div dl dt fieldset figcaption figure footer form
    h1 h2 h3 h4 h5 h6 head header hr html main nav ol p pre section table tbody td tfoot th thead tr ul
    """
)
_INLINE: Final = _words(
    """
    a abbr acronym b bdi bdo big button cite code data del dfn em font i iframe img input ins kbd label li link
    mark meta o:p picture q s samp small source span strike strong sub sup svg time tt u var video wbr
    """
)
_HIDDEN: Final = frozenset({"script", "style", "title", "template", "noscript", "object"})
_TAGS: Final = "|".join(sorted(_BLOCKS | _INLINE | _HIDDEN, key=len, reverse=True))
_TAG: Final = re.compile(rf"</?(?:{_TAGS})(?:\s[^<>]*)?/?>|<!--|<!doctype|<!\[CDATA\[", re.IGNORECASE)
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_ROUNDS: Final = 3  # of HTML that was escaped again, as in feeds made from feeds


def as_plain_text(value: str) -> str:
    """Convert HTML to text; a text without tags and entities stays as it is.

    Blocks such as paragraphs become lines, entries of lists begin with a bullet. Scripts, styles and comments are left
    out. `a < b` and `AT&T` are no HTML.
    """
    for _ in range(_ROUNDS):
        if _TAG.search(value):
            value = _text_of(value)
        elif _ENTITY.search(value):
            value = unescape(value).replace("\xa0", " ").strip()
        else:
            break
    return value


def as_plain_line(value: str) -> str:
    """Convert HTML to one line of text, for titles and categories."""
    plain = as_plain_text(value)
    return value if plain == value else " ".join(plain.split())


def _text_of(value: str) -> str:
    parser = _TextParser()
    parser.feed(re.sub(r"<!\[CDATA\[(.*?)\]\]>", r"\1", value, flags=re.DOTALL))
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).split("\n"))
    text = "\n".join(line for line in lines if line)
    return re.sub(r"\s*•(?:\s|•)*", " • ", text).strip().removeprefix("•").removesuffix("•").strip()


class _TextParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "li":
            self.parts.append(" • ")
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS or tag == "li":
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(re.sub(r"\s+", " ", data))
