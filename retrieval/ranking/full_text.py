"""Search by words: BM25 over title and text, through LanceDB's full-text indexes.

Words are split, folded to ASCII and stemmed as in the indexes (`firstsight.storage.indexes.text_index`). An item's
score is the sum of BM25 (Robertson and Zaragoza, 2009) over its title, with weight 2, and its text. A word of five
letters or more that no item has is treated as misspelt: it then matches stems at edit distance one.

A search never writes. If an old database has no text indexes, its texts are indexed in memory, once per state.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import lancedb
from lancedb.query import BooleanQuery, FullTextQuery, MatchQuery, Occur
from lancedb.table import Table

from firstsight.storage.indexes.text_index import index_columns, stored_language
from firstsight.storage.store import Store

BOOSTS = {"title": 2.0, "text": 1.0}
"""Weight of a word in each column."""

MIN_TYPO_LETTERS = 5
"""Minimum length of a word that can count as misspelt. Too many shorter words are one edit apart."""

MAX_WORDS = 64
"""Number of words that are searched, the first ones of the query. It limits the cost of a pasted page."""

MAX_KNOWN_WORDS = 100_000
"""Number of words whose presence is cached per database state. A lookup takes 3 to 10 ms."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class WordQuery:
    """Words of a query text that the catalogue has, exactly or with one edit."""

    words: tuple[str, ...]
    misspelt: frozenset[str]  # of `words`: match only with one edit
    missing: bool  # the text has a further long word or code that no item has, so no item has all words


def split_query_words(store: Store, text: str) -> WordQuery:
    """Split a text into words and look up each word in the catalogue.

    Args:
        text: the query text; words after the first 64 are ignored.
    """
    words = tuple(dict.fromkeys(_WORD.findall(text)))[:MAX_WORDS]
    lookups = _word_lookups(store)
    misspelt, missing = set(), False
    kept = []
    for word in words:
        if _is_in_catalogue(store, lookups, word):
            kept.append(word)
        elif len(word) >= MIN_TYPO_LETTERS and not any(c.isdigit() for c in word):
            if _is_in_catalogue(store, lookups, word, fuzziness=1):
                kept.append(word)
                misspelt.add(word)
            else:
                missing = True
        elif any(c.isdigit() for c in word):  # codes that differ in one character name different products
            missing = True
    # unknown short words are dropped: most of them are stop words
    return WordQuery(tuple(kept), frozenset(misspelt), missing)


def search_by_words(
    store: Store, word_query: WordQuery, *, limit: int, condition: str | None, every: bool = False
) -> list[tuple[str, float]]:
    """Find items by their words.

    Args:
        limit: maximum number of items.
        condition: from `build_condition`; applied before the limit.
        every: only items that have all words, each in the title or the text.

    Returns:
        `(item_id, BM25 score)`, best first; ties by id.

    Raises:
        ValueError, RuntimeError, OSError: LanceDB cannot run the search, for example because the condition fails on a
            row.
    """
    if not word_query.words or (every and word_query.missing):
        return []
    occur = Occur.MUST if every else Occur.SHOULD
    parts = [(occur, _match(word, fuzziness=int(word in word_query.misspelt))) for word in word_query.words]
    rows = _search(store, _word_lookups(store), BooleanQuery(parts), limit, condition)
    return sorted(((row["item_id"], row["_score"]) for row in rows), key=lambda hit: (-hit[1], hit[0]))


def _match(word: str, *, fuzziness: int = 0) -> FullTextQuery:
    fields = [(Occur.SHOULD, _match_in(column, word, boost, fuzziness)) for column, boost in BOOSTS.items()]
    return BooleanQuery(fields)


def _match_in(column: str, word: str, boost: float, fuzziness: int) -> FullTextQuery:
    # the type stubs declare the last two defaults as required
    return MatchQuery(word, column, boost=boost, fuzziness=fuzziness)  # type: ignore[call-arg]


@dataclass(frozen=True)
class _WordLookups:
    """Cached word lookups of one database state."""

    version: int  # of the items table
    indexed: bool  # the database has text indexes
    words: dict[tuple[str, int], bool] = field(default_factory=dict)  # (word, edits allowed) to presence


_LOOKUPS: WeakKeyDictionary[Store, _WordLookups] = WeakKeyDictionary()
"""Word lookups of the last seen state of each store."""


def _word_lookups(store: Store) -> _WordLookups:
    version = store.items.version
    lookups = _LOOKUPS.get(store)
    if lookups is None or lookups.version != version:
        lookups = _LOOKUPS[store] = _WordLookups(version, stored_language(store) is not None)
    return lookups


def _is_in_catalogue(store: Store, lookups: _WordLookups, word: str, *, fuzziness: int = 0) -> bool:
    key = (word, fuzziness)
    if key not in lookups.words:
        if len(lookups.words) >= MAX_KNOWN_WORDS:
            lookups.words.clear()
        lookups.words[key] = bool(_search(store, lookups, _match(word, fuzziness=fuzziness), 1, None))
    return lookups.words[key]


_MEMORY_INDEX: dict[tuple[str, int], Table] = {}
"""The latest in-memory index, by database address and version of the items table."""


def _build_memory_index(store: Store, version: int) -> Table:
    """Copy `items` without its vectors into memory and index the copy; filters work on it as on the database."""
    state = (store.uri, version)
    if state not in _MEMORY_INDEX:
        columns = [name for name in store.items.schema.names if name != "vector"]
        rows = store.items.search().select(columns).limit(None).to_arrow()
        table = lancedb.connect("memory://").create_table("items", rows)
        index_columns(table)
        _MEMORY_INDEX.clear()
        _MEMORY_INDEX[state] = table
    return _MEMORY_INDEX[state]


def _search(
    store: Store, lookups: _WordLookups, query: FullTextQuery, limit: int, condition: str | None
) -> list[dict[str, Any]]:
    """Ids and BM25 scores of the matching items, best first."""
    table = store.items if lookups.indexed else _build_memory_index(store, lookups.version)
    search = table.search(query, query_type="fts").limit(limit)
    if condition is not None:
        search = search.where(condition, prefilter=True)
    rows: list[dict[str, Any]] = search.select(["item_id", "_score"]).to_arrow().to_pylist()
    return rows
