"""Text in pictures in results: the line with most words of the query, its picture, and its place there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from firstsight.media.stored_media import open_address
from firstsight.retrieval.line_matches import is_like
from firstsight.retrieval.results import PictureTextMatch, locate
from firstsight.storage.facts.fact_columns import OCR_TEXT
from firstsight.storage.picture_texts import PictureLine, TextInPicture, read_picture_texts
from firstsight.storage.store import Store

_WORD: Final = re.compile(r"\w+")
_MIN_LETTERS: Final = 4
"""Shorter words of a query do not choose a line, since many are words like "the"; the only word of a query does."""


def find_picture_texts(
    store: Store, text: str | None, rows: Mapping[str, Mapping[str, Any]]
) -> dict[str, PictureTextMatch]:
    """Find the text in pictures that has words of a query, by item id.

    Args:
        store: the database.
        text: of the query; without one, nothing is found.
        rows: rows of `items` by id.
    """
    words = _query_words(text or "")
    candidates = [item_id for item_id, row in rows.items() if _count(words, row.get(OCR_TEXT) or "")]
    found: dict[str, PictureTextMatch] = {}
    for item_id, texts in read_picture_texts(store, candidates).items():
        lines = [(_count(words, line.text), text, line) for text in texts for line in text.lines]
        count, in_picture, line = max(lines, key=lambda counted: counted[0])
        if count:
            found[item_id] = _match(in_picture, line, rows[item_id]["catalog_dir"], store.uri)
    return found


def _match(text: TextInPicture, line: PictureLine, folder: str, address: str) -> PictureTextMatch:
    uri = None if text.uri is None else locate(open_address(text.uri, address), folder)
    return PictureTextMatch(line.text, line.box, text.part, uri, text.time_s, text.view_id)


def _query_words(text: str) -> list[str]:
    words = [word.casefold() for word in _WORD.findall(text)]
    if len(words) == 1:
        return words
    return [w for w in words if len(w) >= _MIN_LETTERS or not w.isascii() or any(c.isdigit() for c in w)]


def _count(words: Sequence[str], text: str) -> int:
    """Number of the words that a text has, up to their endings."""
    if not words or not text:
        return 0
    plain = text.casefold()
    others = _WORD.findall(plain)
    # scripts without blanks between words: anywhere
    return sum(any(is_like(w, other) for other in others) or (not w.isascii() and w in plain) for w in words)
