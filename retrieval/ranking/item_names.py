"""Whether a query is the name of an item: its title, a part of its title, or its id."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

from firstsight.retrieval.ranking.full_text import search_by_words, split_query_words
from firstsight.storage.store import Store
from firstsight.understanding.queries.tokens import split_tokens

MAX_TITLES: Final = 20
"""Titles that are compared with a query: the best ones by their words."""


def is_item_name(store: Store, text: str, phrases: Sequence[str]) -> bool:
    """Whether a text is an item's id, or a title has all of its words.

    Args:
        text: of the query.
        phrases: parts of the text that a title must have in a row, such as "over 50" of "over 50 vitamins".

    Raises:
        ValueError, RuntimeError, OSError: LanceDB cannot run the search.
    """
    if store.column_values([text.strip()], []):
        return True
    words = split_query_words(store, text)
    hits = search_by_words(store, words, limit=MAX_TITLES, condition=None, every=True)
    if not hits:
        return False
    titles = store.column_values([item_id for item_id, _ in hits], ["title"])
    return any(_has_words(str(row["title"] or ""), text, phrases) for row in titles.values())


def _has_words(title: str, text: str, phrases: Sequence[str]) -> bool:
    words = _words(title)
    if not set(_words(text)) <= set(words):
        return False
    in_a_row = f" {' '.join(words)} "
    return all(f" {' '.join(_words(phrase))} " in in_a_row for phrase in phrases)


def _words(text: str) -> list[str]:
    normal = unicodedata.normalize("NFC", text)
    return [token.folded for token in split_tokens(normal) if token.kind != "sign"]
