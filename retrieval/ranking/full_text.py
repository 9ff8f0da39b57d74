"""Search by words: BM25 over title, text, timed texts and text in pictures, through LanceDB's full-text indexes.

Words are split, folded to ASCII and stemmed as in the indexes (`firstsight.storage.indexes.text_index`). An item's
score is the sum of BM25 (Robertson and Zaragoza, 2009) over its title, with weight 2, its text, and the best passage of
its timed texts (`line_search`). Text in pictures counts less: for each word, at most half of the least that the word
brings in a title or text. So an item with words in its pictures alone never outranks an item with the same words in its
title. A word of five letters or more that no item has is treated as misspelt: it then matches stems at edit distance
one.

A search never writes. If an old database has no text indexes, its texts are indexed in memory, once per state.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import lancedb
from lancedb.query import BooleanQuery, FullTextQuery, MatchQuery, Occur
from lancedb.table import Table

from firstsight.retrieval.ranking import line_search
from firstsight.storage.facts.fact_columns import OCR_TEXT
from firstsight.storage.indexes.text_index import (
    has_picture_text_index,
    has_picture_texts,
    index_columns,
    stored_language,
)
from firstsight.storage.sql.conditions import is_in
from firstsight.storage.store import Store

BOOSTS = {"title": 2.0, "text": 1.0}
"""Weight of a word in each column."""

PICTURE_TEXT_BOOST = 0.5
"""Weight of a word in the text of pictures, and its largest score there as a share of its least in a title or text."""

READ_SCORES = 200
"""Best scores of a word in a column that are read to know the least one."""

LEAST_SCORE_SHARE = 0.08
"""Least BM25 score of a word as a share of its best: one occurrence in a text of 12 times the mean length."""

MIN_TYPO_LETTERS = 5
"""Minimum length of a word that can count as misspelt. Too many shorter words are one edit apart."""

MAX_WORDS = 64
"""Number of words that are searched, the first ones of the query. It limits the cost of a pasted page."""

MAX_KNOWN_WORDS = 100_000
"""Number of words whose presence is cached per database state. A lookup takes 3 to 10 ms."""

LINES_PER_ITEM = 8
"""Passages that `find_lines` reads for each item."""

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
        every: only items that have all words: each in the title or the text, or all in one passage of timed text.

    Returns:
        `(item_id, BM25 score)`, best first; ties by id.

    Raises:
        ValueError, RuntimeError, OSError: LanceDB cannot run the search, for example because the condition fails on a
            row.
    """
    if not word_query.words or (every and word_query.missing):
        return []
    if not line_search.has_lines(store):
        return _search_items(store, word_query, limit=limit, condition=condition, every=every)
    lines = line_search.match_words(word_query.words, word_query.misspelt, every=every)
    read = limit
    while True:
        own = _search_items(store, word_query, limit=read, condition=condition, every=every)
        found = line_search.search_items_by_lines(store, lines, limit=read, condition=condition)
        totals = _add_scores(store, word_query, lines, dict(own), found.scores, every=every)
        bound = (own[-1][1] if len(own) == read else 0.0) + found.bound
        hits = sorted(totals.items(), key=lambda hit: (-hit[1], hit[0]))[:limit]
        if bound == 0.0 or (len(hits) == limit and hits[-1][1] >= bound):
            return hits
        read *= 4


def find_items_with_words_in_pictures(store: Store, word_query: WordQuery, item_ids: Sequence[str]) -> set[str]:
    """Those of some items that have all words in their title, text and pictures together.

    Makes no call to the database if no picture has text.
    """
    lookups = _word_lookups(store)
    if not lookups.picture_texts or not item_ids or not word_query.words or word_query.missing:
        return set()
    parts = [
        (Occur.MUST, _match(word, fuzziness=int(word in word_query.misspelt), in_pictures=PICTURE_TEXT_BOOST))
        for word in word_query.words
    ]
    rows = _search(store, lookups, BooleanQuery(parts), len(item_ids), is_in("item_id", item_ids))
    return {row["item_id"] for row in rows}


def find_lines(store: Store, text: str, item_ids: Sequence[str], *, every: bool) -> list[line_search.LineHit]:
    """Find the passages of some items with words of a text, best first.

    Args:
        text: the query text.
        item_ids: the items.
        every: only passages with all words.
    """
    if not item_ids or not line_search.has_lines(store):
        return []
    query = split_query_words(store, text)
    if not query.words or (every and query.missing):
        return []
    words = line_search.match_words(query.words, query.misspelt, every=every)
    return line_search.search_lines(store, words, limit=LINES_PER_ITEM * len(item_ids), item_ids=item_ids)


def _add_scores(
    store: Store,
    word_query: WordQuery,
    lines: FullTextQuery,
    own: dict[str, float],
    of_lines: dict[str, float],
    *,
    every: bool,
) -> dict[str, float]:
    """Sum of both scores of each item, after reading those that one of the searches has not reached."""
    if missing := [item_id for item_id in of_lines if item_id not in own]:
        condition = is_in("item_id", missing)
        own = {**own, **dict(_search_items(store, word_query, limit=len(missing), condition=condition, every=every))}
    missing = [item_id for item_id in own if item_id not in of_lines]
    of_lines = {**of_lines, **line_search.score_items_by_lines(store, lines, missing)}
    return {item_id: own.get(item_id, 0.0) + of_lines.get(item_id, 0.0) for item_id in {**own, **of_lines}}


