"""Search by words: BM25 over title and text, through LanceDB's full-text indexes.

Words are cut, folded to ASCII and stemmed as the indexes were made (`firstsight.storage.indexes.text_index`). An item's
score is the sum of BM25 (Robertson and Zaragoza, 2009) over its title, which counts double, and its text. A word of
five letters or more that stands nowhere in the catalogue is taken as misspelt: stems one edit away from it count.

A database that was made before there were text indexes is not written to by a search: its texts are read into an index
in memory, once for each of its states.
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
"""What a word counts in each column."""

MIN_TYPO_LETTERS = 5
"""Letters a word must have to be taken as misspelt: of shorter ones, too many are one edit apart."""

MAX_WORDS = 64
"""Words of a query that are looked for, the first ones; a pasted page is no query."""

MAX_KNOWN_WORDS = 100_000
"""Words whose presence is remembered for one state of a database: looking one up takes 3 to 10 ms."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class WordQuery:
    """A text as it is looked for: its words, with the misspelt among them."""

    words: tuple[str, ...]
    misspelt: frozenset[str]  # stand nowhere, and are matched with one edit
    missing: bool  # one that matters stands nowhere even so: no item has all of them


def split_query_words(store: Store, text: str) -> WordQuery:
    """Cut a text into words and see which of them the catalogue has, in any of its items."""
    words = tuple(dict.fromkeys(_WORD.findall(text)))[:MAX_WORDS]
    known = _known(store)
    misspelt, missing = set(), False
    kept = []
    for word in words:
        if _is_in_catalogue(store, known, word):
            kept.append(word)
        elif len(word) >= MIN_TYPO_LETTERS and not any(c.isdigit() for c in word):
            if _is_in_catalogue(store, known, word, fuzziness=1):
                kept.append(word)
                misspelt.add(word)
            else:
                missing = True
        elif any(c.isdigit() for c in word):  # another code is another thing, however near
            missing = True
    return WordQuery(tuple(kept), frozenset(misspelt), missing)  # what is left are short words, mostly stop words


def search_by_words(
    store: Store, word_query: WordQuery, *, limit: int, condition: str | None, every: bool = False
) -> list[tuple[str, float]]:
    """The items with these words, best first.

    Args:
        limit: most items.
        condition: from `build_condition`; applied before the best are chosen.
        every: only items in which all words stand, each in the title or the text.

    Returns:
        `(item_id, BM25 score)`; items of one score in the order of their ids.

    Raises:
        ValueError, RuntimeError, OSError: from LanceDB, such as for a condition that fails on a row.
    """
    if not word_query.words or (every and word_query.missing):
        return []
    occur = Occur.MUST if every else Occur.SHOULD
    parts = [(occur, _match(word, fuzziness=int(word in word_query.misspelt))) for word in word_query.words]
    rows = _search(store, _known(store), BooleanQuery(parts), limit, condition)
    return sorted(((row["item_id"], row["_score"]) for row in rows), key=lambda hit: (-hit[1], hit[0]))


def _match(word: str, *, fuzziness: int = 0) -> FullTextQuery:
    fields = [(Occur.SHOULD, _match_in(column, word, boost, fuzziness)) for column, boost in BOOSTS.items()]
    return BooleanQuery(fields)


def _match_in(column: str, word: str, boost: float, fuzziness: int) -> FullTextQuery:
    # the type stubs take the two defaults at the end for required
    return MatchQuery(word, column, boost=boost, fuzziness=fuzziness)  # type: ignore[call-arg]


@dataclass(frozen=True)
class _KnownWords:
    """What was found out of the words of one state of a database."""

    version: int  # of its items
    indexed: bool  # whether it has text indexes of its own
    words: dict[tuple[str, int], bool] = field(default_factory=dict)  # by word and edits allowed, whether it stands


_KNOWN: WeakKeyDictionary[Store, _KnownWords] = WeakKeyDictionary()
"""Of each store, its state last seen."""


def _known(store: Store) -> _KnownWords:
    version = store.items.version
    known = _KNOWN.get(store)
    if known is None or known.version != version:
        known = _KNOWN[store] = _KnownWords(version, stored_language(store) is not None)
    return known


def _is_in_catalogue(store: Store, known: _KnownWords, word: str, *, fuzziness: int = 0) -> bool:
    key = (word, fuzziness)
    if key not in known.words:
        if len(known.words) >= MAX_KNOWN_WORDS:
            known.words.clear()
        known.words[key] = bool(_search(store, known, _match(word, fuzziness=fuzziness), 1, None))
    return known.words[key]


_MEMORY_INDEX: dict[tuple[str, int], Table] = {}
"""The index in memory last made, by the address and version of the items it is of."""


def _build_memory_index(store: Store, version: int) -> Table:
    """A copy of `items` without its vectors, indexed; filters hold there as they do in the database."""
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
    store: Store, known: _KnownWords, query: FullTextQuery, limit: int, condition: str | None
) -> list[dict[str, Any]]:
    """Ids and BM25 scores of the items that match, best first."""
    table = store.items if known.indexed else _build_memory_index(store, known.version)
    search = table.search(query, query_type="fts").limit(limit)
    if condition is not None:
        search = search.where(condition, prefilter=True)
    rows: list[dict[str, Any]] = search.select(["item_id", "_score"]).to_arrow().to_pylist()
    return rows
