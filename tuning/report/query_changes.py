"""Queries that gained and lost most by a tuning, with small pictures of their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from firstsight.encoders.base import ImageInput
from firstsight.errors import MediaError
from firstsight.media.pictures import open_picture
from firstsight.retrieval.pages.thumbnails import jpeg_uri
from firstsight.tuning.evaluation.retrieval_measures import QueryResult

QUERIES: Final = 6
"""Queries of each kind on a page."""

SHOWN: Final = 5
"""Results of a query on a page."""

SIDE: Final = 96
"""Longer side of a small picture, in pixels: some 3 KB, so a page has at most half a megabyte of them."""

QUERY_CHARACTERS: Final = 120


@dataclass(frozen=True)
class ShownPicture:
    """One result on the page.

    Attributes:
        source: data URI of a JPEG; None if the picture cannot be read any more.
        title: of its item.
        right: whether it is relevant.
    """

    source: str | None
    title: str
    right: bool


@dataclass(frozen=True)
class QueryChange:
    """One query with its results before and after."""

    query: str
    before: float
    after: float
    old: tuple[ShownPicture, ...]
    new: tuple[ShownPicture, ...]


def largest_changes(
    before: Sequence[QueryResult], after: Sequence[QueryResult], count: int = QUERIES
) -> tuple[list[tuple[QueryResult, QueryResult]], list[tuple[QueryResult, QueryResult]]]:
    """Pairs of results that gained most and lost most, the largest first; equal ones in the order of the queries."""
    pairs = list(zip(before, after, strict=True))
    gained = sorted((pair for pair in pairs if pair[1].value > pair[0].value), key=lambda p: p[0].value - p[1].value)
    lost = sorted((pair for pair in pairs if pair[1].value < pair[0].value), key=lambda p: p[1].value - p[0].value)
    return gained[:count], lost[:count]


class Thumbnails:
    """Small pictures as data URIs, each made once.

    Args:
        pictures: of the catalogue.
        titles: title of the item of each picture.
    """

    def __init__(self, pictures: Sequence[ImageInput], titles: Sequence[str]) -> None:
        self._pictures = pictures
        self._titles = titles
        self._made: dict[int, str | None] = {}

    def change(self, before: QueryResult, after: QueryResult) -> QueryChange:
        """The results of a query with their pictures."""
        query = after.query if len(after.query) <= QUERY_CHARACTERS else after.query[: QUERY_CHARACTERS - 1] + "…"
        return QueryChange(query, before.value, after.value, self._shown(before), self._shown(after))

    def _shown(self, result: QueryResult) -> tuple[ShownPicture, ...]:
        best = list(zip(result.shown, result.right, strict=True))[:SHOWN]
        return tuple(ShownPicture(self._source(row), self._titles[row], right) for row, right in best)

    def _source(self, row: int) -> str | None:
        if row not in self._made:
            try:
                self._made[row] = jpeg_uri(open_picture(self._pictures[row], min_side=SIDE), SIDE, quality=75)
            except MediaError:
                self._made[row] = None
        return self._made[row]