def _search_items(
    store: Store, word_query: WordQuery, *, limit: int, condition: str | None, every: bool
) -> list[tuple[str, float]]:
    """Find items by the words of their titles and texts; arguments and result as for `search_by_words`."""
    occur = Occur.MUST if every else Occur.SHOULD
    lookups = _word_lookups(store)
    parts = []
    for word in word_query.words:
        fuzziness = int(word in word_query.misspelt)
        # an item has all words only if its title and text have them
        in_pictures = 0.0 if every else _picture_text_boost(store, lookups, word, fuzziness)
        parts.append((occur, _match(word, fuzziness=fuzziness, in_pictures=in_pictures)))
    rows = _search(store, lookups, BooleanQuery(parts), limit, condition)
    return sorted(((row["item_id"], row["_score"]) for row in rows), key=lambda hit: (-hit[1], hit[0]))


def _match(word: str, *, fuzziness: int = 0, in_pictures: float = 0.0) -> FullTextQuery:
    """Query for the items with a word; `in_pictures` is its weight in the text of pictures, 0 to leave that out."""
    boosts = BOOSTS | ({OCR_TEXT: in_pictures} if in_pictures else {})
    fields = [(Occur.SHOULD, _match_in(column, word, boost, fuzziness)) for column, boost in boosts.items()]
    return BooleanQuery(fields)


def _match_in(column: str, word: str, boost: float, fuzziness: int) -> FullTextQuery:
    # the type stubs declare the last two defaults as required
    return MatchQuery(word, column, boost=boost, fuzziness=fuzziness)  # type: ignore[call-arg]


@dataclass(frozen=True)
class _WordLookups:
    """Cached word lookups of one database state."""

    version: tuple[int, int]  # of the tables of items and views
    indexed: bool  # the database has text indexes
    picture_texts: bool  # the text in pictures has an index too
    words: dict[tuple[str, int], bool] = field(default_factory=dict)  # (word, edits allowed) to presence
    boosts: dict[tuple[str, int], float] = field(default_factory=dict)  # the same, to the weight in pictures


_LOOKUPS: WeakKeyDictionary[Store, _WordLookups] = WeakKeyDictionary()
"""Word lookups of the last seen state of each store."""


def _word_lookups(store: Store) -> _WordLookups:
    version = (store.items_version, store.views_version)
    lookups = _LOOKUPS.get(store)
    if lookups is None or lookups.version != version:
        indexed = stored_language(store) is not None
        picture_texts = has_picture_text_index(store.items) if indexed else has_picture_texts(store.items)
        lookups = _LOOKUPS[store] = _WordLookups(version, indexed, picture_texts)
    return lookups


def _is_in_catalogue(store: Store, lookups: _WordLookups, word: str, *, fuzziness: int = 0) -> bool:
    key = (word, fuzziness)
    if key not in lookups.words:
        if len(lookups.words) >= MAX_KNOWN_WORDS:
            lookups.words.clear()
        query = _match(word, fuzziness=fuzziness, in_pictures=float(lookups.picture_texts))
        lookups.words[key] = bool(_search(store, lookups, query, 1, None)) or _is_in_lines(store, word, fuzziness)
    return lookups.words[key]


def _picture_text_boost(store: Store, lookups: _WordLookups, word: str, fuzziness: int) -> float:
    """Weight of a word in the text of pictures; 0 if no picture has it.

    BM25 weighs a word by its rarity in each column, so a word of many titles and few pictures would count for more in a
    picture. The weight limits its best score in pictures to a share of its least in titles and texts.
    """
    if not lookups.picture_texts:
        return 0.0
    key = (word, fuzziness)
    if key not in lookups.boosts:
        if len(lookups.boosts) >= MAX_KNOWN_WORDS:
            lookups.boosts.clear()
        best = _search(store, lookups, _match_in(OCR_TEXT, word, 1.0, fuzziness), 1, None)
        boost = 0.0
        if best:
            searched = (
                _search(store, lookups, _match_in(column, word, weight, fuzziness), READ_SCORES, None)
                for column, weight in BOOSTS.items()
            )
            least = min((_least_score(rows) for rows in searched if rows), default=math.inf)
            boost = PICTURE_TEXT_BOOST * min(1.0, least / max(best[0]["_score"], 1e-9))
        lookups.boosts[key] = boost
    return lookups.boosts[key]


def _least_score(rows: Sequence[Mapping[str, Any]]) -> float:
    """Least score of a word in a column; a lower bound if not every row with the word was read."""
    scores = [float(row["_score"]) for row in rows]
    return min(scores) if len(scores) < READ_SCORES else min(min(scores), LEAST_SCORE_SHARE * max(scores))


def _is_in_lines(store: Store, word: str, fuzziness: int) -> bool:
    query = line_search.match_line(word, fuzziness=fuzziness)
    return line_search.has_lines(store) and bool(line_search.search_lines(store, query, limit=1))


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
    table = store.items if lookups.indexed else _build_memory_index(store, lookups.version[0])
    search = table.search(query, query_type="fts").limit(limit)
    if condition is not None:
        search = search.where(condition, prefilter=True)
    rows: list[dict[str, Any]] = search.select(["item_id", "_score"]).to_arrow().to_pylist()
    return rows
