"""Search results: items with scores, matching views and moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from firstsight.records import Record, RecordList, plain_value
from firstsight.retrieval.moments import Moment
from firstsight.retrieval.timed_product import TimedProduct
from firstsight.storage.tables import Part


@dataclass(frozen=True)
class ViewMatch(Record):
    """A view of an item with its cosine to the query."""

    part: Part
    uri: str | None  # path or address of the picture or video, ready to open; None for a title
    time_s: float | None  # position of a video frame in seconds; of a passage, its line with most words of the query
    score: float  # cosine of this view to the query, -1 to 1
    view_id: str | None = None  # id of the stored view
    text: str | None = None  # of a passage of timed text, one line per line; None for other parts
    start_s: float | None = None  # start of the passage
    end_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the view as plain values for JSON, with a rounded score; only passages have a text and its times."""
        plain: dict[str, Any] = super().to_dict()
        if self.text is None:
            plain = {name: value for name, value in plain.items() if name not in {"text", "start_s", "end_s"}}
        return plain | {"score": round(self.score, 4)}


@dataclass(frozen=True)
class ClipMatch(Record):
    """Where the video of an item contains the clip of the query, by their fingerprints.

    Second t of the clip is second `speed * t + offset_s` of the video.
    """

    uri: str  # path or address of the video, ready to open
    offset_s: float  # second of the video at which the clip begins; negative if the clip begins before it
    speed: float  # of the clip: 1.25 if it plays the video a quarter faster
    share: float  # of the clip that the video contains, 0 to 1

    def to_dict(self) -> dict[str, Any]:
        """Return the match as plain values for JSON, with rounded numbers."""
        rounded = {"offset_s": round(self.offset_s, 2), "speed": round(self.speed, 3), "share": round(self.share, 3)}
        return super().to_dict() | rounded


@dataclass(frozen=True)
class PictureTextMatch(Record):
    """A line of text in a picture or video frame of an item that has words of the query."""

    text: str
    box: tuple[tuple[float, float], ...]  # corners (x, y) as shares of width and height, from the text's top left
    part: Part  # "image" or "frame"
    uri: str | None  # path or address of the picture or video, ready to open
    time_s: float | None  # second of a frame in its video
    view_id: str  # id of the stored view


@dataclass(frozen=True)
class SearchResult(Record):
    """One item with its scores and its best-matching views."""

    item_id: str
    kind: str
    title: str | None
    score: float  # cosine of the compared vector to the query, -1 to 1; 0 for an item without a vector
    relevance: float  # the score calibrated for this database, 0 to 1; 1 if the item has every word of the text
    view: ViewMatch | None  # best-matching compared view
    picture: ViewMatch | None  # best-matching picture or frame, for display
    columns: Mapping[str, Any]  # text, times, and the catalogue's own columns
    others: int | None = None  # with collapse: number of other items in the group that pass the filter
    rank_score: float | None = None  # score of the reranker, comparable only within a query; None if not reranked
    moments: tuple[Moment, ...] | None = None  # with moments: matching stretches of its videos, best first
    duplicates: tuple[str, ...] | None = None  # with collapse="duplicates": ids of near-duplicates among the items read
    variants: int | None = None  # with one result per product: number of its variants that pass the filter
    products: tuple[TimedProduct, ...] | None = None  # that its videos show, with their seconds; None without any
    line: ViewMatch | None = None  # passage of its timed text with most words of the query text; None if it has none
    clip: ClipMatch | None = None  # where its video contains the clip of the query; None if it does not
    picture_text: PictureTextMatch | None = None  # line in its pictures with most words of the query text, or None
    boost: float | None = None  # of a personalised search, in standard deviations of the ranking score; else None
    colour_boost: float | None = None  # for the colours of the query's text, likewise; None without colour words

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values for JSON; the catalogue's columns are under `columns`."""
        head = {"item_id": self.item_id, "kind": self.kind, "title": self.title}
        scores = {"score": round(self.score, 4), "relevance": round(self.relevance, 4)}
        rank = {} if self.rank_score is None else {"rank_score": round(self.rank_score, 4)}
        rank |= {} if self.boost is None else {"boost": round(self.boost, 4)}
        rank |= {} if self.colour_boost is None else {"colour_boost": round(self.colour_boost, 4)}
        group: dict[str, Any] = {} if self.others is None else {"others": self.others}
        group |= {} if self.moments is None else {"moments": plain_value(self.moments)}
        group |= {} if self.products is None else {"products": plain_value(self.products)}
        group |= {} if self.variants is None else {"variants": self.variants}
        group |= {} if self.line is None else {"line": self.line.to_dict()}
        group |= {} if self.clip is None else {"clip": plain_value(self.clip)}
        group |= {} if self.picture_text is None else {"picture_text": plain_value(self.picture_text)}
        group |= {} if self.duplicates is None else {"duplicates": list(self.duplicates)}
        rest: dict[str, Any] = plain_value({"view": self.view, "picture": self.picture, "columns": self.columns})
        return head | scores | rank | group | rest

    def to_row(self) -> dict[str, Any]:
        """Return the result as a row of a table, with the catalogue's columns as columns of the table.

        Fields without a value that only some searches give, such as `rank_score`, are left out. A catalogue column with
        the name of a field of `SearchResult` is left out: the field takes precedence.
        """
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "columns"}
        row = {name: value for name, value in own.items() if value is not None or name in _ROW_NAMES}
        return row | {name: value for name, value in self.columns.items() if name not in own}

    @classmethod
    def row_names(cls) -> tuple[str, ...]:
        """Names of the columns that every row has; those of a catalogue are not known here."""
        return _ROW_NAMES


_ROW_NAMES = ("item_id", "kind", "title", "score", "relevance", "view", "picture")


@dataclass(frozen=True)
class SearchResults(RecordList[SearchResult]):
    """The results of one query, best first: a sequence of `SearchResult`."""

    results: tuple[SearchResult, ...]
    snapshot: str  # token of the searched rows: with it, the next page comes from the same ranking, even after writes
    reranker: int | None = None  # version of the reranker that ordered the results; None if not reranked
    withheld: int = 0  # items of this page that were removed or blocked after the snapshot
    understood: Mapping[str, Any] | None = None  # by rules of the text; None if nothing was understood, else the keys:
    # text (what is left), colours, minus (lists), min_price, max_price, currency (or None), unmet: ["price"] if no item
    # passes the price limits, so that they are not applied


def locate(uri: str, catalog_dir: str) -> str:
    """Return an address that can be opened: a relative path starts at the catalogue's folder."""
    return uri if "://" in uri else str(Path(catalog_dir) / uri)
