"""Search by words: BM25 over title and text, through LanceDB's full-text indexes.

Words are cut, folded to ASCII and stemmed as the indexes were made (`firstsight.indexer.text_index`). An item's
score is the sum of BM25 (Robertson and Zaragoza, 2009) over its title, which counts double, and its text. A word of
five letters or more that stands nowhere in the catalogue is taken as misspelt: words one edit away from it count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lancedb.query import BooleanQuery, FullTextQuery, MatchQuery, Occur

from firstsight.indexer.store import Store

BOOSTS = {"title": 2.0, "text": 1.0}
"""What a word counts in each column."""

TYPO_LETTERS = 5
"""Letters a word must have to be taken as misspelt: of shorter ones, too many are one edit apart."""

MAX_WORDS = 64
"""Words of a query that are looked for, the first ones; a pasted page is no query."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class WordQuery:
    """A text as it is looked for: its words, with the misspelt among them."""

    words: tuple[str, ...]
    misspelt: frozenset[str]  # stand nowhere, and are matched with one edit
    missing: bool  # one that matters stands nowhere even so: no item has all of them


def read_words(store: Store, text: str) -> WordQuery:
    """Cut a text into words and see which of them the catalogue has, in any of its items."""
    words = tuple(dict.fromkeys(_WORD.findall(text)))[:MAX_WORDS]
    misspelt, missing = set(), False
    kept = []
    for word in words:
        if _stands(store, _match(word)):
            kept.append(word)
        elif len(word) >= TYPO_LETTERS and not any(c.isdigit() for c in word):
            if _stands(store, _match(word, fuzziness=1)):
                kept.append(word)
                misspelt.add(word)
            else:
                missing = True
        elif any(c.isdigit() for c in word):  # another code is another thing, however near
            missing = True
    return WordQuery(tuple(kept), frozenset(misspelt), missing)  # what is left are short words, mostly stop words


def find_words(
    store: Store, asked: WordQuery, *, limit: int, condition: str | None, every: bool = False
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
    if not asked.words or (every and asked.missing):
        return []
    occur = Occur.MUST if every else Occur.SHOULD
    parts = [(occur, _match(word, fuzziness=int(word in asked.misspelt))) for word in asked.words]
    rows = _search(store, BooleanQuery(parts), ["item_id", "_score"], limit, condition)
    return sorted(((row["item_id"], row["_score"]) for row in rows), key=lambda hit: (-hit[1], hit[0]))


def _match(word: str, *, fuzziness: int = 0) -> FullTextQuery:
    fields = [(Occur.SHOULD, _match_in(column, word, boost, fuzziness)) for column, boost in BOOSTS.items()]
    return BooleanQuery(fields)


def _match_in(column: str, word: str, boost: float, fuzziness: int) -> FullTextQuery:
    # the type stubs take the two defaults at the end for required
    return MatchQuery(word, column, boost=boost, fuzziness=fuzziness)  # type: ignore[call-arg]


def _stands(store: Store, query: FullTextQuery) -> bool:
    return bool(_search(store, query, ["item_id", "_score"], 1, None))


def _search(
    store: Store, query: FullTextQuery, columns: Sequence[str], limit: int, condition: str | None
) -> list[dict[str, Any]]:
    search = store.items.search(query, query_type="fts").limit(limit)
    if condition is not None:
        search = search.where(condition, prefilter=True)
    rows: list[dict[str, Any]] = search.select(list(columns)).to_arrow().to_pylist()
    return rows
