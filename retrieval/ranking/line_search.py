"""Search by words in the timed texts of videos: BM25 over passages, through LanceDB's full-text index.

An item counts by its best passage. The columns of `items`, which filters are about, are not in the table of views, so
passages of items that a filter excludes are removed after reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from lancedb.query import BooleanQuery, FullTextQuery, MatchQuery, Occur

from firstsight.storage.sql.conditions import is_in
from firstsight.storage.store import Store

BOOST = 1.0
"""Weight of a word in a passage, the same as in an item's text."""

PASSAGES_PER_ITEM = 4
"""Passages to read for each item that is asked for."""


@dataclass(frozen=True)
class LineHit:
    """A passage with words of a query."""

    item_id: str
    view_id: str
    score: float  # BM25


@dataclass(frozen=True)
class ItemsByLines:
    """Items whose timed texts have words of a query."""

    scores: dict[str, float]  # item id to the BM25 score of its best passage
    bound: float  # no other item has a higher score; 0 if there are no others


_INDEXED: WeakKeyDictionary[Store, tuple[int, bool]] = WeakKeyDictionary()
"""Whether the last seen version of the views has a text index."""


def has_lines(store: Store) -> bool:
    """Whether timed texts can be searched by words: the run that added the first ones has ended."""
    version = store.views_version
    known = _INDEXED.get(store)
    if known is None or known[0] != version:
        indexed = any(index.columns == ["text"] for index in store.views.list_indices())
        known = _INDEXED[store] = (version, indexed)
    return known[1]


def match_line(word: str, *, fuzziness: int = 0) -> FullTextQuery:
    """Query for the passages with a word, exact or with one edit."""
    # the type stubs declare the defaults as required
    return MatchQuery(word, "text", boost=BOOST, fuzziness=fuzziness)  # type: ignore[call-arg]


def match_words(words: Sequence[str], misspelt: Iterable[str], *, every: bool) -> FullTextQuery:
    """Query for the passages with any of these words, or every one.

    Args:
        misspelt: words that match with one edit.
    """
    occur = Occur.MUST if every else Occur.SHOULD
    misspelt = set(misspelt)
    return BooleanQuery([(occur, match_line(word, fuzziness=int(word in misspelt))) for word in words])


def search_lines(store: Store, query: FullTextQuery, *, limit: int, item_ids: Sequence[str] = ()) -> list[LineHit]:
    """Find passages, best first; ties by id.

    Args:
        limit: maximum number of passages.
        item_ids: only passages of these items; empty for all.
    """
    search = store.views.search(query, query_type="fts").limit(limit)
    if item_ids:
        search = search.where(is_in("item_id", item_ids), prefilter=True)
    rows: list[dict[str, Any]] = search.select(["item_id", "view_id", "_score"]).to_arrow().to_pylist()
    hits = [LineHit(row["item_id"], row["view_id"], row["_score"]) for row in rows]
    return sorted(hits, key=lambda hit: (-hit.score, hit.view_id))


def search_items_by_lines(store: Store, query: FullTextQuery, *, limit: int, condition: str | None) -> ItemsByLines:
    """Find items by the words of their timed texts.

    Args:
        limit: passages to read are a multiple of it.
        condition: from `build_condition`.
    """
    hits = search_lines(store, query, limit=PASSAGES_PER_ITEM * limit)
    best: dict[str, float] = {}
    for hit in hits:
        best.setdefault(hit.item_id, hit.score)
    bound = hits[-1].score if len(hits) == PASSAGES_PER_ITEM * limit else 0.0
    if condition is not None and best:
        tables = store.rows_by_id(store.items, list(best), columns=["item_id"], condition=condition)
        allowed = {item_id for rows in tables for item_id in rows["item_id"].to_pylist()}
        best = {item_id: score for item_id, score in best.items() if item_id in allowed}
    return ItemsByLines(best, bound)


def score_items_by_lines(store: Store, query: FullTextQuery, item_ids: Sequence[str]) -> dict[str, float]:
    """Scores of the best passages of these items; items without a hit are left out."""
    if not item_ids:
        return {}
    limit, best = PASSAGES_PER_ITEM * len(item_ids), dict[str, float]()
    left = list(item_ids)
    while left:
        hits = search_lines(store, query, limit=limit, item_ids=left)
        for hit in hits:
            best.setdefault(hit.item_id, hit.score)
        if len(hits) < limit:
            break
        left = [item_id for item_id in left if item_id not in best]  # hidden by the passages of other items
    return best
