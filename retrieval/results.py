"""Search results: items with scores, matching views and moments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from firstsight.retrieval.moments import Moment
from firstsight.storage.tables import Part


@dataclass(frozen=True)
class ViewMatch:
    """A view of an item with its cosine to the query."""

    part: Part
    uri: str | None  # path or address of the picture or video, ready to open; None for a title
    time_s: float | None  # position of a video frame, in seconds
    score: float  # cosine of this view to the query, -1 to 1
    view_id: str | None = None  # id of the stored view


@dataclass(frozen=True)
class SearchResult:
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

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values for JSON; the catalogue's columns are under `columns`."""
        head = {"item_id": self.item_id, "kind": self.kind, "title": self.title}
        scores = {"score": round(self.score, 4), "relevance": round(self.relevance, 4)}
        rank = {} if self.rank_score is None else {"rank_score": round(self.rank_score, 4)}
        group: dict[str, Any] = {} if self.others is None else {"others": self.others}
        group |= {} if self.moments is None else {"moments": [_moment(moment) for moment in self.moments]}
        group |= {} if self.variants is None else {"variants": self.variants}
        group |= {} if self.duplicates is None else {"duplicates": list(self.duplicates)}
        views = {"view": _view(self.view), "picture": _view(self.picture)}
        columns = {"columns": {name: _plain(value) for name, value in self.columns.items()}}
        return head | scores | rank | group | views | columns


class SearchResults(list[SearchResult]):
    """The results of one query, best first.

    Attributes:
        snapshot: token of the searched rows. With it, the next page comes from the same ranking, even after writes.
        reranker: version of the reranker that ordered the results; None if not reranked.
        withheld: number of items of this page that were removed or blocked after the snapshot.
    """

    def __init__(
        self, results: Iterable[SearchResult], snapshot: str, reranker: int | None = None, withheld: int = 0
    ) -> None:
        super().__init__(results)
        self.withheld = withheld
        self.snapshot = snapshot
        self.reranker = reranker


def _view(view: ViewMatch | None) -> dict[str, Any] | None:
    return None if view is None else asdict(view) | {"score": round(view.score, 4)}


def _moment(moment: Moment) -> dict[str, Any]:
    seconds = {"start_s": round(moment.start_s, 3), "end_s": round(moment.end_s, 3)}
    return {"uri": moment.uri, **seconds, "score": round(moment.score, 4), "view_id": moment.view_id}


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def locate(uri: str, catalog_dir: str) -> str:
    """Return an address that can be opened: a relative path starts at the catalogue's folder."""
    return uri if "://" in uri else str(Path(catalog_dir) / uri)
