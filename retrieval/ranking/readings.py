"""Rankings of items and the readings they come from: rows of one table, the nearest to a vector first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from firstsight.encoders.base import Vector
from firstsight.retrieval.ranking.fetch_batching import FetchRequest, Rows, TableName
from firstsight.retrieval.results import ClipMatch

FIRST_READ = 64
"""Minimum number of rows to read first: a page, and some rows for uncertain places."""

TIE_TOLERANCE = 1e-6
"""Cosines closer than this may change their order with the number of rows read."""


WordPlace = Literal["texts", "pictures"]
"""Where an item has all words of a query: in its title and texts, or in these and its pictures."""


@dataclass(frozen=True)
class Candidate:
    """An item in a ranking."""

    item_id: str
    cosine: float  # of the compared vector to the query, -1 to 1
    value: float  # score that orders the ranking
    every_word: WordPlace | None = None  # where it has all words of the query, if it was found by words and has them
    words: float | None = None  # BM25 score, 0 without the words; None if the search did not compare words
    rank_score: float | None = None  # score of the reranker; None if not reranked
    boost: float | None = None  # for the user of the query; None if not personalised
    colour_boost: float | None = None  # for the colours of the query; None without colour words
    relevance: float | None = None  # 0 to 1; None if it follows from the cosine and the background of the ranking
    clip: ClipMatch | None = None  # where its video contains the clip of the query, if fingerprints show it


@dataclass(frozen=True)
class CandidateRanking:
    """First items of a ranking, all with a certain place."""

    candidates: list[Candidate]  # best first
    bound: float  # no further item has a cosine above this
    complete: bool  # there are no further items
    relevance_bound: float | None = None  # no further item has a relevance above this; None if it follows from `bound`


@dataclass
class Reading:
    """The rows of one table that are nearest to the query, read as far as the ranking needs."""

    table: TableName
    vector: Vector  # (dim,) of unit length
    k: int  # number of rows to read
    condition: str | None
    columns: tuple[str, ...]
    rows: Rows = field(default_factory=list)  # nearest first
    complete: bool = False  # there are no further rows
    last: float = 1.0  # no unread row has a higher cosine

    @property
    def request(self) -> FetchRequest:
        return FetchRequest(self.table, self.vector, self.k, self.condition, self.columns)

    def take(self, rows: Rows) -> None:
        self.rows = rows
        self.complete = len(rows) < self.k
        self.last = 1.0 - float(rows[-1]["_distance"]) if rows else -1.0


def first_read(need: int) -> int:
    """Number of rows to read first: a power of two, so that pages of one ranking read the same rows."""
    return max(FIRST_READ, 1 << need.bit_length())
